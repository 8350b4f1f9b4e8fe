// One model's latent plane: what lies behind, the points, what is chosen, and a lens with the digit of a place.
import { Points } from "./points.js";
import { Tiles } from "./tiles.js";
import { View } from "./view.js";
import { coordinates, fixed, named } from "./names.js";
import { canvas, css, paint, theme } from "./pictures.js";
import { gestures } from "./gestures.js";

const NEAR = 8; // pixels: a point no farther from the pointer is pointed at
const NUMBERED = 300; // points in view, up to which each has its class beside it
const STEP = 1 / 40; // of the span: how far an arrow key goes
const FAINT = { decoded: 0.5, regions: 1, density: 1, plain: 1 };

export class Plane {
  // model: as `readModel` gives it. labels: a class a point, or null. data: what the images are called. heard: what happens to the pointer and the view.
  constructor(model, labels, data, network, heard) {
    Object.assign(this, { model, labels, data, heard, network, lensPixels: null });
    this.element = document.createElement("div");
    this.element.className = "latent";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", `Latent plane of ${model.title}`);
    this.element.setAttribute("aria-describedby", "plane-keys");
    this.layers = Object.fromEntries(["back", "points", "front"].map((name) => [name, this.layer()]));
    this.makeLens();
    const places = model.arrays.z_mean.values;
    this.points = new Points(this.layers.points, places, labels);
    this.tiles = new Tiles((z) => network.paint(model.run, z), heard.changed);
    gestures(this.element, { ...heard.gestures(this), view: () => this.view });
    new ResizeObserver(() => this.resize()).observe(this.element);
  }

  layer() {
    const made = document.createElement("canvas");
    made.setAttribute("aria-hidden", "true");
    this.element.append(made);
    return made;
  }

  makeLens() {
    this.lens = document.createElement("div");
    this.lens.className = "lens";
    this.lens.hidden = true;
    this.lensDigit = canvas(`The ${this.data.noun} at the pointer`);
    this.lens.append(this.lensDigit, document.createElement("span"));
    this.element.append(this.lens);
  }

  resize() {
    const side = this.element.clientWidth;
    const ratio = Math.min(devicePixelRatio, 2);
    if (!side || (this.side === side && this.ratio === ratio)) return;
    Object.assign(this, { side, ratio });
    for (const layer of Object.values(this.layers)) layer.width = layer.height = Math.round(side * ratio);
    this.heard.changed();
  }

  // scene: {centre, span, background, points, shown, place, hovered, image, path, drawn}; see main.js.
  draw(scene) {
    if (!this.side) return;
    this.view = new View(scene.centre, scene.span, this.side);
    this.drawBack(scene);
    this.drawPoints(scene);
    this.drawFront(scene);
    this.drawLens(scene);
  }

