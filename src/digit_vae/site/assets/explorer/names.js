// What the images are called, and how numbers are written. data: what the build wrote, {noun, nouns, classes}.

// The name of a class: a digit of MNIST, or such as "Ankle boot".
export const named = ({ classes }, label) => classes[label] ?? String(label);

// "Test image 7, a 9", or "Test image 7, Ankle boot"; labels: a class an image, or null.
export function imageName(data, labels, image) {
  if (!labels) return `Test image ${image}`;
  const name = named(data, labels[image]);
  const article = /^\d$/.test(name) ? (name === "8" ? "an " : "a ") : "";
  return `Test image ${image}, ${article}${name}`;
}

// With a real minus, and none before what is zero as shown.
export function fixed(value, digits = 2) {
  const text = Math.abs(value).toFixed(digits);
  return value < 0 && Number(text) ? `\u2212${text}` : text;
}

export const coordinates = (place) => place.map((value) => fixed(value)).join(", ");

// What the classifier sees (see Plane.seen): "6, 98 %", or both classes where two meet.
export function judged(data, { digit, other, percent }) {
  return other === null ? `${named(data, digit)} (${percent}\u00a0%)` : `${named(data, digit)} or ${named(data, other)}`;
}
