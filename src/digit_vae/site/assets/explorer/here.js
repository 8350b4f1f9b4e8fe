// The digit at the pointer, large, with what the classifier makes of it.
import { coordinates, judged } from "./names.js";
import { canvas, paint } from "./pictures.js";

export class HereCard {
  constructor(explorer) {
    this.explorer = explorer;
    this.box = document.getElementById("here");
  }

  planesChanged() {
    this.parts = this.explorer.planes.map((plane) => {
      const figure = document.createElement("figure");
      const digit = canvas(`What ${plane.model.title} decodes at the pointer`);
      const caption = document.createElement("figcaption");
      figure.append(digit, caption);
      return { plane, figure, digit, caption };
    });
    this.box.replaceChildren(...this.parts.map((part) => part.figure));
  }

  update() {
    for (const part of this.parts ?? []) {
      const { decoded } = part.plane;
      if (!decoded || decoded === part.shown) continue;
      part.shown = decoded;
      paint(part.digit, decoded.pixels);
      const lines = [part.plane.model.title, `z = (${coordinates(decoded.place)})`];
      const seen = part.plane.seen(decoded.place);
      if (seen) lines.push(`the classifier says ${judged(this.explorer.data, seen)}`);
      part.caption.replaceChildren(...lines.map((line, number) => element(number ? "span" : "strong", line)));
    }
    const { backend, decodeTime } = this.explorer;
    if (!decodeTime) return;
    const text = `Decoded here by TensorFlow.js (${backend}), shown after ${decodeTime.toFixed(0)} ms.`;
    const note = document.getElementById("decode-time");
    if (note.textContent !== text) note.textContent = text;
  }
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}
