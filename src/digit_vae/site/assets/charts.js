// Draws charts as SVG from plain descriptions (see charts.py), one for each panel, as wide as there is room.
// A point's numbers show on hover, touch and focus. A panel is one stop of the Tab key; arrows go from point to point.

const FEWEST = 3; // ticks of an axis
const SVG = "http://www.w3.org/2000/svg";
const MARGIN = { top: 10, right: 18, bottom: 44, left: 14 };
const ROW = 58; // pixels of a category
const [LETTER, LINE] = [6.6, 15]; // pixels: about the width of a letter of a rule's label, and the height of a line
const REACH = 28; // pixels from a point within which the pointer shows it

export async function drawCharts(root, source) {
  const figures = [...root.querySelectorAll("[data-chart]")];
  if (!figures.length) return;
  const charts = await (await fetch(source)).json();
  for (const figure of figures) drawChart(figure, charts[figure.dataset.chart]);
}

/** Draws `chart` in the element `figure`, in place of what it drew there before; and anew when the width changes. */
export function drawChart(figure, chart) {
  figure.querySelector(".chart")?.remove();
  const box = element("div", { class: "chart" });
  const panels = element("div", { class: "panels" });
  const tip = element("div", { class: "tip", "aria-hidden": "true", hidden: "" });
  const legend = legendOf(chart);
  if (legend) box.append(legend);
  box.append(panels, tip);
  figure.prepend(box);
  for (const panel of chart.panels) {
    const place = element("div", { class: "panel" });
    if (panel.title) place.append(element("p", { class: "panel-title" }, panel.title));
    panels.append(place);
    let width = 0;
    const observer = new ResizeObserver(() => {
      if (!place.isConnected) return observer.disconnect();
      if (place.clientWidth === width) return;
      width = place.clientWidth;
      place.querySelector("svg")?.remove();
      place.append(drawPanel(panel, width, tip));
    });
    observer.observe(place);
  }
}

function legendOf(chart) {
  const named = new Map();
  for (const panel of chart.panels) {
    for (const series of panel.series) if (series.legend) named.set(series.legend, series);
    if (panel.band) named.set(panel.band.says, { style: "band", colour: 0 });
    if (panel.guide) named.set(panel.guide, { style: "guide", colour: 0, dashed: true });
  }
  if (!named.size) return null;
  const list = element("ul", { class: "legend" });
  for (const [name, series] of named) {
    const key = svg("svg", { width: 22, height: 12, "aria-hidden": "true", class: `s${series.colour}` });
    if (series.style === "band") key.append(svg("rect", { class: "band", width: 22, height: 12 }));
    else if (series.style === "guide") key.append(svg("line", { class: "guide", x1: 0, x2: 22, y1: 6, y2: 6, ...dashed(series) }));
    else {
      if (series.style !== "dot") key.append(svg("line", { class: "stroke", x1: 0, x2: 22, y1: 6, y2: 6, ...dashed(series) }));
      if (series.style !== "line" || series.shape === "ring") key.append(shape(series, 11, 6));
    }
    const item = element("li", {});
    item.append(key, name);
    list.append(item);
  }
  return list;
}

function drawPanel(panel, width, tip) {
  const rows = panel.y.names;
  const height = rows ? MARGIN.top + rows.length * ROW + MARGIN.bottom : Math.max(240, Math.min(360, width * 0.62));
  const yTicks = rows ? [] : ticks(...extent(panel, "y"), 5, panel.y.whole);
  const texts = tickTexts(yTicks);
  const left = rows ? MARGIN.left : 22 + 7 * Math.max(...texts.map((text) => text.length)) + (panel.y.title ? 16 : 0);
  const x = scale(extent(panel, "x"), [left, width - MARGIN.right]);
  const y = rows
    ? (value) => MARGIN.top + value * ROW
    : scale(extent(panel, "y"), [height - MARGIN.bottom, MARGIN.top]);
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": panel.says });
  const bottom = height - MARGIN.bottom;
  root.append(...gridOf(panel, x, y, { left, width, bottom, rows, yTicks, texts }));
  const marks = svg("g", {});
  const points = panel.series.flatMap((series) => drawSeries(series, x, y, marks));
  root.append(marks);
  makeReachable(root, points, tip);
  return root;
}

