// The page: one state, which the address keeps; planes and cards show it.
import { read, usual, written } from "./address.js";
import { readImages, readModel } from "./files.js";
import { latest, settled } from "./latest.js";
import { Network } from "./network.js";
import { Plane } from "./plane.js";
import { coordinates, imageName, judged } from "./names.js";
import { fitted, inked, PAD } from "./prepare.js";
import { repaint } from "./pictures.js";
import { HereCard } from "./here.js";
import { ImageCard } from "./test-image.js";
import { PadCard } from "./pad.js";
import { PathCard } from "./path.js";
import { TraversalCard } from "./traversals.js";
import { View } from "./view.js";
import { connectKeys } from "./keys.js";
import { connectTools } from "./tools.js";
import { savePicture } from "./export.js";

const element = (id) => document.getElementById(id);

class Explorer {
  constructor(data) {
    this.data = data;
    this.runs = data.models.map((model) => model.run);
    this.labels = data.labels ? Uint8Array.from(data.labels, Number) : null;
    this.network = new Network();
    this.models = new Map(); // promises of what `readModel` gives, by the run
    this.made = new Map(); // planes by the run: a browser has few contexts for WebGL
    this.planes = [];
    this.hovered = null; // {plane, place, image} while the pointer is over a plane
    this.travelling = null; // how far along the path, from 0 to 1, while it plays
    this.cards = [HereCard, ImageCard, PadCard, PathCard, TraversalCard].map((Card) => new Card(this));
    this.keep = settled(250, () => this.keepNow());
    this.frame = this.frame.bind(this);
    this.changed = this.changed.bind(this);
    connectTools(this);
    connectKeys(this);
    addEventListener("hashchange", () => this.restore());
    document.addEventListener("themechange", () => this.repaint());
    this.shown = new Promise((resolve) => (this.isShown = resolve));
  }

  async restore() {
    if (this.state) this.path.stop(); // it may have no ends any more
    this.state = read(location.hash, this.runs, this.data.count);
    await this.setModels();
    for (const card of this.cards) card.restored?.();
    this.changed();
  }

  // changes: some of the state's parts.
  async set(changes) {
    Object.assign(this.state, changes);
    this.keep();
    if ("model" in changes || "beside" in changes) await this.setModels().catch(fail);
    this.changed();
  }

  keepNow() {
    history.replaceState(null, "", `#${written(this.state)}`);
  }

  async setModels() {
    const runs = [this.state.model, this.state.beside].filter(Boolean);
    const models = await Promise.all(runs.map((run) => this.model(run)));
    if (runs.join() === this.planes.map((plane) => plane.model.run).join()) return;
    for (const model of models) if (!this.made.has(model.run)) this.made.set(model.run, this.plane(model));
    this.planes = runs.map((run) => this.made.get(run));
    element("planes").replaceChildren(...this.planes.map((plane) => this.framed(plane)));
    element("planes").dataset.count = String(this.planes.length);
    for (const card of this.cards) card.planesChanged?.();
  }

  model(run) {
    if (!this.models.has(run)) {
      const described = this.data.models.find((model) => model.run === run);
      const loaded = async () => {
        const model = await readModel(described);
        this.backend = await this.network.load(model);
        return model;
      };
      this.models.set(run, loaded());
    }
    return this.models.get(run);
  }

  plane(model) {
    const plane = new Plane(model, this.labels, this.data, this.network, {
      changed: this.changed,
      gestures: (made) => ({
        hover: (pixel) => this.hover(made, made.view.point(pixel)),
        leave: () => this.hover(made, null),
        pick: (pixel) => this.pick(made, made.view.point(pixel)),
        look: (view) => this.look(view),
      }),
    });
    plane.ask = latest(async (place) => {
      const started = performance.now();
      const warm = Boolean(plane.decoded); // the first decode waits for what starts up
      plane.decoded = { place, pixels: await this.network.decode(model.run, place) };
      if (warm) this.decodeTime = performance.now() - started;
      plane.showDigit(plane.decoded.pixels);
      this.changed();
    });
    return plane;
  }

  framed(plane) {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    const name = document.createElement("strong");
    name.textContent = plane.model.title;
    caption.append(name, ` ${plane.model.summary}`);
    figure.append(caption, plane.element);
    return figure;
  }

  hover(plane, place) {
    this.hovered = place && { plane, place, image: this.state.points ? plane.nearest(place, this.isShownDigit) : null };
    plane.element.classList.toggle("on-point", this.hovered?.image != null);
    this.changed();
  }

