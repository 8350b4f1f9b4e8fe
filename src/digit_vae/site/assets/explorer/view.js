// What of the latent plane a square of pixels shows: the first dimension to the right, the second one upwards.

const LIMITS = [0.02, 40]; // the least and the largest part of the plane along a side

export function bounded(span) {
  return Math.min(Math.max(span, LIMITS[0]), LIMITS[1]);
}

// centre: [x, y] and span are in the plane's units; side: of the square, in pixels.
export class View {
  constructor(centre, span, side) {
    Object.assign(this, { centre, span, side });
  }

  get scale() {
    return this.side / this.span; // pixels a unit
  }

  pixel([x, y]) {
    const half = this.side / 2;
    return [half + (x - this.centre[0]) * this.scale, half - (y - this.centre[1]) * this.scale];
  }

  point([right, down]) {
    const half = this.side / 2;
    return [this.centre[0] + (right - half) / this.scale, this.centre[1] - (down - half) / this.scale];
  }

  // `times` larger, so that the point below a pixel stays there.
  zoomed(times, pixel) {
    const span = bounded(this.span / times);
    const fixed = this.point(pixel);
    const centre = fixed.map((value, axis) => value + ((this.centre[axis] - value) * span) / this.span);
    return new View(centre, span, this.side);
  }

  moved(right, down) {
    return new View([this.centre[0] - right / this.scale, this.centre[1] + down / this.scale], this.span, this.side);
  }

  shows([x, y]) {
    return [x - this.centre[0], y - this.centre[1]].every((away) => Math.abs(away) <= this.span / 2);
  }
}