function gridOf(panel, x, y, { left, width, bottom, rows, yTicks, texts }) {
  const made = [];
  const right = width - MARGIN.right;
  if (panel.band) {
    const low = Math.max(left, x(panel.band.low));
    const high = Math.min(right, x(panel.band.high));
    made.push(svg("rect", { class: "band", x: low, width: Math.max(0, high - low), y: MARGIN.top, height: bottom - MARGIN.top }));
  }
  const xTicks = ticks(...extent(panel, "x"), Math.max(2, Math.floor((right - left) / 70)), panel.x.whole);
  tickTexts(xTicks).forEach((text, place) => {
    const at = x(xTicks[place]);
    made.push(svg("line", { class: "grid", x1: at, x2: at, y1: MARGIN.top, y2: bottom }));
    made.push(svg("text", { class: "tick", x: at, y: bottom + 16, "text-anchor": "middle" }, text));
  });
  yTicks.forEach((tick, place) => {
    made.push(svg("line", { class: "grid", x1: left, x2: right, y1: y(tick), y2: y(tick) }));
    made.push(svg("text", { class: "tick", x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, texts[place]));
  });
  const labels = []; // {from, to, line}: where each stands, lines counted upwards
  for (const rule of panel.rules ?? []) {
    made.push(svg("line", { class: "rule", x1: x(rule.at), x2: x(rule.at), y1: MARGIN.top, y2: bottom }));
    if (rule.label) {
      const flip = x(rule.at) > (left + right) / 2;
      const start = x(rule.at) + (flip ? -5 : 5);
      const length = LETTER * rule.label.length;
      const label = { from: flip ? start - length : start, to: flip ? start : start + length, line: 0 };
      while (labels.some((each) => each.line === label.line && each.from < label.to && label.from < each.to)) label.line += 1;
      labels.push(label);
      const where = { x: start, y: bottom - 7 - LINE * label.line, "text-anchor": flip ? "end" : "start" };
      made.push(svg("text", { class: "rule-label", ...where }, rule.label));
    }
  }
  (rows ?? []).forEach((name, row) => {
    if (row) made.push(svg("line", { class: "between", x1: left, x2: right, y1: y(row), y2: y(row) }));
    made.push(svg("text", { class: "row", x: left + 2, y: y(row) + 15 }, name));
  });
  made.push(svg("line", { class: "axis", x1: left, x2: right, y1: bottom, y2: bottom }));
  made.push(svg("text", { class: "axis-title", x: (left + right) / 2, y: bottom + 36, "text-anchor": "middle" }, panel.x.title));
  if (!rows && panel.y.title) {
    const middle = (MARGIN.top + bottom) / 2;
    const turned = { transform: `translate(13 ${middle}) rotate(-90)`, "text-anchor": "middle" };
    made.push(svg("text", { class: "axis-title", ...turned }, panel.y.title));
  }
  return made;
}

/** Draws one series into `parent`; returns its points with their places on the screen. */
function drawSeries(series, x, y, parent) {
  const group = svg("g", { class: `s${series.colour}` });
  parent.append(group);
  if (series.style === "line" || series.style === "guide") {
    const path = series.points.map((point, place) => `${place ? "L" : "M"}${x(point.x)} ${y(point.y)}`).join("");
    group.append(svg("path", { class: series.style === "guide" ? "guide" : "stroke", d: path, fill: "none", ...dashed(series) }));
  }
  if (series.style === "guide") return [];
  return series.points.map((point) => {
    const at = { x: x(point.x), y: y(point.y) };
    const mark = svg("g", { class: "mark", role: "img", tabindex: -1, "aria-label": point.says });
    if (point.low !== undefined) mark.append(svg("line", { class: "stroke", x1: x(point.low), x2: x(point.high), y1: at.y, y2: at.y }));
    const small = series.style === "line" && series.points.length > 12;
    mark.append(shape(small ? { ...series, size: 2 } : series, at.x, at.y));
    group.append(mark);
    return { ...at, mark, says: point.says };
  });
}

function shape(series, x, y) {
  const size = series.size ?? (series.style === "line" ? 3 : 4.5);
  if (series.shape === "diamond") {
    const reach = size + 1.5;
    return svg("path", { class: "fill", d: `M${x} ${y - reach}L${x + reach} ${y}L${x} ${y + reach}L${x - reach} ${y}Z` });
  }
  return svg("circle", { class: series.shape === "ring" ? "ring" : "fill", cx: x, cy: y, r: size });
}

function dashed(series) {
  return series.dashed ? { "stroke-dasharray": "5 4" } : {};
}

/** The points show what they say to pointer and keyboard. */
function makeReachable(root, points, tip) {
  if (!points.length) return;
  let current = 0;
  const order = points.map((_, place) => place).sort((a, b) => points[a].x - points[b].x || points[a].y - points[b].y);
  const show = (place) => {
    hide();
    const point = points[place];
    point.mark.classList.add("shown");
    const box = tip.parentElement.getBoundingClientRect();
    const here = root.getBoundingClientRect();
    tip.textContent = point.says;
    tip.hidden = false;
    const left = here.left - box.left + point.x - tip.offsetWidth / 2;
    tip.style.left = `${Math.max(0, Math.min(left, box.width - tip.offsetWidth))}px`;
    tip.style.top = `${here.top - box.top + point.y - tip.offsetHeight - 12}px`;
  };
  const hide = () => {
    for (const shown of tip.parentElement.querySelectorAll(".mark.shown")) shown.classList.remove("shown");
    tip.hidden = true;
  };
  const focus = (place) => {
    points[order[current]].mark.setAttribute("tabindex", -1);
    current = place;
    points[order[current]].mark.setAttribute("tabindex", 0);
  };
  focus(0);
  order.forEach((which, place) => {
    points[which].mark.addEventListener("focus", () => {
      focus(place);
      show(which);
    });
    points[which].mark.addEventListener("blur", hide);
  });
  root.addEventListener("keydown", (event) => {
    const last = order.length - 1;
    const steps = { ArrowRight: current + 1, ArrowDown: current + 1, ArrowLeft: current - 1, ArrowUp: current - 1, Home: 0, End: last };
    if (event.key === "Escape") hide();
    if (!(event.key in steps)) return;
    event.preventDefault();
    points[order[Math.max(0, Math.min(last, steps[event.key]))]].mark.focus();
  });
  const near = (event) => {
    const here = root.getBoundingClientRect();
    const away = (point) => Math.hypot(point.x - (event.clientX - here.left), point.y - (event.clientY - here.top));
    let best = 0;
    points.forEach((point, place) => {
      if (away(point) < away(points[best])) best = place;
    });
    if (away(points[best]) <= REACH) show(best);
    else hide();
  };
  root.addEventListener("pointermove", near);
  root.addEventListener("pointerdown", near);
  root.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hide());
}

