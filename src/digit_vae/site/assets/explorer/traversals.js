// From the pointer along each dimension alone, from -3 to 3 standard deviations of the prior.
import { latest } from "./latest.js";
import { fixed } from "./names.js";
import { canvas, paint } from "./pictures.js";

const STOPS = [-3, -2.25, -1.5, -0.75, 0, 0.75, 1.5, 2.25, 3];

export class TraversalCard {
  constructor(explorer) {
    this.explorer = explorer;
    this.box = document.getElementById("traversals");
    this.ask = latest(() => this.show());
  }

  planesChanged() {
    this.asked = undefined;
    this.rows = this.explorer.planes.flatMap((plane) => [0, 1].map((axis) => this.row(plane, axis)));
    this.box.replaceChildren(...this.rows.map((row) => row.element));
  }

  row(plane, axis) {
    const element = document.createElement("div");
    element.className = "traversal";
    const name = document.createElement("p");
    name.textContent = `${plane.model.title}, z${axis}`;
    const strip = document.createElement("div");
    strip.className = "strip";
    const digits = STOPS.map((stop) => {
      const button = document.createElement("button");
      button.type = "button";
      button.setAttribute("aria-label", `${plane.model.title}: go to z${axis} = ${fixed(stop, Number.isInteger(stop) ? 0 : 2)}`);
      const digit = canvas("");
      digit.removeAttribute("role");
      digit.setAttribute("aria-hidden", "true");
      digit.removeAttribute("aria-label");
      button.append(digit);
      button.addEventListener("click", () => this.explorer.choose(null, moved(this.explorer.place(plane), axis, stop)));
      strip.append(button);
      return { button, digit };
    });
    element.append(name, strip);
    return { element, plane, axis, digits };
  }

  update() {
    const key = this.explorer.planes.map((plane) => this.explorer.place(plane).join()).join("/");
    if (key === this.asked) return;
    this.asked = key;
    this.ask();
  }

  async show() {
    for (const { plane, axis, digits } of this.rows ?? []) {
      const place = this.explorer.place(plane);
      const pixels = await this.explorer.network.paint(plane.model.run, STOPS.flatMap((stop) => moved(place, axis, stop)));
      const nearest = STOPS.reduce((a, b) => (Math.abs(b - place[axis]) < Math.abs(a - place[axis]) ? b : a));
      digits.forEach(({ button, digit }, number) => {
        paint(digit, pixels.subarray(784 * number, 784 * (number + 1)));
        button.classList.toggle("near", STOPS[number] === nearest);
      });
    }
  }
}

function moved(place, axis, value) {
  return place.map((each, number) => (number === axis ? value : each));
}