  context(name) {
    const context = this.layers[name].getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.side, this.side);
    return context;
  }

  drawBack(scene) {
    const context = this.context("back");
    if (scene.background === "decoded") this.tiles.draw(context, this.view, scene.points ? FAINT.decoded : 1);
    if (scene.background === "regions") this.drawMap(context, "regions", this.model.regions_reach);
    if (scene.background === "density") this.drawMap(context, "density", this.model.density_reach);
  }

  // A map of cells from -reach to reach along both axes, the highest row first.
  drawMap(context, name, reach) {
    this.maps ??= {};
    const drawn = (this.maps[name] ??= name === "regions" ? regions(this.model.arrays) : density(this.model.arrays));
    const [left, top] = this.view.pixel([-reach, reach]);
    const side = 2 * reach * this.view.scale;
    context.imageSmoothingEnabled = name === "density";
    context.drawImage(drawn, left, top, side, side);
  }

  drawPoints(scene) {
    const { classes } = theme();
    const alpha = scene.background === "regions" ? 0.9 : 0.75;
    const shown = scene.points ? scene.shown : scene.shown.map(() => false);
    this.points.draw(this.view, this.ratio, classes, shown, alpha);
  }

  drawFront(scene) {
    const context = this.context("front");
    const colours = theme();
    this.drawAxes(context, colours);
    if (scene.points) this.number(context, scene.shown, colours);
    if (scene.path) this.drawPath(context, scene.path, colours);
    if (scene.drawn) this.drawPosterior(context, scene.drawn.mean, scene.drawn.log_var, colours.warm, "drawn");
    if (scene.image !== null) {
      const { mean, log_var } = this.posterior(scene.image);
      this.drawPosterior(context, mean, log_var, colours.accent, this.labels ? named(this.data, this.labels[scene.image]) : "");
    }
    this.drawPointer(context, scene.place, colours);
  }

  // Of a test image: {mean, log_var}.
  posterior(image) {
    const pair = (name) => [...this.model.arrays[name].values.subarray(2 * image, 2 * image + 2)];
    return { mean: pair("z_mean"), log_var: pair("z_log_var") };
  }

  // The axes, and circles at one to three standard deviations of the prior.
  drawAxes(context, { muted, paper }) {
    const [x, y] = this.view.pixel([0, 0]);
    context.lineWidth = 1;
    context.strokeStyle = css(muted, 0.35);
    lines(context, [[0, y], [this.side, y]]);
    lines(context, [[x, 0], [x, this.side]]);
    context.setLineDash([2, 4]);
    for (const deviations of [1, 2, 3]) {
      context.beginPath();
      context.arc(x, y, deviations * this.view.scale, 0, 2 * Math.PI);
      context.stroke();
    }
    context.setLineDash([]);
    const step = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10].find((each) => each * this.view.scale > 55) ?? 10;
    const [low, high] = [this.view.point([0, this.side]), this.view.point([this.side, 0])];
    const text = (value, right, down) => written(context, value, right, down, muted, paper);
    context.font = "11px system-ui, sans-serif";
    for (let value = Math.ceil(low[0] / step); value * step < high[0]; value++) {
      const [right] = this.view.pixel([value * step, 0]);
      if (right > 24 && right < this.side - 12) text(shown(value * step, step), right, this.side - 10);
    }
    for (let value = Math.ceil(low[1] / step); value * step < high[1]; value++) {
      const [, down] = this.view.pixel([0, value * step]);
      const label = shown(value * step, step);
      if (down > 12 && down < this.side - 24) text(label, 5 + context.measureText(label).width / 2, down);
    }
  }

  // The class beside each point, once there are few.
  number(context, shownDigits, { classes, paper }) {
    if (!this.labels) return;
    const places = this.model.arrays.z_mean.values;
    const found = [];
    for (let each = 0; each < this.labels.length && found.length <= NUMBERED; each++) {
      const place = [places[2 * each], places[2 * each + 1]];
      if (shownDigits[this.labels[each]] && this.view.shows(place)) found.push([place, this.labels[each]]);
    }
    if (found.length > NUMBERED) return;
    context.font = "600 12px system-ui, sans-serif";
    for (const [place, digit] of found) {
      const [right, down] = this.view.pixel(place);
      written(context, named(this.data, digit), right + 10, down, classes[digit], paper);
    }
  }

  drawPath(context, { from, to, at }, { ink, paper }) {
    const ends = [from, to].filter(Boolean).map((end) => this.view.pixel(end));
    context.strokeStyle = css(ink, 0.8);
    context.lineWidth = 2;
    context.setLineDash([6, 5]);
    if (ends.length === 2) lines(context, ends);
    context.setLineDash([]);
    context.font = "600 12px system-ui, sans-serif";
    [[from, "A"], [to, "B"]].forEach(([end, name]) => {
      if (end) disc(context, this.view.pixel(end), 10, ink, paper, name);
    });
    if (at) disc(context, this.view.pixel(at), 6, ink, paper, "");
  }

  // The mean, and ellipses with one and two standard deviations of q(z|x): half their axes.
  drawPosterior(context, mean, log_var, colour, name) {
    const [x, y] = this.view.pixel(mean);
    for (const [times, alpha] of [[2, 0.12], [1, 0.25]]) {
      const [wide, high] = log_var.map((value) => Math.exp(value / 2) * times * this.view.scale);
      context.beginPath();
      context.ellipse(x, y, Math.max(wide, 1), Math.max(high, 1), 0, 0, 2 * Math.PI);
      context.fillStyle = css(colour, alpha);
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = css(colour);
      context.stroke();
    }
    context.beginPath();
    context.arc(x, y, 7, 0, 2 * Math.PI);
    context.lineWidth = 2.5;
    context.stroke();
    context.font = "600 13px system-ui, sans-serif";
    if (name) written(context, name, x, y - 18, colour, theme().paper);
  }

  drawPointer(context, place, { ink, paper }) {
    const [x, y] = this.view.pixel(place);
    for (const [width, colour] of [[4, paper], [1.5, ink]]) {
      context.lineWidth = width;
      context.strokeStyle = css(colour);
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        lines(context, [[x + 4 * dx, y + 4 * dy], [x + 12 * dx, y + 12 * dy]]);
      }
    }
  }

  // The lens stands above the place, or where there is room.
  drawLens(scene) {
    const [x, y] = this.view.pixel(scene.place);
    this.lens.hidden = !this.lensPixels || x < 0 || y < 0 || x > this.side || y > this.side;
    if (this.lens.hidden) return;
    const size = this.lens.offsetWidth;
    const right = x + 20 + size > this.side ? x - 20 - size : x + 20;
    const down = Math.min(Math.max(y - size - 34, 6), this.side - size - 34);
    this.lens.style.transform = `translate(${right}px, ${down}px)`;
    this.lens.lastChild.textContent = coordinates(scene.place);
  }

  showDigit(pixels) {
    this.lensPixels = pixels;
    paint(this.lensDigit, pixels);
  }

  // The test image whose point is nearest to a place, within reach of the pointer or, for the keyboard, wherever it is.
  nearest(place, shown, within = NEAR / this.view.scale) {
    const places = this.model.arrays.z_mean.values;
    let [best, least] = [null, within ** 2];
    for (let each = 0; each < places.length / 2; each++) {
      const squared = (places[2 * each] - place[0]) ** 2 + (places[2 * each + 1] - place[1]) ** 2;
      if (squared < least && (!this.labels || shown[this.labels[each]])) [best, least] = [each, squared];
    }
    return best;
  }

  // What the classifier sees at a place: {digit, other, percent}, or null outside of its map. A cell has what is seen at
  // its middle: nearer to its edge than to that, `other` is the class beyond where that differs; otherwise null.
  seen(place) {
    const map = this.model.arrays.map_classes;
    if (!map) return null;
    const [cells, reach] = [map.shape[0], this.model.regions_reach];
    const at = [place[0] + reach, reach - place[1]].map((value) => (value * cells) / (2 * reach));
    const inside = (each) => each >= 0 && each < cells;
    const [column, row] = at.map(Math.floor);
    if (!inside(column) || !inside(row)) return null;
    const digit = map.values[row * cells + column];
    const away = [at[0] - column - 0.5, at[1] - row - 0.5]; // from the middle, in cells
    const [across, down] = away.map((each) => (Math.abs(each) > 0.25 ? Math.sign(each) : 0));
    const beside = [[across, 0], [0, down]];
    if (Math.abs(away[1]) > Math.abs(away[0])) beside.reverse();
    const others = [...beside, [across, down]].filter(([x, y]) => inside(column + x) && inside(row + y));
    const classes = others.map(([x, y]) => map.values[(row + y) * cells + column + x]);
    const other = classes.find((each) => each !== digit) ?? null;
    return { digit, other, percent: this.model.arrays.map_percent.values[row * cells + column] };
  }

  get step() {
    return this.view.span * STEP;
  }

  // After a change of the theme.
  repaint() {
    this.maps = {};
    this.tiles.repaint();
  }

  // All layers in one picture, `side` pixels square.
  picture(side) {
    const made = document.createElement("canvas");
    made.width = made.height = side;
    const context = made.getContext("2d");
    context.fillStyle = css(theme().raised);
    context.fillRect(0, 0, side, side);
    for (const layer of Object.values(this.layers)) context.drawImage(layer, 0, 0, side, side);
    return made;
  }
}

