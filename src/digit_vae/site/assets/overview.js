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
    const [run, about] = [...row.cells[0].children].map((each) => each.textContent);
    // A source that trained for fewer epochs has no numbers any more.
    const [, , ...numbers] = rows.find((each) => each[0] === run && each[1] === about) ?? [];
    [...row.cells].slice(1).forEach((cell, place) => {
      cell.textContent = numbers[place] ?? "";
    });
  }
}

epoch.addEventListener("input", show);
show(); // a browser may keep what was chosen before
await drawCharts(document, "data/overview.json");
epoch.dataset.ready = "yes";
