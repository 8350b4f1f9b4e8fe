// The plane as decoded digits: a lattice whose cells halve as one zooms in. Each is decoded once, in the browser, coarse
// ones first; a coarse digit stands where none of the four in its place is there yet.
import { SIDE, image } from "./pictures.js";

const AT_ONCE = 8; // digits a request: what is in view by then changes between requests
const MOST = 6000; // digits kept

export class Tiles {
  // decode: from an array of z, two each, to a promise of pixels. changed: is called when digits have come.
  constructor(decode, changed) {
    Object.assign(this, { decode, changed, kept: new Map(), busy: false, whole: false });
  }

  // Draws what is there, and asks for what is missing.
  draw(context, view, alpha) {
    const level = Math.ceil(Math.log2(smallest(view) / view.scale));
    context.save();
    context.globalAlpha = alpha;
    context.imageSmoothingEnabled = true;
    const coarse = cells(view, level + 1);
    const fine = coarse.flatMap((parent) => children(parent)).filter((cell) => visible(view, cell));
    for (const parent of coarse) {
      const parts = children(parent).filter((cell) => this.kept.has(key(cell)));
      for (const cell of parts.length ? parts : [parent]) this.drawCell(context, view, cell);
    }
    context.restore();
    const missing = (list) => list.filter((cell) => !this.kept.has(key(cell)));
    this.whole = !missing(coarse).length;
    this.request([...missing(coarse), ...missing(fine)]);
  }

  drawCell(context, view, cell) {
    const digit = this.kept.get(key(cell));
    if (!digit) return;
    digit.picture ??= picture(digit.pixels);
    const side = 2 ** cell.level * view.scale;
    const [x, y] = view.pixel(middle(cell));
    context.drawImage(digit.picture, x - side / 2, y - side / 2, side, side);
  }

  async request(missing) {
    if (this.busy || !missing.length) return;
    this.busy = true;
    const asked = missing.slice(0, AT_ONCE);
    const pixels = await this.decode(asked.flatMap(middle));
    asked.forEach((cell, place) => {
      this.kept.set(key(cell), { pixels: pixels.subarray(place * SIDE * SIDE, (place + 1) * SIDE * SIDE) });
    });
    for (const oldest of this.kept.keys()) {
      if (this.kept.size <= MOST) break;
      this.kept.delete(oldest);
    }
    this.busy = false;
    this.changed();
  }

  // After a change of the theme.
  repaint() {
    for (const digit of this.kept.values()) digit.picture = null;
  }
}

function smallest(view) {
  return view.side > 520 ? 32 : 24; // pixels that a cell's side has at least
}

function key({ level, column, row }) {
  return `${level}/${column}/${row}`;
}

function middle({ level, column, row }) {
  return [(column + 0.5) * 2 ** level, (row + 0.5) * 2 ** level];
}

function children({ level, column, row }) {
  return [0, 1, 2, 3].map((part) => ({ level: level - 1, column: 2 * column + (part & 1), row: 2 * row + (part >> 1) }));
}

function visible(view, cell) {
  const reach = (view.span + 2 ** cell.level) / 2;
  return middle(cell).every((value, axis) => Math.abs(value - view.centre[axis]) < reach);
}

// Those in view, the middle ones first.
function cells(view, level) {
  const side = 2 ** level;
  const [[left, right], [low, high]] = view.centre.map((value) =>
    [-1, 1].map((end) => Math.floor((value + (end * view.span) / 2) / side)),
  );
  const found = [];
  for (let row = low; row <= high; row++) {
    for (let column = left; column <= right; column++) found.push({ level, column, row });
  }
  const away = (cell) => Math.hypot(...middle(cell).map((value, axis) => value - view.centre[axis]));
  return found.sort((a, b) => away(a) - away(b));
}

function picture(pixels) {
  const made = document.createElement("canvas");
  made.width = made.height = SIDE;
  made.getContext("2d").putImageData(image(pixels), 0, 0);
  return made;
}
