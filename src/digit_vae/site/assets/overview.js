// The overview: the switch of epochs in Table I, and the chart of its losses.
import { drawCharts } from "./charts.js";

const epoch = document.getElementById("epoch");
const shown = document.getElementById("epoch-shown");
const body = document.getElementById("losses").tBodies[0];
const epochs = await (await fetch(epoch.dataset.source)).json();

function show() {
  shown.textContent = epoch.value;
  const rows = epochs[epoch.value];
  for (const row of body.rows) {
    // A source that trained for fewer epochs has no row any more.
    const cells = rows.find(([name, device, precision]) => [name, device, precision].join() === [...row.cells].slice(0, 3).map((cell) => cell.textContent).join());
    [...row.cells].slice(3).forEach((cell, place) => {
      cell.textContent = cells ? cells[place + 3] : "";
    });
  }
}

epoch.addEventListener("input", show);
show(); // a browser may keep what was chosen before
await drawCharts(document, "data/overview.json");
epoch.dataset.ready = "yes";