  pick(plane, place) {
    const image = this.state.points ? plane.nearest(place, this.isShownDigit) : null;
    this.choose(image, place);
  }

  // Pins a test image, or a place where there is none.
  choose(image, place) {
    this.hovered = null;
    this.set({ image, z: place });
    this.announce();
  }

  // At once, since more than one finger may move between two frames.
  look({ centre, span }) {
    for (const plane of this.planes) plane.view = new View(centre, span, plane.side);
    this.set({ centre, span });
  }

  get isShownDigit() {
    return Array.from({ length: 10 }, (_, digit) => !this.state.hidden.includes(digit));
  }

  // The test image that is pointed at, or chosen.
  get image() {
    return this.hovered ? this.hovered.image : this.state.image;
  }

  get path() {
    return this.cards.find((card) => card instanceof PathCard);
  }

  // Where a plane's pointer is. Each model has a test image elsewhere; a place without one is the same in each.
  place(plane) {
    if (this.travelling !== null && this.path.ends) return this.path.at(this.travelling);
    if (this.hovered?.plane === plane) return this.hovered.place;
    if (this.image !== null) return plane.posterior(this.image).mean;
    return this.hovered?.place ?? this.state.z;
  }

  // The part of the plane in view, the same for both models: as chosen, or with room for all test images.
  get view() {
    if (this.state.span) return { centre: this.state.centre, span: this.state.span };
    const boxes = this.planes.map((plane) => plane.model.box);
    const sides = [0, 1].map((axis) => [
      Math.min(...boxes.map(([low]) => low[axis])), Math.max(...boxes.map(([, high]) => high[axis])),
    ]);
    const span = 1.15 * Math.max(...sides.map(([low, high]) => high - low));
    return { centre: sides.map(([low, high]) => (low + high) / 2), span };
  }

  scene(plane) {
    const { state, path } = this;
    const pad = this.cards.find((card) => card instanceof PadCard);
    return {
      ...this.view, background: state.background, points: state.points,
      shown: this.isShownDigit, place: this.place(plane), image: this.image,
      path: { from: state.from, to: state.to, at: this.travelling === null || !path.ends ? null : path.at(this.travelling) },
      drawn: pad.posterior(plane),
    };
  }

  changed() {
    this.requested ??= requestAnimationFrame(this.frame);
  }

  frame() {
    this.requested = null;
    for (const plane of this.planes) {
      const place = this.place(plane);
      if (plane.asked?.join() !== place.join()) plane.ask((plane.asked = place));
      plane.draw(this.scene(plane));
    }
    for (const card of this.cards) card.update?.();
    this.markShown();
  }

  // The first picture is there when the points, the digit at the pointer and the coarse background are.
  markShown() {
    if (this.firstPicture !== undefined || !this.planes.length) return;
    const ready = (plane) => plane.decoded && (this.state.background !== "decoded" || plane.tiles.whole);
    if (!this.planes.every(ready)) return;
    this.firstPicture = performance.now();
    this.isShown();
  }

  // All test images, once they are asked for.
  get images() {
    return (this.loadedImages ??= readImages(this.data.images));
  }

  // For those who hear the page.
  announce(text = this.spoken()) {
    element("spoken").textContent = text;
  }

  spoken() {
    return this.planes.map((plane) => `${plane.model.title}: ${spokenPlace(this, plane)}`).join(" ");
  }

  repaint() {
    repaint();
    for (const plane of this.planes) plane.repaint();
    for (const card of this.cards) card.repaint?.();
    this.changed();
  }

  savePicture() {
    return savePicture(this);
  }

  reset() {
    const { centre, span } = usual(this.state.model);
    this.set({ centre, span });
  }
}

function spokenPlace(explorer, plane) {
  const place = coordinates(explorer.place(plane));
  const seen = plane.seen(explorer.place(plane));
  const says = seen ? ` The classifier says ${judged(explorer.data, seen)}.` : "";
  const { data, image, labels } = explorer;
  return `${place}.${image === null ? "" : ` ${imageName(data, labels, image)}.`}${says}`;
}

function fail(error) {
  element("failure").hidden = false;
  element("failure").textContent = `A model could not be loaded: ${error.message}`;
}

const explorer = new Explorer(JSON.parse(element("explorer-data").textContent));
// For tests and measurements.
window.explorer = explorer;
explorer.prepare = { inked, fitted, PAD };
explorer.ready = explorer.restore();
explorer.ready.catch(fail);
