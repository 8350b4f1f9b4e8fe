// The published models in two workers: one answers the pointer at once, the other paints what may take longer.

class Line {
  constructor() {
    this.worker = new Worker(new URL("worker.js", import.meta.url));
    this.waiting = new Map();
    this.count = 0;
    this.worker.onmessage = ({ data: { id, result, error } }) => {
      const [resolve, reject] = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) resolve(result);
      else reject(new Error(error));
    };
    this.worker.onerror = (event) => {
      for (const [, reject] of this.waiting.values()) reject(new Error(event.message));
      this.waiting.clear();
    };
  }

  ask(call, values) {
    const id = this.count++;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, [resolve, reject]);
      this.worker.postMessage({ id, call, values });
    });
  }
}

export class Network {
  constructor() {
    this.quick = new Line();
    this.patient = new Line();
  }

  // model: {run, arrays}, with the arrays "encoder/conv_1/0" and so on.
  async load(model) {
    const values = { run: model.run, encoder: layers(model, "encoder"), decoder: layers(model, "decoder") };
    const [backend] = await Promise.all([this.quick.ask("load", values), this.patient.ask("load", values)]);
    return backend;
  }

  // images: Float32Array in 0..1, 784 each. Returns {mean, log_var}, two each.
  encode(run, images) {
    return this.quick.ask("encode", { run, images });
  }

  // z: two each. Returns a Float32Array of probabilities, 784 each.
  decode(run, z) {
    return this.quick.ask("decode", { run, z: Float32Array.from(z) });
  }

  // The same, after all that was asked for before.
  paint(run, z) {
    return this.patient.ask("decode", { run, z: Float32Array.from(z) });
  }
}

function layers({ arrays }, part) {
  return Object.entries(arrays)
    .filter(([name]) => name.startsWith(`${part}/`))
    .map(([name, { shape, values }]) => {
      const [, layer, number] = name.split("/");
      return { layer, part: Number(number), shape, values };
    });
}
