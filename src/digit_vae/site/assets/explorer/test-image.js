// A test image: the original, what each model makes of it, and its losses.
import { latest } from "./latest.js";
import { imageName } from "./names.js";
import { canvas, paint } from "./pictures.js";

export class ImageCard {
  constructor(explorer) {
    this.explorer = explorer;
    this.box = document.getElementById("image-body");
    this.name = document.getElementById("image-name");
    this.ask = latest((image) => this.show(image));
    const go = (by) => () => {
      const { image, data } = explorer;
      explorer.choose(image === null ? 0 : (image + by + data.count) % data.count, explorer.state.z);
    };
    document.getElementById("image-before").addEventListener("click", go(-1));
    document.getElementById("image-after").addEventListener("click", go(1));
  }

  planesChanged() {
    this.asked = undefined;
  }

  update() {
    const { image } = this.explorer;
    const key = `${image}/${this.explorer.planes.map((plane) => plane.model.run)}`;
    if (key === this.asked) return;
    // While the pointer is between points, the last image stays.
    if (image === null && this.explorer.hovered && this.asked !== undefined) return;
    this.asked = key;
    this.ask(image);
  }

  async show(image) {
    const { explorer } = this;
    this.box.classList.toggle("empty", image === null);
    if (image === null) {
      this.name.textContent = "Test image";
      const hint = document.createElement("p");
      hint.className = "note";
      hint.textContent = "Point at a dot, or click one: each is a test image, at the mean of its posterior.";
      this.box.replaceChildren(hint);
      return;
    }
    const planes = [...explorer.planes];
    const pixels = (await explorer.images).subarray(784 * image, 784 * (image + 1));
    const decoded = await Promise.all(
      planes.map((plane) => explorer.network.decode(plane.model.run, plane.posterior(image).mean)),
    );
    this.name.textContent = imageName(explorer.data, explorer.labels, image);
    const original = figure("Original", pixels, 255, []);
    const rest = planes.map((plane, place) => figure(plane.model.title, decoded[place], 1, losses(plane, image)));
    this.box.replaceChildren(original, ...rest);
  }
}

function losses(plane, image) {
  const value = (name) => plane.model.arrays[name].values[image].toFixed(1);
  const sigma = plane.posterior(image).log_var.map((part) => Math.exp(part / 2).toPrecision(2)).join(", ");
  return [["reconstruction", value("reconstruction_loss")], ["KL", value("kl")], ["\u03c3", sigma]];
}

function figure(title, pixels, full, numbers) {
  const made = document.createElement("figure");
  const digit = canvas(title === "Original" ? "The test image" : `Reconstruction by ${title}`);
  paint(digit, pixels, full);
  const caption = document.createElement("figcaption");
  const name = document.createElement("strong");
  name.textContent = title;
  const list = document.createElement("dl");
  for (const [term, value] of numbers) {
    const row = document.createElement("div");
    const [first, second] = ["dt", "dd"].map((tag) => document.createElement(tag));
    [first.textContent, second.textContent] = [term, value];
    row.append(first, second);
    list.append(row);
  }
  caption.append(name, ...(numbers.length ? [list] : []));
  made.append(digit, caption);
  return made;
}
