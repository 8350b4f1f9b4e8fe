// Mouse, fingers and wheel on a plane. One finger moves the pointer, as the mouse does without a button; two fingers, or
// the mouse with its button, move the view.

const STILL = 5; // pixels: a press that moves less picks a place

// heard: {hover(pixel), leave(), pick(pixel), look(view), view()}.
export function gestures(element, heard) {
  const down = new Map(); // pixels of the fingers, or of the pressed mouse
  let travelled = 0;

  const pixel = (event) => {
    const box = element.getBoundingClientRect();
    return [event.clientX - box.left - element.clientLeft, event.clientY - box.top - element.clientTop];
  };

  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    element.setPointerCapture(event.pointerId);
    down.set(event.pointerId, pixel(event));
    travelled = down.size > 1 ? Infinity : 0;
    if (event.pointerType !== "mouse" && down.size === 1) heard.hover(pixel(event));
  });

  element.addEventListener("pointermove", (event) => {
    const now = pixel(event);
    const before = down.get(event.pointerId);
    if (before) travelled = Math.max(travelled, Math.hypot(now[0] - before[0], now[1] - before[1]));
    if (!before || (event.pointerType !== "mouse" && down.size === 1)) heard.hover(now);
    else if (down.size === 1) {
      if (travelled > STILL) heard.look(heard.view().moved(now[0] - before[0], now[1] - before[1]));
      else return; // `before` stays where the press began
    } else heard.look(pinched(heard.view(), down, event.pointerId, now));
    if (before) down.set(event.pointerId, now);
  });

  const up = (event) => {
    if (!down.delete(event.pointerId) || down.size) return;
    const finger = event.pointerType !== "mouse";
    if (event.type === "pointerup" && (travelled <= STILL || (finger && travelled < Infinity))) heard.pick(pixel(event));
    if (finger) heard.leave();
  };
  element.addEventListener("pointerup", up);
  element.addEventListener("pointercancel", up);
  element.addEventListener("pointerleave", (event) => {
    if (!down.size && event.pointerType === "mouse") heard.leave();
  });

  const wheel = (event) => {
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    heard.look(heard.view().zoomed(Math.exp(-pixels / 400), pixel(event)));
    if (!down.size) heard.hover(pixel(event)); // a still mouse points at other dots now
  };
  element.addEventListener("wheel", wheel, { passive: false });
}

// The view after one of two fingers has moved to `now`: what lies below both stays there.
function pinched(view, down, moving, now) {
  const before = down.get(moving);
  const [other] = [...down].filter(([id]) => id !== moving).map(([, place]) => place);
  const distance = (place) => Math.max(Math.hypot(place[0] - other[0], place[1] - other[1]), 1);
  const middle = (place) => place.map((value, axis) => (value + other[axis]) / 2);
  const [from, to] = [middle(before), middle(now)];
  return view.moved(to[0] - from[0], to[1] - from[1]).zoomed(distance(now) / distance(before), to);
}