/** The least and the greatest that a panel shows along one axis, with some room. */
function extent(panel, axis) {
  const values = [];
  for (const series of panel.series) {
    for (const point of series.points) {
      if (series.style !== "guide") values.push(point[axis]);
      if (axis === "x" && point.low !== undefined) values.push(point.low, point.high);
    }
  }
  if (axis === "x") {
    for (const rule of panel.rules ?? []) values.push(rule.at);
    if (panel.band) values.push(panel.band.low, panel.band.high);
  }
  const low = Math.min(...values);
  const high = Math.max(...values);
  const room = (high - low || Math.abs(high) || 1) * 0.06;
  return [low - room, high + room];
}

function scale([low, high], [from, to]) {
  return (value) => from + ((value - low) / (high - low)) * (to - from);
}

/** About `most` round numbers between `low` and `high`, and `FEWEST` where there is room. whole: no fractions. */
function ticks(low, high, most, whole = false) {
  const raw = Math.max((high - low) / Math.max(1, most), whole ? 1 : 0);
  const power = 10 ** Math.floor(Math.log10(raw));
  const steps = (whole && power === 1 ? [1, 2, 5, 10] : [0.5, 1, 2, 5, 10]).map((factor) => factor * power);
  const made = (step) => {
    const first = Math.ceil(low / step - 1e-9);
    const last = Math.floor(high / step + 1e-9);
    return Array.from({ length: Math.max(0, last - first + 1) }, (_, count) => (first + count) * step);
  };
  const wide = steps.findIndex((step) => step >= raw);
  const found = made(steps[wide]);
  return found.length < FEWEST && most >= FEWEST && wide > 0 ? made(steps[wide - 1]) : found;
}

function tickTexts(values) {
  const step = values.length > 1 ? Math.abs(values[1] - values[0]) : 1;
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return values.map((value) => (Math.abs(value) < step * 1e-6 ? 0 : value).toFixed(digits).replace("-", "\u2212"));
}

function element(name, attributes, text) {
  return filled(document.createElement(name), attributes, text);
}

function svg(name, attributes, text) {
  return filled(document.createElementNS(SVG, name), attributes, text);
}

function filled(made, attributes, text) {
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== undefined) made.textContent = text;
  return made;
}
