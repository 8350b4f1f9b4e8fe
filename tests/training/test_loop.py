"""The training loop against a plain one in Python, and against itself: again, elsewhere, continued, streamed."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import digit_vae
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_npy
from digit_vae.config.schema import RunParams
from digit_vae.model.layers import BatchNormalization
from digit_vae.model.units import UNITS
from digit_vae.model.vae import IMAGE_SHAPE, VAE, Losses, build_vae
from digit_vae.training import loop

pytestmark = pytest.mark.usefixtures("cpu")
# Without batch normalisation: its gradients cancel to remainders of rounding, which Adam blows up to whole steps, so
# that no other loop comes closer than a few tenths of a percent.
VARIANT = {"kernel_l1": 1e-5, "kernel_l2": 1e-4, "dropout": 0.2, "beta": 2.0, "hidden_bias": 1.0}
RECIPE = {"warmup_steps": 3, "final_learning_rate": 0.1, "kl_warmup_steps": 6, "clip_norm": 270.0}
LEARN = np.setdiff1d(np.arange(300), np.arange(0, 300, 5))  # 240 images: three batches of 64 and one of 48


def left_behind(trained):
    """What has to repeat to the last bit: all weights and the losses."""
    arrays = [*trained.encoder.get_weights(), *trained.decoder.get_weights()]
    content = b"".join(each.tobytes() for each in arrays)
    return hashlib.sha256(content).hexdigest(), [epoch.history for epoch in trained.epochs]


@pytest.fixture(scope="module")
def trained(digits, small_params, cpu):
    """A training with nearly all that a variant can switch on, and where it stood after each epoch."""
    changes = VARIANT | RECIPE | {"epochs": 3, "seed": 3, "device": cpu["device"]}
    params = RunParams(**asdict(small_params.train) | changes)
    reported = []
    result = loop.train(params, digits, LEARN, digits[300:], reported.append)
    assert [list(state.epochs) for state in reported] == [result.epochs[:count] for count in (1, 2, 3)]
    return params, result, reported


def batches(images, size):
    for start in range(0, len(images), size):
        yield images[start : start + size].astype(np.float32) / 255


@pytest.fixture(scope="module")
def plain(small_params, digits, cpu):
    """A training without any of those, and its params."""
    params = RunParams(**asdict(small_params.train) | {"epochs": 5, "seed": 0, "device": cpu["device"]})
    return params, loop.train(params, digits, LEARN, digits[300:])


def test_training_lowers_the_loss(plain):
    for name in ("loss", "val_loss"):
        losses = [epoch.history[name] for epoch in plain[1].epochs]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.8 * losses[0]


def learning_rate(params, step, steps):
    """Linear from 0 in `warmup_steps`, then half a cosine down to its share `final_learning_rate`."""
    if step < params.warmup_steps:
        return params.learning_rate * step / params.warmup_steps
    after = (step - params.warmup_steps) / (steps - params.warmup_steps)
    share = params.final_learning_rate
    return params.learning_rate * (share + (1 - share) * (1 + np.cos(np.pi * after)) / 2)


class PlainLoop:
    """The same training in eager Python: schedules and clipping by hand, Keras' Adam as it is."""

    def __init__(self, params, images):
        keras.backend.clear_session()
        keras.utils.set_random_seed(params.seed)
        self.params, self.images, self.norms = params, images, []
        self.vae = build_vae(replace(params, kl_warmup_steps=0))
        self.steps, self.step = params.epochs * -(-len(LEARN) // params.batch_size), 0
        self.beginning = [variable.numpy() for variable in self.vae.weights]
        self.optimizer = keras.optimizers.Adam(beta_2=params.adam_beta_2)
        self.optimizer.build(self.vae.trainable_variables)

    def learn(self, batch):
        warm = min(1.0, self.step / self.params.kl_warmup_steps) if self.params.kl_warmup_steps else 1.0
        with tf.GradientTape() as tape:
            terms = self.vae.compute_losses(batch, training=True)
            loss = terms.reconstruction_loss + self.params.beta * warm * terms.kl_loss + terms.penalty
        gradients = tape.gradient(loss, self.vae.trainable_variables)
        self.norms.append(float(tf.linalg.global_norm(gradients)))
        if self.params.clip_norm:
            gradients, _ = tf.clip_by_global_norm(gradients, self.params.clip_norm)
        self.optimizer.learning_rate = learning_rate(self.params, self.step, self.steps)
        self.optimizer.apply(gradients, self.vae.trainable_variables)
        self.step += 1
        return terms._replace(loss=loss)

    def epoch(self, number):
        """Means of the terms over the images that are learnt from, then over those that are validated on."""
        order = np.random.default_rng((self.params.seed, number)).permutation(LEARN)
        learnt = [self.learn(batch) for batch in batches(self.images[order], self.params.batch_size)]
        validated = [self.vae.compute_losses(batch) for batch in batches(self.images[300:], self.params.batch_size)]
        return [
            np.average(np.array(terms), axis=0, weights=sizes)
            for terms, sizes in ((learnt, [64, 64, 64, 48]), (validated, [64, 36]))
        ]


def test_training_equals_a_plain_loop(trained, digits):
    """The compiled epochs shuffle, gather, scale and average as a loop in Python does, and the warm-up left nothing.

    So do the schedules of learning rate and KL, and the clipping, which some of the gradients met and some not.
    """
    params, result, _ = trained
    plain = PlainLoop(params, digits)
    for epoch in result.epochs:
        for prefix, means in zip(("", "val_"), plain.epoch(epoch.history["epoch"]), strict=True):
            recorded = [epoch.history[prefix + name] for name in Losses._fields]
            # atol: what float32 resolves of a loss of 500 nats, whose gradients all terms follow.
            np.testing.assert_allclose(recorded, means, rtol=1e-5, atol=1e-4)
    # Within a hundredth of how far they went: Adam makes whole steps of what is left where gradients cancel.
    weights = [*result.encoder.weights, *result.decoder.weights]
    for variable, expected, began in zip(weights, plain.vae.weights, plain.beginning, strict=True):
        away, went = (np.linalg.norm(expected.numpy() - each) for each in (variable.numpy(), began))
        assert away <= 0.01 * went, variable.path
    assert min(plain.norms) < params.clip_norm < max(plain.norms), plain.norms


def assert_begins_as_a_plain_loop(params, epoch, digits):
    for prefix, means in zip(("", "val_"), PlainLoop(params, digits).epoch(1), strict=True):
        np.testing.assert_allclose([epoch.history[prefix + name] for name in Losses._fields], means, rtol=1e-5)


def test_without_any_schedule_training_equals_a_plain_loop(plain, digits):
    params, result = plain
    assert_begins_as_a_plain_loop(params, result.epochs[0], digits)


def test_without_a_warm_up_training_equals_a_plain_loop(make_params, digits):
    params = make_params(epochs=1, final_learning_rate=0.1, adam_beta_2=0.9)
    [epoch] = loop.train(params, digits, LEARN, digits[300:]).epochs
    assert_begins_as_a_plain_loop(params, epoch, digits)


def test_training_repeats_in_another_process(trained, digits, tmp_path):
    params, result, _ = trained
    np.save(tmp_path / "digits.npy", digits)
    script = f"""
import hashlib, json, numpy as np
from digit_vae.config.schema import RunParams
from digit_vae.training import loop
digits = np.load("digits.npy", mmap_mode="r")
trained = loop.train({params!r}, digits, np.array({LEARN.tolist()}), digits[300:])
arrays = [*trained.encoder.get_weights(), *trained.decoder.get_weights()]
content = b"".join(each.tobytes() for each in arrays)
print(json.dumps([hashlib.sha256(content).hexdigest(), [epoch.history for epoch in trained.epochs]]))
"""
    environment = os.environ | {"PYTHONPATH": str(Path(digit_vae.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8", check=True)
    assert tuple(json.loads(done.stdout)) == left_behind(result)


def test_a_training_continues_to_the_same_bits(trained, digits):
    """In the default graph of another training: nothing but the state decides. From the first epoch: test_run.py."""
    params, result, (_, second, third) = trained
    again = []
    continued = loop.train(params, digits, LEARN, digits[300:], again.append, second)
    assert left_behind(continued) == left_behind(result)
    assert continued.epochs[:2] == result.epochs[:2]
    [state] = again
    assert len(state.epochs) == 3
    for value, other in zip(state.variables, third.variables, strict=True):
        np.testing.assert_array_equal(value, other, strict=True)


def test_a_state_holds_all_that_an_epoch_changes(trained):
    """Were one variable left out, the epochs after it would not repeat; here, each is seen to move."""
    params, _, (first, second, _) = trained
    vae, optimizer = build_vae(params), keras.optimizers.Adam()
    optimizer.build(vae.trainable_variables)
    # With a schedule the learning rate is no variable.
    names = [each.path for each in (*vae.variables, *optimizer.variables) if not each.path.endswith("/learning_rate")]
    pairs = zip(names, first.variables, second.variables, strict=True)
    assert [name for name, *values in pairs if np.array_equal(*values)] == []
    assert sum("seed_generator" in name for name in names) == 2  # sampling and dropout


def test_epochs_are_numbered_and_timed(trained):
    _, result, _ = trained
    assert [epoch.history["epoch"] for epoch in result.epochs] == [1, 2, 3]
    assert result.setup_seconds > 0
    for epoch in result.epochs:
        assert set(epoch.timing) == {"epoch", "train_seconds", "validation_seconds", "finished_at"}
        assert set(epoch.history) == {"epoch", "health", *Losses._fields, *(f"val_{name}" for name in Losses._fields)}
        assert min(epoch.timing.values()) > 0
    assert result.epochs[0].timing["finished_at"] < result.epochs[1].timing["finished_at"]


def test_losses_are_the_shortest_decimals_of_their_float32(trained):
    _, result, _ = trained
    for epoch in result.epochs:
        for name, value in epoch.history.items():
            assert name == "health" or value == float(str(np.float32(value)))


def test_the_weight_of_the_kl_rises_with_the_steps_and_in_training_alone(make_params, digits):
    vae = build_vae(make_params(beta=2.0, kl_warmup_steps=4))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    kernel, bias = vae.encoder.get_layer("z_mean").get_weights()
    # A KL that stands out from the rounding of the loss.
    vae.encoder.get_layer("z_mean").set_weights([kernel, bias + 30])
    images, weights = digits[:8].astype(np.float32) / 255, []
    for _ in range(6):
        losses = vae.compute_losses(images, training=True)
        weights.append(float((losses.loss - losses.reconstruction_loss) / losses.kl_loss))
        vae.optimizer.iterations.assign_add(1)
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)
    vae.optimizer.iterations.assign(0)
    losses = vae.compute_losses(images)
    assert float(losses.loss) == pytest.approx(float(losses.reconstruction_loss + 2 * losses.kl_loss), rel=1e-6)


def test_moving_averages_begin_with_the_first_batch(make_params, digits):
    """What traces and compiles has run before, and left nothing: after one step, one hundredth is the batch's."""
    params = make_params(epochs=1, batch_norm=True, learning_rate=1e-12)
    keras.utils.set_random_seed(params.seed)
    encoder = build_vae(params).encoder
    convolved = keras.Model(encoder.input, encoder.get_layer("conv_1").output)(digits[:64].astype(np.float32) / 255)
    trained = loop.train(params, digits, np.arange(64), digits[300:310])
    norm = trained.encoder.get_layer("conv_1_norm")
    mean, variance = (np.asarray(each) for each in (np.mean(convolved, (0, 1, 2)), np.var(convolved, (0, 1, 2))))
    np.testing.assert_allclose(norm.moving_mean.numpy(), 0.01 * mean, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(norm.moving_variance.numpy(), 0.99 + 0.01 * variance, rtol=1e-6)


def test_an_absent_gpu_is_refused(make_params, digits, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: [])
    with pytest.raises(UserError, match=r"train.device: expected a GPU"):
        loop.train(make_params(device="gpu"), digits, LEARN, digits[300:])


def test_variables_elsewhere_than_asked_for_are_refused(make_params, digits, monkeypatch):
    """TensorFlow puts them on the CPU, without a word, where it cannot use the GPU that it lists."""
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: ["a GPU"])
    monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda *_: None)
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda _: {})
    with pytest.raises(UserError, match=r"train.device: .* on gpu, received .*CPU:0"):
        loop.train(make_params(device="gpu"), digits, LEARN, digits[300:])


def mapped_mebibytes():
    """How much of this process' memory is pages of files, as Linux counts it; those on a tmpfs are counted apart."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("RssFile", "RssShmem"))) / 1024


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells what a process has in memory")
def test_streamed_images_train_to_the_same_bits_and_stay_out_of_memory(make_params, digits, tmp_path, monkeypatch):
    """A file of 128 MiB, of which a training reads an image in each 64 KiB: so much Linux maps at a touch.

    Of a narrow model: the images are many, and how wide it is has no part in how they are read.
    """
    for name in ("conv_1", "conv_2", "conv_transpose_1", "conv_transpose_2"):
        monkeypatch.setitem(UNITS, name, 4)
    path, count, spacing = tmp_path / "images.npy", 2**27 // 784, 2**16 // 784
    rows = np.arange(0, count, spacing)
    images, spread = digits[np.arange(len(rows)) % 400], np.zeros((count, 28, 28, 1), np.uint8)
    spread[rows] = images
    np.save(path, spread)
    del spread
    mapped = read_npy(path, made_by="preprocess")
    params = make_params(epochs=1, batch_size=256, dropout=0.2)
    resident = loop.train(params, images, np.arange(len(rows)), digits[:10])
    before = mapped_mebibytes()
    streamed = loop.train(replace(params, resident_bytes=3 * 256 * 784), mapped, rows, digits[:10])
    assert mapped_mebibytes() < before + 48
    assert left_behind(streamed) == left_behind(resident)
    assert mapped.max() > 0  # through the map, on the other hand, all of it comes
    assert mapped_mebibytes() > before + 96


def test_a_file_that_was_cut_off_is_an_error_that_names_it(make_params, tmp_path, digits):
    path = tmp_path / "images.npy"
    np.save(path, digits)
    mapped = read_npy(path, made_by="preprocess")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(UserError, match=r"images.npy ends before image 399.* 400"):
        loop.train(make_params(resident_bytes=1), mapped, np.array([0, 399]), digits[:10])


def dense_vae(params):
    """A VAE with all that changes from step to step in the real one, and few layers: XLA compiles it in seconds."""
    images, z = keras.Input(IMAGE_SHAPE), keras.Input((2,))
    hidden = keras.layers.Dense(8, activation="relu", kernel_regularizer="l2")(keras.layers.Flatten()(images))
    hidden = keras.layers.Dropout(0.2)(BatchNormalization()(hidden))
    encoder = keras.Model(images, [keras.layers.Dense(2)(hidden), keras.layers.Dense(2)(hidden)])
    decoder = keras.Model(z, keras.layers.Reshape(IMAGE_SHAPE)(keras.layers.Dense(784)(z)))
    return VAE(encoder, decoder, beta=params.beta, seed=params.seed, kl_warmup_steps=params.kl_warmup_steps)


def test_an_epoch_that_xla_compiles_with_its_loop_is_that_of_its_steps_one_by_one(make_params, digits):
    """As on a GPU. With a smaller last batch; streamed in parts of one batch each, the loop has one step at a time."""
    order = np.random.default_rng(0).permutation(80)

    def after(resident_bytes):
        params = make_params(batch_size=32, seed=5, resident_bytes=resident_bytes, beta=2.0, kl_warmup_steps=6)
        keras.backend.clear_session()
        keras.utils.set_random_seed(params.seed)
        vae = dense_vae(params)
        vae.compile(optimizer=keras.optimizers.Adam(params.learning_rate), jit_compile=False)
        vae.optimizer.build(vae.trainable_variables)
        run = loop.epoch_of(vae.train_step, digits, vae, params, xla=True)
        losses = run(order)
        return losses, hashlib.sha256(b"".join(each.tobytes() for each in vae.get_weights())).hexdigest()

    assert after(resident_bytes=32 * digits[0].nbytes) == after(resident_bytes=digits.nbytes)


def test_xla_makes_other_normal_numbers_of_a_seed():
    """So runs of one seed on a CPU and on a GPU have other noise."""

    def drawn():
        return tf.random.stateless_normal((1000,), (1, 2))

    with_xla, without = tf.function(drawn, jit_compile=True)().numpy(), tf.function(drawn)().numpy()
    assert abs(np.corrcoef(with_xla, without)[0, 1]) < 0.1
