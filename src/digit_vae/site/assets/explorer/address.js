// The state of the page in the address after "#", so that a view can be shared. What is as usual is left out.
import { PAD } from "./prepare.js";
import { bounded } from "./view.js";

const BACKGROUNDS = ["decoded", "regions", "density", "plain"];

// strokes: [[[x, y], ...], ...], whole numbers. hidden: the digits whose points are not shown.
export function usual(run) {
  return {
    model: run, beside: null, background: "decoded", points: true, hidden: [], centre: null, span: null, z: [0, 0],
    image: null, from: null, to: null, strokes: [],
  };
}

export function written(state) {
  const first = usual(null);
  const parts = { model: state.model };
  if (state.beside) parts.beside = state.beside;
  if (state.background !== first.background) parts.background = state.background;
  if (!state.points) parts.points = "0";
  if (state.hidden.length) parts.hidden = state.hidden.join("");
  if (state.span) parts.view = numbers([...state.centre, state.span]);
  if (state.image !== null) parts.image = String(state.image);
  else parts.z = numbers(state.z);
  if (state.from) parts.from = numbers(state.from);
  if (state.to) parts.to = numbers(state.to);
  if (state.strokes.length) parts.strokes = state.strokes.map(packed).join(".");
  return Object.entries(parts).map(([name, value]) => `${name}=${value}`).join("&");
}

// What a text in an address says; what is wrong in it is as usual. runs: the names there are. images: how many.
export function read(text, runs, images) {
  const parts = new URLSearchParams(text.replace(/^#/, ""));
  const state = usual(runs[0]);
  const run = (name) => (runs.includes(parts.get(name)) ? parts.get(name) : null);
  state.model = run("model") ?? state.model;
  state.beside = run("beside") === state.model ? null : run("beside");
  if (BACKGROUNDS.includes(parts.get("background"))) state.background = parts.get("background");
  state.points = parts.get("points") !== "0";
  state.hidden = [...new Set((parts.get("hidden") ?? "").match(/\d/g) ?? [])].map(Number);
  const view = point(parts.get("view"), 3);
  if (view && view[2] > 0) [state.centre, state.span] = [view.slice(0, 2), bounded(view[2])];
  state.z = point(parts.get("z"), 2) ?? state.z;
  const image = Number(parts.get("image") ?? NaN);
  if (Number.isInteger(image) && image >= 0 && image < images) state.image = image;
  [state.from, state.to] = [point(parts.get("from"), 2), point(parts.get("to"), 2)];
  state.strokes = (parts.get("strokes") ?? "").split(".").map(unpacked).filter((stroke) => stroke.length);
  return state;
}

function numbers(values) {
  return values.map((value) => Number(value.toFixed(4))).join(",");
}

function point(text, length) {
  const values = (text ?? "").split(",").map(Number);
  const good = values.length === length && values.every((value) => Number.isFinite(value) && Math.abs(value) < 1e3);
  return text && good ? values : null;
}

// Two digits to the base of 36 for each coordinate.
function packed(stroke) {
  return stroke.flat().map((value) => value.toString(36).padStart(2, "0")).join("");
}

function unpacked(text) {
  const values = (text.match(/[0-9a-z]{2}/g) ?? []).map((pair) => Math.min(parseInt(pair, 36), PAD - 1));
  const pairs = values.slice(0, values.length - (values.length % 2));
  return pairs.flatMap((value, place) => (place % 2 ? [] : [[value, pairs[place + 1]]]));
}
