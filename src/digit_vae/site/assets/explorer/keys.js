// A plane by the keyboard; the page says which keys there are.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
const ZOOM = 1.25;

export function connectKeys(explorer) {
  document.getElementById("planes").addEventListener("keydown", (event) => {
    const plane = explorer.planes.find((each) => each.element === event.target);
    if (!plane || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = action(explorer, plane, event);
    if (!act) return;
    event.preventDefault();
    act();
  });
}

function action(explorer, plane, { key, shiftKey }) {
  const place = explorer.place(plane);
  if (key in ARROWS) return () => go(explorer, plane, place.map((value, axis) => value + ARROWS[key][axis] * plane.step * (shiftKey ? 5 : 1)));
  const zoom = (times) => () => explorer.look(plane.view.zoomed(times, plane.view.pixel(place)));
  const keys = {
    "+": zoom(ZOOM), "=": zoom(ZOOM), "-": zoom(1 / ZOOM), 0: () => explorer.reset(),
    Enter: () => explorer.choose(plane.nearest(place, explorer.isShownDigit, Infinity), place),
    Escape: () => explorer.choose(null, place),
    a: () => explorer.set({ from: place }), b: () => explorer.set({ to: place }),
    p: () => document.getElementById("path-play").click(),
  };
  return keys[key];
}

// The view follows a pointer that leaves it.
function go(explorer, plane, place) {
  explorer.choose(null, place);
  if (!plane.view.shows(place)) explorer.set({ centre: place, span: plane.view.span });
}
