// Encodes and decodes with the published weights, in TensorFlow.js. Each message is {id, call, values}; each answer
// {id, result} or {id, error}. The layers are those of model/vae.py, built of operations and given weights as arrays.
"use strict";
const vendored = new URL("../../explorer/vendored/", self.location).href;
importScripts(`${vendored}tf-core.es2017.min.js`, `${vendored}tf-backend-wasm.es2017.min.js`);

const networks = new Map(); // by the run's name: weights as tensors, by the layer's name
const ready = start();

// WebAssembly decodes in a third of a frame and computes in float32 everywhere; a GPU's float16 would not do.
async function start() {
  tf.wasm.setWasmPaths(vendored);
  try {
    if (await tf.setBackend("wasm")) return tf.getBackend();
  } catch {
    // A browser without WebAssembly, or one that forbids it.
  }
  importScripts(`${vendored}tf-backend-cpu.es2017.min.js`);
  await tf.setBackend("cpu");
  return tf.getBackend();
}

function dense(x, [kernel, bias], activation) {
  return tf.fused.matMul({ a: x, b: kernel, bias, activation });
}

function convolution(x, [kernel, bias]) {
  return tf.fused.conv2d({ x, filter: kernel, strides: 2, pad: "same", bias, activation: "relu" });
}

function transposed(x, [kernel, bias], strides) {
  const [count, height, width] = x.shape;
  const shape = [count, strides * height, strides * width, kernel.shape[2]];
  return tf.add(tf.conv2dTranspose(x, kernel, shape, strides, "same"), bias);
}

function encoder(layers, images) {
  const hidden = convolution(convolution(images, layers.conv_1), layers.conv_2);
  const flat = dense(tf.reshape(hidden, [images.shape[0], -1]), layers.hidden, "relu");
  return [dense(flat, layers.z_mean, "linear"), dense(flat, layers.z_log_var, "linear")];
}

function decoder(layers, z) {
  const hidden = tf.reshape(dense(z, layers.dense, "relu"), [z.shape[0], 7, 7, 64]);
  const larger = tf.relu(transposed(hidden, layers.conv_transpose_1, 2));
  return transposed(tf.relu(transposed(larger, layers.conv_transpose_2, 2)), layers.logits, 1);
}

// Pixels at a time: all layers' values of one batch have to fit into memory.
const BATCH = 100;

// In batches: the outputs of `compute` for each, put together as one Float32Array an output.
async function batched(count, compute) {
  const parts = [];
  for (let first = 0; first < count; first += BATCH) {
    const outputs = tf.tidy(() => compute(first, Math.min(count, first + BATCH)));
    parts.push(await Promise.all(outputs.map((output) => output.data())));
    tf.dispose(outputs);
  }
  return parts[0].map((_, output) => joined(parts.map((part) => part[output])));
}

function joined(arrays) {
  const all = new Float32Array(arrays.reduce((total, array) => total + array.length, 0));
  let place = 0;
  for (const array of arrays) {
    all.set(array, place);
    place += array.length;
  }
  return all;
}

const calls = {
  // arrays: [{layer, part, shape, values}], part 0 a kernel and 1 a bias.
  load({ run, encoder: inwards, decoder: outwards }) {
    const tensors = (arrays) => {
      const layers = {};
      for (const { layer, part, shape, values } of arrays) (layers[layer] ??= [])[part] = tf.tensor(values, shape);
      return layers;
    };
    networks.set(run, { encoder: tensors(inwards), decoder: tensors(outwards) });
    return tf.getBackend();
  },
  // images: Float32Array of 784 for each, in 0..1. Returns mean and log_var, two for each.
  async encode({ run, images }) {
    const layers = networks.get(run).encoder;
    const [mean, log_var] = await batched(images.length / 784, (first, end) =>
      encoder(layers, tf.tensor(images.subarray(784 * first, 784 * end), [end - first, 28, 28, 1])),
    );
    return { mean, log_var };
  },
  // z: Float32Array, two for each. Returns the probability of ink for each pixel, 784 for each.
  async decode({ run, z }) {
    const layers = networks.get(run).decoder;
    const [pixels] = await batched(z.length / 2, (first, end) => [
      tf.sigmoid(decoder(layers, tf.tensor(z.subarray(2 * first, 2 * end), [end - first, 2]))),
    ]);
    return pixels;
  },
};

self.onmessage = async ({ data: { id, call, values } }) => {
  try {
    await ready;
    self.postMessage({ id, result: await calls[call](values) });
  } catch (error) {
    self.postMessage({ id, error: String(error) });
  }
};
