// Paints digits on canvases of 28x28 pixels: the ink has the theme's colour, the paper is what lies behind the canvas.

export const SIDE = 28;
const painted = new Map(); // what each canvas shows, to paint it anew in another theme
let colours = null;

// The theme's colours as [red, green, blue]: ink, accent and the like by name, and those of the ten classes.
export function theme() {
  return (colours ??= {
    ...Object.fromEntries(["ink", "muted", "paper", "raised", "accent", "warm"].map((name) => [name, colour(`--${name}`)])),
    classes: Array.from({ length: 10 }, (_, digit) => colour(`--class-${digit}`)),
  });
}

export function css([red, green, blue], alpha = 1) {
  return `rgba(${red}, ${green}, ${blue}, ${alpha})`;
}

// A property's colour as the browser resolves it, whichever way it is written.
function colour(property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const [red, green, blue] = getComputedStyle(probe).color.match(/[\d.]+/g).map(Number);
  probe.remove();
  return [red, green, blue];
}

export function canvas(label) {
  const made = document.createElement("canvas");
  made.width = made.height = SIDE;
  made.className = "digit";
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}

// values: 784 of them, from 0 to `full`; null leaves the canvas empty.
export function paint(target, values, full = 1) {
  painted.set(target, { values, full });
  const context = target.getContext("2d");
  context.clearRect(0, 0, SIDE, SIDE);
  if (values) context.putImageData(image(values, full), 0, 0);
}

export function image(values, full = 1) {
  const [red, green, blue] = theme().ink;
  const pixels = new ImageData(SIDE, SIDE);
  for (let place = 0; place < SIDE * SIDE; place++) {
    pixels.data.set([red, green, blue, (255 * values[place]) / full], 4 * place);
  }
  return pixels;
}

// After a change of the theme.
export function repaint() {
  colours = null;
  for (const [target, { values, full }] of painted) {
    if (target.isConnected) paint(target, values, full);
    else painted.delete(target);
  }
}
