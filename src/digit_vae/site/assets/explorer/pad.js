// Draws a digit, makes an image like MNIST's of it, and encodes that with every model in view.
import { latest } from "./latest.js";
import { fixed } from "./names.js";
import { canvas, paint, theme } from "./pictures.js";
import { fitted, inked, PAD } from "./prepare.js";

const SAMPLES = 5;
const APART = 3; // pixels of the pad: nearer ones of a stroke are left out

export class PadCard {
  constructor(explorer) {
    this.explorer = explorer;
    this.pad = document.getElementById("pad");
    this.pad.width = this.pad.height = PAD;
    this.results = document.getElementById("drawn");
    this.encoded = new Map(); // {mean, log_var} by the run
    this.encode = latest((image) => this.show(image));
    this.listen();
    document.getElementById("pad-clear").addEventListener("click", () => this.change([]));
    document.getElementById("pad-undo").addEventListener("click", () => this.change(explorer.state.strokes.slice(0, -1)));
  }

  listen() {
    const { pad } = this;
    let stroke = null;
    const place = (event) => {
      const box = pad.getBoundingClientRect();
      const inside = (value, size) => Math.min(Math.max(Math.round((value / size) * PAD), 0), PAD - 1);
      return [inside(event.clientX - box.left, box.width), inside(event.clientY - box.top, box.height)];
    };
    pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      pad.setPointerCapture(event.pointerId);
      stroke = [place(event)];
      this.change([...this.explorer.state.strokes, stroke]);
    });
    pad.addEventListener("pointermove", (event) => {
      if (!stroke) return;
      for (const each of event.getCoalescedEvents?.() ?? [event]) this.extend(stroke, place(each));
      this.change(this.explorer.state.strokes);
    });
    for (const end of ["pointerup", "pointercancel"]) pad.addEventListener(end, () => (stroke = null));
  }

  extend(stroke, [x, y]) {
    const [lastX, lastY] = stroke[stroke.length - 1];
    if (Math.hypot(x - lastX, y - lastY) >= APART) stroke.push([x, y]);
  }

  change(strokes) {
    this.explorer.set({ strokes });
    this.redraw();
  }

  restored() {
    this.redraw();
  }

  planesChanged() {
    if (this.explorer.state.strokes) this.redraw();
  }

  repaint() {
    this.redraw();
  }

  redraw() {
    const ink = inked(this.explorer.state.strokes);
    const [red, green, blue] = theme().ink;
    const pixels = new ImageData(PAD, PAD);
    ink.forEach((value, place) => pixels.data.set([red, green, blue, value], 4 * place));
    this.pad.getContext("2d").putImageData(pixels, 0, 0);
    document.getElementById("pad-hint").hidden = this.explorer.state.strokes.length > 0;
    this.encode(fitted(ink, PAD, PAD));
  }

  // What a plane shows of the drawn digit: {mean, log_var}, or null.
  posterior(plane) {
    return this.encoded.get(plane.model.run) ?? null;
  }

  async show(image) {
    const { explorer } = this;
    const planes = [...explorer.planes];
    const found = new Map();
    const rows = [];
    for (const plane of image ? planes : []) {
      const { mean, log_var } = await explorer.network.encode(plane.model.run, Float32Array.from(image, (each) => each / 255));
      found.set(plane.model.run, { mean: [...mean], log_var: [...log_var] });
      rows.push(await this.row(plane, found.get(plane.model.run)));
    }
    this.encoded = found;
    this.image = image;
    this.results.replaceChildren(...(image ? [prepared(image), ...rows] : []));
    explorer.changed();
  }

  async row(plane, { mean, log_var }) {
    const drawn = samples(mean, log_var);
    const pixels = await this.explorer.network.decode(plane.model.run, [...mean, ...drawn.flat()]);
    const each = (number) => pixels.subarray(784 * number, 784 * (number + 1));
    const made = document.createElement("div");
    made.className = "drawn-row";
    const title = document.createElement("p");
    const numbers = mean.map((value, axis) => `${fixed(value)} \u00b1 ${Math.exp(log_var[axis] / 2).toPrecision(2)}`);
    const name = document.createElement("strong");
    name.textContent = plane.model.title;
    title.append(name, ` z = (${numbers.join(", ")})`);
    const strip = document.createElement("div");
    strip.className = "strip";
    strip.append(digit(`Reconstruction by ${plane.model.title}`, each(0), "main"));
    for (let number = 1; number <= SAMPLES; number++) strip.append(digit(`Sample ${number} of the posterior`, each(number), ""));
    const go = document.createElement("button");
    go.type = "button";
    go.textContent = "Go there";
    go.addEventListener("click", () => this.explorer.choose(null, mean));
    made.append(title, strip, go);
    return made;
  }
}

function prepared(image) {
  const made = document.createElement("div");
  made.className = "drawn-row";
  const title = document.createElement("p");
  title.textContent = "As the encoder sees it: fitted into 20 \u00d7 20 pixels, its centre of mass in the middle of 28 \u00d7 28.";
  made.append(digit("The drawing as the encoder sees it", image, "main", 255), title);
  return made;
}

function digit(label, pixels, kind, full = 1) {
  const made = canvas(label);
  if (kind) made.classList.add(kind);
  paint(made, pixels, full);
  return made;
}

// The same draws each time: z_mean + sigma epsilon, epsilon from N(0, I) by Box and Muller's method.
function samples(mean, log_var) {
  let seed = 1;
  const uniform = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed + 0.5) / 2 ** 32;
  };
  return Array.from({ length: SAMPLES }, () => {
    const [radius, angle] = [Math.sqrt(-2 * Math.log(uniform())), 2 * Math.PI * uniform()];
    const noise = [radius * Math.cos(angle), radius * Math.sin(angle)];
    return mean.map((value, axis) => value + Math.exp(log_var[axis] / 2) * noise[axis]);
  });
}
