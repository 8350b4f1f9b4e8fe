// The page of runs: sorts and filters the table, draws the curves of chosen runs, and shows what is known of each.
// The address holds the choice, so that a view can be shared.
import { drawChart } from "./charts.js";

const MOST = 6; // runs that can be told apart by colour
const table = document.getElementById("runs");
const body = table.tBodies[0];
const rows = [...body.rows];
const headers = [...table.tHead.rows[0].cells].filter((cell) => cell.hasAttribute("aria-sort"));
const boxes = [...body.querySelectorAll("input[type=checkbox]")];
const search = document.getElementById("search");
const filters = [...document.querySelectorAll("[data-filter]")];
const curve = document.getElementById("curve");
const paper = document.getElementById("paper");
const data = await (await fetch(table.dataset.source)).json();

const minus = (text) => text.replace("-", "\u2212");
const nats = (value) => minus(value.toFixed(2));
const shown = (value) => (Number.isInteger(value) ? minus(String(value)) : minus(value.toPrecision(5)));

function readAddress() {
  const asked = new URLSearchParams(location.search);
  const runs = asked.has("runs") ? asked.get("runs").split(",") : table.dataset.first.split(" ");
  for (const box of boxes) box.checked = runs.includes(box.value);
  search.value = asked.get("name") ?? "";
  for (const filter of filters) {
    const value = asked.get(filter.dataset.filter) ?? "";
    filter.value = [...filter.options].some((option) => option.value === value) ? value : "";
  }
  const known = asked.get("curve");
  if (known in data.curves) curve.value = known;
  paper.checked = asked.get("paper") !== "no";
  const [column, direction] = (asked.get("sort") ?? "").split(",");
  const header = headers.find((cell) => cell.textContent.trim() === column);
  if (header) sort(header, direction === "descending" ? "descending" : "ascending");
}

function writeAddress() {
  const asked = new URLSearchParams();
  const sorted = headers.find((cell) => cell.ariaSort !== "none");
  if (chosen().join(" ") !== table.dataset.first) asked.set("runs", chosen().join(","));
  if (search.value) asked.set("name", search.value);
  for (const filter of filters) if (filter.value) asked.set(filter.dataset.filter, filter.value);
  if (curve.selectedIndex) asked.set("curve", curve.value);
  if (!paper.checked) asked.set("paper", "no");
  if (sorted) asked.set("sort", `${sorted.textContent.trim()},${sorted.ariaSort}`);
  const text = asked.toString().replaceAll("%2C", ",");
  history.replaceState(null, "", text ? `?${text}` : location.pathname);
}

function chosen() {
  return boxes.filter((box) => box.checked).map((box) => box.value);
}

function sort(header, direction) {
  for (const cell of headers) cell.ariaSort = cell === header ? direction : "none";
  const sign = direction === "descending" ? -1 : 1;
  const key = (row) => {
    const cell = row.cells[header.cellIndex];
    if (!header.classList.contains("number")) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => (typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true }));
  const keyed = rows.map((row) => [key(row), row]);
  keyed.sort(([a], [b]) => {
    if (a === null || b === null) return (a === null) - (b === null); // what is missing stands last
    return sign * compare(a, b);
  });
  body.append(...keyed.map(([, row]) => row));
}

function filter() {
  const words = search.value.trim().toLowerCase();
  let count = 0;
  for (const row of rows) {
    const kept = row.dataset.run.includes(words) && filters.every((each) => !each.value || row.dataset[each.dataset.filter] === each.value);
    row.hidden = !kept;
    count += kept;
  }
  document.getElementById("count").textContent = `${count} of ${rows.length} run${rows.length === 1 ? "" : "s"}`;
}

