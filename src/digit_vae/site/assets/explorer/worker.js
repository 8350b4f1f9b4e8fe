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

function convolution(x, [kernel, bias], { strides, pad, activation }) {
  return tf.fused.conv2d({ x, filter: kernel, strides, pad, bias, activation });
}

// A transposed convolution of stride 2. Seen from its outputs, each block of 2x2 of them depends on 2x2 inputs: it is a
// convolution with four times the outputs, which are then put in their places. That takes half the time here.
function doubled(x, layer) {
  const padded = tf.pad(x, [[0, 0], [1, 0], [1, 0], [0, 0]]);
  return tf.depthToSpace(convolution(padded, layer, { strides: 1, pad: "valid", activation: "relu" }), 2, "NHWC");
}

// Which row of the 3x3 kernel leads from the input before (0) and the one at the place (1) to the even and the odd output.
const TAPS = [[2, 0], [null, 1]];

// (3, 3, out, in) as (2, 2, in, 4 out), and the bias four times.
function asBlocks([kernel, bias]) {
  const [, , outputs, inputs] = kernel.shape;
  const values = kernel.dataSync();
  const blocks = tf.buffer([2, 2, inputs, 4 * outputs]);
  const both = [0, 1];
  for (const odd of both) for (const right of both) for (const row of both) for (const column of both) {
    const [down, across] = [TAPS[odd][row], TAPS[right][column]];
    if (down === null || across === null) continue;
    for (let output = 0; output < outputs; output++) {
      for (let input = 0; input < inputs; input++) {
        const value = values[((3 * down + across) * outputs + output) * inputs + input];
        blocks.set(value, row, column, input, (2 * odd + right) * outputs + output);
      }
    }
  }
  return [blocks.toTensor(), tf.tile(bias, [4])];
}

// A transposed convolution of stride 1 is a convolution with the kernel turned by half: (3, 3, out, in) as (3, 3, in, out).
function turned([kernel, bias]) {
  return [tf.transpose(tf.reverse(kernel, [0, 1]), [0, 1, 3, 2]), bias];
}

function encoder(layers, images) {
  const halved = { strides: 2, pad: "same", activation: "relu" };
  const hidden = convolution(convolution(images, layers.conv_1, halved), layers.conv_2, halved);
  const flat = dense(tf.reshape(hidden, [images.shape[0], -1]), layers.hidden, "relu");
  return [dense(flat, layers.z_mean, "linear"), dense(flat, layers.z_log_var, "linear")];
}

function decoder(layers, z) {
  const hidden = tf.reshape(dense(z, layers.dense, "relu"), [z.shape[0], 7, 7, 64]);
  const larger = doubled(doubled(hidden, layers.conv_transpose_1), layers.conv_transpose_2);
  return convolution(larger, layers.logits, { strides: 1, pad: "same", activation: "linear" });
}

// Images at a time: all layers' values of one batch have to fit into memory.
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
    const decoder = tensors(outwards);
    for (const name of ["conv_transpose_1", "conv_transpose_2"]) decoder[name] = asBlocks(decoder[name]);
    networks.set(run, { encoder: tensors(inwards), decoder: { ...decoder, logits: turned(decoder.logits) } });
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