function lines(context, points) {
  context.beginPath();
  points.forEach((point) => context.lineTo(...point));
  context.stroke();
}

function disc(context, [x, y], radius, colour, text, name) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = css(colour);
  context.fill();
  context.fillStyle = css(text);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(name, x, y + 0.5);
}

// A text that can be read on anything.
function written(context, text, x, y, colour, halo) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.lineWidth = 3;
  context.strokeStyle = css(halo, 0.85);
  context.strokeText(text, x, y);
  context.fillStyle = css(colour);
  context.fillText(text, x, y);
}

function shown(value, step) {
  return fixed(value, step < 0.1 ? 2 : step < 1 ? 1 : 0);
}

function regions({ map_classes, map_percent }) {
  const { classes } = theme();
  return cellMap(map_classes, (cell) => {
    const sure = Math.max(0, (map_percent.values[cell] - 10) / 90);
    return [...classes[map_classes.values[cell]], 255 * (0.06 + 0.4 * sure ** 2)];
  });
}

function density({ density: map }) {
  const { accent } = theme();
  return cellMap(map, (cell) => [...accent, map.values[cell]]);
}

function cellMap({ shape: [rows, columns] }, rgba) {
  const made = document.createElement("canvas");
  [made.width, made.height] = [columns, rows];
  const pixels = new ImageData(columns, rows);
  for (let cell = 0; cell < rows * columns; cell++) pixels.data.set(rgba(cell), 4 * cell);
  made.getContext("2d").putImageData(pixels, 0, 0);
  return made;
}
