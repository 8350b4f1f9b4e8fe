"""`digit-vae operations`: which operations of this project give which bits on this processor.

    digit-vae operations                     # writes reports/processors/<cpu>-<instruction set>.json
    digit-vae operations --against FILE      # writes nothing; names the operations that differ from another record's
    digit-vae operations --bytes-seen        # on top, that `make verify QUICK=1` found the published bytes here
    digit-vae operations --out FILE          # writes FILE instead, such as the record of one setting of a library

Each layer of the model is run alone at the shapes of a training step, forwards and backwards; so are the losses, the
optimizer and what an evaluation computes, and at the end three whole steps. Their results are hashed. Inputs are drawn
by NumPy's Philox generator without any function that processors compute in their own way. One thread, deterministic
operations. Two more are in no step and no evaluation: they start from the processor's own estimate (rcpps, rsqrtps).
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from pydantic import ValidationError
from scipy.special import ndtr

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.files import json_bytes, write_output
from digit_vae.base.paths import PROCESSORS
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, run_params
from digit_vae.config.schema import RunParams
from digit_vae.model import losses
from digit_vae.model.device import select_device
from digit_vae.model.vae import IMAGE_SHAPE, VAE, build_vae
from digit_vae.speed.processors import Processor, read_processor

EVALUATED = 1_000  # images in one batch of an evaluation
STEPS = 3
NO_SUMS = (keras.layers.InputLayer, keras.layers.Flatten, keras.layers.Reshape)
Results = Iterator[tuple[str, Any]]  # the name of an operation, and its array, or nested lists and tuples of arrays


def _record_of(path: Path) -> Processor:
    """The record that the user names. Raises: UserError when it is none."""
    try:
        return Processor.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise UserError(f"{path}: expected a record that `digit-vae operations` wrote; received none") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises: UserError when an operation differs from the record that it is held against."""
    parser = parser_of("operations", __doc__)
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--against", type=Path, metavar="FILE", help="a record of another processor")
    does.add_argument("--out", type=Path, metavar="FILE", help="write the record here, as of no processor")
    does.add_argument("--bytes-seen", action="store_true", help="record that `make verify` found the bytes here")
    parsed = parser.parse_args(arguments)
    if parsed.out and parsed.out.is_dir():
        raise UserError(f"--out: expected a file; received the folder {parsed.out}")
    params = load_params()
    settings = replace(run_params(params, find_run(params, params.report.first_run)), batch_norm=True, dropout=0.25)
    theirs = _record_of(parsed.against) if parsed.against else None
    machine = select_device("cpu")
    hashes = {name: digest(result) for name, result in operations(settings)}
    if theirs:
        hold_against(hashes, theirs.operations, f"{machine['cpu']} against {theirs.machine['cpu']}")
        return
    if parsed.out:
        write_record(parsed.out, Processor(bytes_seen=False, machine=machine, operations=hashes))
        return
    path = record_path(machine)
    before = read_processor(path) if path.is_file() else None
    seen = parsed.bytes_seen or bool(before and before.bytes_seen and before.operations == hashes)
    write_record(path, Processor(bytes_seen=seen, machine=machine, operations=hashes))


def record_path(machine: Mapping[str, Any]) -> Path:
    """Named by the processor and its newest instruction set: virtual machines call several generations by one name."""
    newest = [name for name in machine["instruction_sets"] if name != "fma"][-1:]  # which came with AVX2
    return PROCESSORS / f"{re.sub(r'[^a-z0-9]+', '-', ' '.join([machine['cpu'], *newest]).lower()).strip('-')}.json"


def write_record(path: Path, record: Processor) -> None:
    write_output(path, json_bytes(record.model_dump()))
    print(f"wrote {len(record.operations)} operations to {path}")


def hold_against(ours: dict[str, str], theirs: dict[str, str], what: str) -> None:
    """Prints the operations whose hashes are not the same. Raises: UserError when there are any."""
    differing = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    print("\n".join([f"{what}: {len(ours)} operations, {len(differing)} differ", *(f"  {name}" for name in differing)]))
    if differing:
        raise UserError(f"{len(differing)} operations give other bits (see above)")


def digest(result: object) -> str:
    """SHA-256 of the bytes of all arrays in `result`, of which the first 16 digits do."""
    arrays = (np.ascontiguousarray(each) for each in tf.nest.flatten(result))
    return hashlib.sha256(b"".join(each.tobytes() for each in arrays)).hexdigest()[:16]


def draw(what: str, *shape: int) -> np.ndarray:
    """float32 in [-1, 1) that follow from the name alone."""
    key = int.from_bytes(hashlib.sha256(what.encode()).digest()[:8])
    return 2 * np.random.Generator(np.random.Philox(key)).random(shape, np.float32) - 1


