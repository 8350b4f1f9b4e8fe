import { drawCharts } from "./charts.js";

await drawCharts(document, "data/comparisons.json");
