// A straight path between two places of the plane: as a strip, and played.
import { latest } from "./latest.js";
import { canvas, paint } from "./pictures.js";

const STOPS = 11;
const SECONDS = 4;

export class PathCard {
  constructor(explorer) {
    this.explorer = explorer;
    this.parts = []; // a moving digit for each plane
    this.box = document.getElementById("path-strips");
    this.moving = document.getElementById("path-moving");
    this.button = document.getElementById("path-play");
    this.slider = document.getElementById("path-slider");
    this.ask = latest((ends) => this.show(ends));
    const here = () => explorer.place(explorer.planes[0]);
    document.getElementById("path-from").addEventListener("click", () => explorer.set({ from: here() }));
    document.getElementById("path-to").addEventListener("click", () => explorer.set({ to: here() }));
    document.getElementById("path-clear").addEventListener("click", () => this.clear());
    this.button.addEventListener("click", () => (this.playing ? this.stop() : this.play()));
    this.slider.addEventListener("input", () => {
      this.stop();
      this.travel(Number(this.slider.value) / 100);
    });
    this.slider.addEventListener("blur", () => this.travel(null));
  }

  get ends() {
    const { from, to } = this.explorer.state;
    return from && to ? [from, to] : null;
  }

  at(share, [from, to] = this.ends) {
    return from.map((value, axis) => value + share * (to[axis] - value));
  }

  clear() {
    this.stop();
    this.explorer.set({ from: null, to: null });
  }

  travel(share) {
    this.explorer.travelling = this.ends ? share : null;
    this.explorer.changed();
  }

  play() {
    if (!this.ends) return;
    const started = performance.now();
    const step = (now) => {
      const share = Math.min(Math.max((now - started) / 1000 / SECONDS, 0), 1);
      this.slider.value = String(100 * share);
      this.travel(share);
      this.playing = share < 1 ? requestAnimationFrame(step) : null;
      if (!this.playing) this.stop();
    };
    this.playing = requestAnimationFrame(step);
    this.button.textContent = "Stop";
  }

  stop() {
    cancelAnimationFrame(this.playing);
    this.playing = null;
    this.button.textContent = "Play";
    this.travel(null);
  }

  planesChanged() {
    this.asked = undefined;
    this.parts = this.explorer.planes.map((plane) => {
      const figure = document.createElement("figure");
      const digit = canvas(`What ${plane.model.title} decodes along the path`);
      const caption = document.createElement("figcaption");
      caption.textContent = plane.model.title;
      figure.append(digit, caption);
      return { plane, figure, digit };
    });
    this.moving.replaceChildren(...this.parts.map((part) => part.figure));
  }

  update() {
    const { planes, travelling } = this.explorer;
    for (const part of travelling === null ? [] : this.parts) {
      const { decoded } = part.plane;
      if (decoded && decoded !== part.shown) paint(part.digit, (part.shown = decoded).pixels);
    }
    const key = JSON.stringify([this.ends, planes.map((plane) => plane.model.run)]);
    if (key === this.asked) return;
    this.asked = key;
    this.button.disabled = this.slider.disabled = !this.ends;
    document.getElementById("path-hint").hidden = Boolean(this.ends);
    this.moving.hidden = !this.ends;
    this.ask(this.ends);
  }

  async show(ends) {
    if (!ends) return void this.box.replaceChildren();
    const z = Array.from({ length: STOPS }, (_, stop) => this.at(stop / (STOPS - 1), ends)).flat();
    const strips = [];
    for (const { plane, digit } of [...this.parts]) {
      const pixels = await this.explorer.network.paint(plane.model.run, z);
      strips.push(strip(plane.model.title, this.explorer.data.nouns, pixels));
      if (this.explorer.travelling === null) paint(digit, pixels.subarray(0, 784)); // where the path begins
    }
    this.box.replaceChildren(...strips);
  }
}

function strip(title, nouns, pixels) {
  const all = document.createElement("div");
  all.className = "traversal";
  const name = document.createElement("p");
  name.textContent = title;
  const made = document.createElement("div");
  made.className = "strip";
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `${STOPS} ${nouns} along the path, by ${title}`);
  for (let stop = 0; stop < STOPS; stop++) {
    const digit = canvas("");
    digit.removeAttribute("role");
    digit.removeAttribute("aria-label");
    paint(digit, pixels.subarray(784 * stop, 784 * (stop + 1)));
    made.append(digit);
  }
  all.append(name, made);
  return all;
}
