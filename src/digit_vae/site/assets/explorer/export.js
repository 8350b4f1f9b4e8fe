// What the planes show, with the digits at the pointer, as a PNG.
import { coordinates } from "./names.js";
import { css, image, SIDE, theme } from "./pictures.js";

const [EDGE, GAP, FOOT] = [900, 24, 150]; // pixels: of a plane, between things, below the planes

export async function savePicture(explorer) {
  const { planes, data } = explorer;
  const made = document.createElement("canvas");
  made.width = planes.length * (EDGE + GAP) + GAP;
  made.height = EDGE + FOOT + 2 * GAP;
  const context = made.getContext("2d");
  const { paper, ink, muted } = theme();
  context.fillStyle = css(paper);
  context.fillRect(0, 0, made.width, made.height);
  planes.forEach((plane, number) => {
    const left = GAP + number * (EDGE + GAP);
    plane.draw(explorer.scene(plane)); // in the same turn: what a graphics processor drew is kept no longer
    context.drawImage(plane.picture(EDGE), left, GAP);
    const top = EDGE + 1.5 * GAP;
    if (plane.decoded) context.drawImage(digit(plane.decoded.pixels), left, top, FOOT - GAP, FOOT - GAP);
    context.fillStyle = css(ink);
    context.font = "600 26px system-ui, sans-serif";
    context.fillText(plane.model.title, left + FOOT, top + 40);
    context.fillStyle = css(muted);
    context.font = "20px system-ui, sans-serif";
    const place = coordinates(explorer.place(plane));
    context.fillText(`${plane.model.run}, decoded at z = (${place})`, left + FOOT, top + 76);
    context.fillText(`${data.count.toLocaleString("en")} test images, digit-vae`, left + FOOT, top + 106);
  });
  const blob = await new Promise((resolve) => made.toBlob(resolve, "image/png"));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `latent-plane-${planes.map((plane) => plane.model.run).join("-and-")}.png`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function digit(pixels) {
  const made = document.createElement("canvas");
  made.width = made.height = SIDE;
  made.getContext("2d").putImageData(image(pixels), 0, 0);
  return made;
}
