import { drawCharts } from "./charts.js";

await drawCharts(document, "data/comparisons.json");
// The charts, drawn in the next frame, push down the chapter that the address names.
const named = document.getElementById(location.hash.slice(1));
const show = () => named?.scrollIntoView({ behavior: "instant" });
requestAnimationFrame(() => requestAnimationFrame(show));