def operations(params: RunParams) -> Results:
    """Every operation's name and result, one after the other. params: of a run with batch normalisation and dropout."""
    tf.get_logger().setLevel("ERROR")  # each function here is traced once: TensorFlow takes them for one
    keras.utils.set_random_seed(params.seed)
    vae, batch = build_vae(params), params.batch_size
    for layer in (*vae.encoder.layers, *vae.decoder.layers):
        for weight in layer.weights:
            drawn = 0.1 * draw(f"{layer.name} {weight.name}", *weight.shape)
            weight.assign(np.abs(drawn) if "variance" in weight.name else drawn)
        if not isinstance(layer, NO_SUMS):
            inputs, upstream = (draw(layer.name, batch, *each.shape[1:]) for each in (layer.input, layer.output))
            yield f"{layer.name}, inference", tf.function(partial(layer, training=False))(inputs)
            yield from _both_ways(layer.name, partial(layer, training=True), inputs, upstream, layer.trainable_weights)
    yield from _losses(params)
    yield from _evaluation(vae, params)
    values = np.abs(draw("values", 1 << 16)) + np.float32(1e-3)
    yield "in no step: reciprocal", tf.function(tf.math.reciprocal)(values)
    yield "in no step: reciprocal square root", tf.function(tf.math.rsqrt)(values)
    yield f"{STEPS} training steps", steps(replace(params, batch_norm=False, dropout=0.0))


def _both_ways(
    name: str, call: Callable[..., Any], inputs: tf.Tensor, upstream: tf.Tensor, weights: Sequence[Any] = ()
) -> Results:
    def run(inputs: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = call(inputs)
        return outputs, tape.gradient(outputs, [inputs, *(each.value for each in weights)], output_gradients=upstream)

    outputs, gradients = tf.function(run)(tf.nest.map_structure(tf.constant, inputs))
    yield name, outputs
    for of, gradient in zip(("input", *(each.name for each in weights)), gradients, strict=True):
        yield f"{name}, gradient to the {of}", gradient


def _losses(params: RunParams) -> Results:
    logits, pixels = (5 * draw(what, params.batch_size, *IMAGE_SHAPE) for what in ("logits", "pixels"))
    z = tuple(draw(what, params.batch_size, params.latent_dim) for what in ("z_mean", "z_log_var"))
    each = draw("loss", params.batch_size)
    yield from _both_ways("softplus", tf.nn.softplus, logits, pixels)
    yield from _both_ways("reconstruction_loss", partial(losses.reconstruction_loss, pixels > 0), logits, each)
    yield from _both_ways("kl_loss", lambda both: losses.kl_loss(*both), z, each)
    yield "mean of a batch", tf.function(tf.reduce_mean)(each)
    yield "normal draws", tf.function(lambda: tf.random.stateless_normal(z[0].shape, (1, 2)))()
    yield "penalty", tf.function(keras.regularizers.L1L2(1e-5, 1e-4))(draw("kernel", 3136, 16))


def _evaluation(vae: VAE, params: RunParams) -> Results:
    images, z = np.abs(draw("images", EVALUATED, *IMAGE_SHAPE)), 3 * draw("z", EVALUATED, params.latent_dim)
    terms = 5 * draw("logits", EVALUATED, images[0].size)
    wide = terms.astype(np.float64)
    yield "encoder, 1,000 images", vae.encoder(images, training=False)
    yield "decoder, 1,000 images", vae.decoder(z, training=False)
    yield "product of pixels and logits", tf.matmul(images.reshape(terms.shape), terms, transpose_b=True)
    yield "probabilities of pixels", 1 / (1 + tf.exp(-terms))
    yield "NumPy: exp, log, logaddexp", [np.exp(wide), np.log(1 + wide**2), np.logaddexp.reduce(wide, axis=0)]
    yield "NumPy: sums and means in float64", [wide.sum(axis=1), wide.mean(axis=0)]
    yield "NumPy: matrix product in float64", wide @ wide.T
    yield "NumPy: eigenvalues and vectors", list(np.linalg.eigh(wide[:, :128].T @ wide[:, :128]))
    yield "SciPy: ndtr", ndtr(wide)


def steps(params: RunParams) -> list[np.ndarray]:
    """The weights after whole steps."""
    vae = build_vae(params)
    for variable in vae.trainable_variables:
        variable.assign(0.1 * draw(variable.path, *variable.shape))
    vae.compile(optimizer=keras.optimizers.Adam(params.learning_rate, global_clipnorm=1.0), jit_compile=False)
    step = tf.function(vae.train_step)
    for number in range(STEPS):
        step(tf.constant(np.abs(draw(f"step {number}", params.batch_size, *IMAGE_SHAPE))))
    return [variable.numpy() for variable in vae.trainable_variables]