function drawCurves(names) {
  const title = data.curves[curve.value];
  const nats = curve.value !== "dead_units";
  const unit = nats ? " nats" : "";
  const points = (name, values) =>
    values.map((value, epoch) => ({ x: epoch + 1, y: value, says: `${name}, epoch ${epoch + 1}: ${nats ? minus(value.toFixed(2)) : value}${unit}` }));
  const series = names.map((name, place) => ({
    points: points(name, data.runs[name].curves[curve.value]), colour: place + 1, style: "line", shape: "disc", legend: name, dashed: false,
  }));
  const published = paper.checked ? Object.entries(data.paper[curve.value] ?? {}) : [];
  for (const [place, [name, values]] of published.entries()) {
    const shape = place ? "ring" : "disc";
    series.push({ points: points(name, values), colour: 0, style: "line", shape, legend: name, dashed: true });
  }
  const figure = document.getElementById("curves");
  figure.hidden = !series.length;
  const note = document.getElementById("curves-note");
  note.textContent = names.length ? "" : "No run is chosen: tick one in the table.";
  if (paper.checked && !published.length) note.textContent += " The paper has no numbers of this curve.";
  if (!series.length) return;
  const y = { title: nats ? `${title} (nats)` : title };
  drawChart(figure, { panels: [{ says: `${title} by epoch of ${series.map((each) => each.legend).join(", ")}`, x: { title: "epoch", whole: true }, y, series }] });
}

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function definitions(entries) {
  const list = element("dl", { class: "pairs" });
  for (const [key, value] of entries) list.append(element("div", {}, element("dt", {}, key), element("dd", {}, value)));
  return list;
}

function card(name, place) {
  const run = data.runs[name];
  const made = element("article", { class: `card s${place + 1}`, "aria-labelledby": `card-${name}` });
  made.append(element("h3", { id: `card-${name}` }, element("span", { class: "swatch", "aria-hidden": "true" }), name));
  made.append(element("p", { class: "note" }, `Study ${run.study}: ${run.question}`));
  if (run.complaints.length) made.append(element("p", { class: "warning" }, run.complaints.join("; ")));
  const test = run.metrics.test;
  made.append(definitions([["Test ELBO", nats(test.elbo)], ["Reconstruction", nats(test.reconstruction_loss)], ["KL", nats(test.kl_loss)]]));
  for (const figure of run.figures) {
    made.append(element("figure", {}, element("img", { src: figure.file, alt: figure.says, loading: "lazy" }), element("figcaption", {}, figure.says)));
  }
  const params = Object.entries(run.params).map(([key, value]) => [key, `${value ?? "none"}${run.changed.includes(key) ? " (of the variant)" : ""}`]);
  made.append(element("details", {}, element("summary", {}, "Params"), definitions(params)));
  for (const [section, numbers] of Object.entries(run.metrics)) {
    const pairs = Object.entries(numbers).map(([key, value]) => [key, shown(value)]);
    made.append(element("details", {}, element("summary", {}, `Metrics: ${section}`), definitions(pairs)));
  }
  const files = element("p", { class: "files" }, "Files: ");
  for (const [file, path] of Object.entries(run.files)) files.append(element("a", { href: path }, file), " ");
  made.append(files);
  return made;
}

function showChosen() {
  const names = chosen();
  for (const box of boxes) box.disabled = !box.checked && names.length >= MOST;
  drawCurves(names);
  const place = document.getElementById("chosen");
  place.replaceChildren(...names.map(card));
  if (!names.length) place.append(element("p", { class: "note" }, "No run is chosen."));
}

for (const header of headers) {
  header.querySelector("button").addEventListener("click", () => {
    sort(header, header.ariaSort === "ascending" ? "descending" : "ascending");
    writeAddress();
  });
}
for (const each of [search, ...filters]) {
  each.addEventListener("input", () => {
    filter();
    writeAddress();
  });
}
for (const each of [curve, paper, ...boxes]) {
  each.addEventListener("change", () => {
    showChosen();
    writeAddress();
  });
}
document.getElementById("clear").addEventListener("click", () => {
  for (const box of boxes) box.checked = false;
  showChosen();
  writeAddress();
});

readAddress();
filter();
showChosen();
table.dataset.ready = "yes";
