// The controls above the planes.
import { settled } from "./latest.js";

const element = (id) => document.getElementById(id);
const ZOOM = 1.5;

export function connectTools(explorer) {
  const [model, beside] = [element("model"), element("beside")];
  model.addEventListener("change", () => {
    const other = explorer.state.beside === model.value ? null : explorer.state.beside;
    explorer.set({ model: model.value, beside: other });
  });
  beside.addEventListener("change", () => explorer.set({ beside: beside.value || null }));
  for (const radio of document.querySelectorAll("[name=background]")) {
    radio.addEventListener("change", () => explorer.set({ background: radio.value }));
  }
  element("points").addEventListener("change", () => explorer.set({ points: element("points").checked }));
  for (const button of document.querySelectorAll("[data-digit]")) {
    button.addEventListener("click", () => explorer.set({ hidden: toggled(explorer.state.hidden, Number(button.dataset.digit)) }));
  }
  const zoom = (times) => () => {
    const { view } = explorer.planes[0];
    explorer.look(view.zoomed(times, view.pixel(view.centre)));
  };
  element("zoom-in").addEventListener("click", zoom(ZOOM));
  element("zoom-out").addEventListener("click", zoom(1 / ZOOM));
  element("zoom-reset").addEventListener("click", () => explorer.reset());
  element("save").addEventListener("click", () => explorer.savePicture());
  element("share").addEventListener("click", () => share(explorer));
  explorer.cards.push({ update: () => show(explorer) });
}

function toggled(hidden, digit) {
  return hidden.includes(digit) ? hidden.filter((each) => each !== digit) : [...hidden, digit].sort();
}

function show({ state, planes }) {
  element("model").value = state.model;
  element("beside").value = state.beside ?? "";
  for (const option of element("beside").options) option.disabled = option.value === state.model;
  for (const radio of document.querySelectorAll("[name=background]")) {
    radio.checked = radio.value === state.background;
    if (radio.value === "regions") radio.disabled = !planes.some((plane) => plane.model.arrays.map_classes);
  }
  element("points").checked = state.points;
  for (const button of document.querySelectorAll("[data-digit]")) {
    button.setAttribute("aria-pressed", String(!state.hidden.includes(Number(button.dataset.digit))));
  }
}

const quiet = settled(2500, () => (element("share").textContent = "Copy link"));

async function share(explorer) {
  explorer.keepNow();
  try {
    await navigator.clipboard.writeText(location.href);
    element("share").textContent = "Copied";
    explorer.announce("The address of this view is in the clipboard.");
  } catch {
    element("share").textContent = "It is in the address bar"; // the browser does not let pages copy
  }
  quiet();
}
