// Work that takes a moment and is asked for often: while some is done, only the latest request is kept.

// work: a function of one value that returns a promise.
export function latest(work) {
  let busy = false;
  let waiting = null;
  return async function ask(value) {
    waiting = { value };
    if (busy) return;
    busy = true;
    while (waiting) {
      const { value: next } = waiting;
      waiting = null;
      await work(next);
    }
    busy = false;
  };
}

// Calls `work` once, when nothing has asked for it for so many milliseconds.
export function settled(milliseconds, work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, milliseconds);
  };
}
