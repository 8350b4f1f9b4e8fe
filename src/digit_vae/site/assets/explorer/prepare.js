// Makes an image like MNIST's of strokes: ink, fitted into 20x20 and centred in 28x28. All in whole numbers after the
// ink is there: `fitted` gives the very bytes that serving/preparing.py gives.

export const PAD = 280; // pixels along each side of what is drawn on
const RADIUS = 11.5; // of the pen: a digit of 200 pixels gets strokes of two to three pixels of 28
const [SIZE, BOX] = [28, 20];

// strokes: [[[x, y], ...], ...] in pixels of the pad. Returns the ink, PAD x PAD bytes, 255 where it is full.
export function inked(strokes) {
  const ink = new Uint8Array(PAD * PAD);
  for (const stroke of strokes) {
    stroke.forEach((point, number) => line(ink, stroke[Math.max(0, number - 1)], point));
  }
  return ink;
}

function line(ink, [x0, y0], [x1, y1]) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const squared = dx * dx + dy * dy || 1;
  const reach = Math.ceil(RADIUS) + 1;
  const between = (value) => Math.min(Math.max(value, 0), PAD - 1);
  for (let y = between(Math.min(y0, y1) - reach); y <= between(Math.max(y0, y1) + reach); y++) {
    for (let x = between(Math.min(x0, x1) - reach); x <= between(Math.max(x0, x1) + reach); x++) {
      const along = Math.min(Math.max(((x - x0) * dx + (y - y0) * dy) / squared, 0), 1);
      const distance = Math.hypot(x - x0 - along * dx, y - y0 - along * dy);
      const value = Math.round(255 * Math.min(Math.max(RADIUS + 0.5 - distance, 0), 1));
      if (value > ink[y * PAD + x]) ink[y * PAD + x] = value;
    }
  }
}

// ink: height x width bytes. Returns 784 bytes, or null where no pixel has 128. The numbers are those of the steps in
// preparing.py.
export function fitted(ink, height, width) {
  const cut = box(ink, height, width); // 1
  if (cut === null) return null;
  const longer = Math.max(cut.height, cut.width);
  const side = (length) => Math.max(1, Math.floor((2 * BOX * length + longer) / (2 * longer))); // 2
  const [rows, columns] = [side(cut.height), side(cut.width)];
  const areas = averaged(ink, width, cut, rows, columns); // 3
  const largest = areas.reduce((a, b) => Math.max(a, b));
  const values = areas.map((area) => Math.floor((510 * area + largest) / (2 * largest))); // 4
  return centred(values, rows, columns); // 5
}

function box(ink, height, width) {
  let [top, left, bottom, right] = [height, width, -1, -1];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (ink[y * width + x] < 128) continue;
      [top, left] = [Math.min(top, y), Math.min(left, x)];
      [bottom, right] = [Math.max(bottom, y), Math.max(right, x)];
    }
  }
  return bottom < 0 ? null : { top, left, height: bottom - top + 1, width: right - left + 1 };
}

function averaged(ink, stride, cut, rows, columns) {
  const areas = new Array(rows * columns).fill(0);
  const across = Array.from({ length: cut.width }, (_, x) => overlaps(x, cut.width, columns));
  for (let y = 0; y < cut.height; y++) {
    for (let x = 0; x < cut.width; x++) {
      const value = ink[(cut.top + y) * stride + cut.left + x];
      if (!value) continue;
      for (const [row, high] of overlaps(y, cut.height, rows)) {
        for (const [column, wide] of across[x]) areas[row * columns + column] += high * value * wide;
      }
    }
  }
  return areas;
}

// Where pixel `place` of `of` lies among `to` pixels over the same length: [pixel, overlap], in whole numbers.
function overlaps(place, of, to) {
  const found = [];
  for (let pixel = Math.floor((place * to) / of); pixel * of < (place + 1) * to; pixel++) {
    found.push([pixel, Math.min((pixel + 1) * of, (place + 1) * to) - Math.max(pixel * of, place * to)]);
  }
  return found;
}

function centred(values, rows, columns) {
  const [down, across] = [new Array(rows).fill(0), new Array(columns).fill(0)];
  values.forEach((value, place) => {
    down[Math.floor(place / columns)] += value;
    across[place % columns] += value;
  });
  const [top, left] = [start(down), start(across)];
  const image = new Uint8Array(SIZE * SIZE);
  values.forEach((value, place) => {
    image[(top + Math.floor(place / columns)) * SIZE + left + (place % columns)] = value;
  });
  return image;
}

function start(profile) {
  const mass = profile.reduce((a, b) => a + b);
  const moment = profile.reduce((sum, value, place) => sum + value * (2 * place + 1), 0);
  return Math.min(Math.max(Math.floor(((SIZE + 1) * mass - moment) / (2 * mass)), 0), SIZE - profile.length);
}
