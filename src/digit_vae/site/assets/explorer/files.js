// Reads what the build wrote: one file a model, and one with all test images.

const TYPES = { float32: Float32Array, uint8: Uint8Array };

async function bytes(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer;
}

// model: {run, file, arrays: {name: {type, shape, offset}}}. Returns it with the values of each array beside its shape.
export async function readModel(model) {
  const buffer = await (await bytes(model.file)).arrayBuffer();
  const arrays = {};
  for (const [name, { type, shape, offset }] of Object.entries(model.arrays)) {
    const length = shape.reduce((product, side) => product * side, 1);
    arrays[name] = { shape, values: new TYPES[type](buffer, offset, length) };
  }
  return { ...model, arrays };
}

// All test images, 784 bytes each: the file is compressed as zlib does it.
export async function readImages(path) {
  const { body } = await bytes(path);
  const unpacked = new Response(body.pipeThrough(new DecompressionStream("deflate")));
  return new Uint8Array(await unpacked.arrayBuffer());
}
