import hashlib
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from digit_vae.training.loop import loop as training
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_npy
from digit_vae.model.vae import Losses, build_vae

pytestmark = pytest.mark.usefixtures("cpu")
# Without batch normalisation: its gradients cancel to remainders of rounding, which Adam blows up to whole steps, so
# that no other loop comes closer than a few tenths of a percent.
VARIANT = {"kernel_l1": 1e-5, "kernel_l2": 1e-4, "dropout": 0.2, "beta": 2.0}
LEARN = np.setdiff1d(np.arange(300), np.arange(0, 300, 5))  # 240 images: three batches of 64 and one of 48


def fingerprint(trained, folder):
    """What has to repeat to the last bit: the weights file and the losses."""
    trained.vae.save_weights(folder / "model.weights.h5")
    weights = hashlib.sha256((folder / "model.weights.h5").read_bytes()).hexdigest()
    return weights, [epoch.history for epoch in trained.epochs]


@pytest.fixture(scope="module")
def trained(digits, cpu):
    """One training with nearly everything that a variant can switch on, and where it stood after each epoch."""
    from digit_vae.config.params import RunParams

    params = RunParams(
        epochs=3,
        batch_size=64,
        learning_rate=1e-3,
        latent_dim=2,
        seed=3,
        device=cpu["device"],
        precision="float32",
        resident_bytes=2**20,
        **VARIANT,
    )
    reported = []
    result = training.train(params, digits, LEARN, digits[300:], reported.append)
    assert [list(state.epochs) for state in reported] == [result.epochs[:count] for count in (1, 2, 3)]
    return params, result, reported


def batches(images, size):
    for start in range(0, len(images), size):
        yield images[start : start + size].astype(np.float32) / 255


def test_training_lowers_the_loss(make_params, digits):
    epochs = training.train(make_params(epochs=4), digits, np.arange(300), digits[300:]).epochs
    for name in ("loss", "val_loss"):
        losses = [epoch.history[name] for epoch in epochs]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.8 * losses[0]


def test_training_equals_a_plain_loop(trained, digits):
    """The compiled epochs shuffle, gather, scale and average as a loop in Python does, and the warm-up left nothing."""
    params, result, _ = trained
    keras.backend.clear_session()
    keras.utils.set_random_seed(params.seed)
    vae = build_vae(params)
    optimizer = keras.optimizers.Adam(params.learning_rate)
    for epoch in result.epochs:
        order = np.random.default_rng((params.seed, epoch.history["epoch"])).permutation(LEARN)
        learnt = []
        for batch in batches(digits[order], 64):
            with tf.GradientTape() as tape:
                losses = vae.compute_losses(batch, training=True)
            gradients = tape.gradient(losses.loss, vae.trainable_variables)
            optimizer.apply(gradients, vae.trainable_variables)
            learnt.append(losses)
        validated = [vae.compute_losses(batch) for batch in batches(digits[300:], 64)]
        for prefix, values, sizes in (("", learnt, [64, 64, 64, 48]), ("val_", validated, [64, 36])):
            means = np.average(np.array(values), axis=0, weights=sizes)
            recorded = [epoch.history[prefix + name] for name in Losses._fields]
            np.testing.assert_allclose(recorded, means, rtol=1e-5)
    for variable, expected in zip(result.vae.weights, vae.weights, strict=True):
        np.testing.assert_allclose(variable, expected, atol=1e-4, err_msg=variable.path)


def test_training_repeats_to_the_last_bit(trained, digits, tmp_path):
    params, result, _ = trained
    again = training.train(params, digits, LEARN, digits[300:])
    assert fingerprint(again, tmp_path) == fingerprint(result, tmp_path)


def test_training_repeats_in_another_process(trained, digits, tmp_path):
    params, result, _ = trained
    np.save(tmp_path / "digits.npy", digits)
    script = f"""
import json, numpy as np
from pathlib import Path
from digit_vae.training.loop import loop as training
from digit_vae.config.params import RunParams
digits = np.load("digits.npy", mmap_mode="r")
learn = np.array({LEARN.tolist()})
trained = training.train({params!r}, digits, learn, digits[300:])
trained.vae.save_weights("model.weights.h5")
print(json.dumps([epoch.history for epoch in trained.epochs]))
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    weights = hashlib.sha256((tmp_path / "model.weights.h5").read_bytes()).hexdigest()
    assert (weights, json.loads(done.stdout)) == fingerprint(result, tmp_path)


@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_training_continues_to_the_same_bits_from_each_epoch(trained, digits, tmp_path, after):
    """In the default graph of another training: nothing but the state decides."""
    params, result, reported = trained
    again = []
    continued = training.train(params, digits, LEARN, digits[300:], again.append, reported[after - 1])
    assert fingerprint(continued, tmp_path) == fingerprint(result, tmp_path)
    assert continued.epochs[:after] == result.epochs[:after]
    assert [len(state.epochs) for state in again] == list(range(after + 1, 4))
    for state, expected in zip(again, reported[after:], strict=True):
        for value, other in zip(state.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(value, other, strict=True)


def test_a_state_holds_all_that_an_epoch_changes(trained):
    """Were one variable left out, the epochs after it would not repeat; here, each kind is seen to move."""
    params, _, (first, second, _) = trained
    vae = training._new_vae(params, len(LEARN))
    names = [variable.path for variable in (*vae.variables, *vae.optimizer.variables)]
    assert len(names) == len(first.variables)
    same = {
        name for name, *values in zip(names, first.variables, second.variables, strict=True) if np.array_equal(*values)
    }
    assert same == {"adam/learning_rate"}
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


def rates(params, steps):
    """The learning rate of each of so many steps."""
    optimizer = training._optimizer(params, 1000)
    variable = keras.Variable(0.0)
    optimizer.build([variable])
    found = []
    for _ in range(steps):
        found.append(float(optimizer.learning_rate))
        optimizer.apply([tf.constant(1.0)])
    return found


def test_the_learning_rate_rises_linearly_then_falls_by_a_cosine_to_its_share(make_params):
    params = make_params(epochs=2, batch_size=100, learning_rate=0.01, warmup_steps=4, final_learning_rate=0.1)
    after = np.arange(16) / 16
    cosine = 0.01 * (0.1 + 0.9 * (1 + np.cos(np.pi * after)) / 2)
    np.testing.assert_allclose(rates(params, 20), [0, 0.0025, 0.005, 0.0075, *cosine], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(rates(replace(params, final_learning_rate=1.0), 20)[4:], 0.01, rtol=1e-5)
    assert rates(replace(params, final_learning_rate=1.0, warmup_steps=0), 3) == pytest.approx([0.01] * 3)


def test_gradients_are_clipped_by_their_common_norm(make_params):
    optimizer = training._optimizer(make_params(clip_norm=2.0), 1000)
    assert (optimizer.global_clipnorm, training._optimizer(make_params(), 1000).global_clipnorm) == (2.0, None)


def test_the_weight_of_the_kl_rises_with_the_steps_and_in_training_alone(make_params, digits):
    vae = build_vae(make_params(beta=2.0, kl_warmup_steps=4))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    kernel, bias = vae.encoder.get_layer("z_mean").get_weights()
    vae.encoder.get_layer("z_mean").set_weights(
        [kernel, bias + 30]
    )  # a KL that stands out from the rounding of the loss
    weights = []
    for _ in range(6):
        losses = vae.compute_losses(digits[:8].astype(np.float32) / 255, training=True)
        weights.append(float((losses.loss - losses.reconstruction_loss) / losses.kl_loss))
        vae.optimizer.iterations.assign_add(1)
    np.testing.assert_allclose(weights, [0, 0.5, 1, 1.5, 2, 2], atol=1e-5)
    vae.optimizer.iterations.assign(0)
    losses = vae.compute_losses(digits[:8].astype(np.float32) / 255)
    assert float(losses.loss) == pytest.approx(float(losses.reconstruction_loss + 2 * losses.kl_loss), rel=1e-6)


def test_warm_up_leaves_no_trace(make_params, digits):
    vae = build_vae(make_params(batch_norm=True, **VARIANT))
    vae.compile(optimizer=keras.optimizers.Adam(1e-3))
    vae.optimizer.build(vae.trainable_variables)
    variables = [*vae.variables, *vae.optimizer.variables]
    before = [variable.numpy() for variable in variables]
    changed = []

    def step():
        vae.train_step(digits[:8].astype(np.float32) / 255)
        changed.extend(not np.array_equal(*pair) for pair in zip(variables, before, strict=True))

    training._warm_up(vae, step)
    assert any(changed)
    for variable, value in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_a_loss_that_is_no_number_ends_the_training(make_params, digits):
    with pytest.raises(UserError, match=r"diverged: \w+ is (nan|inf) after epoch 1; .* lower train.learning_rate"):
        training.train(make_params(epochs=1, learning_rate=1e6), digits, LEARN, digits[300:])


def test_an_absent_gpu_is_refused(make_params, digits, monkeypatch):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: [])
    with pytest.raises(UserError, match=r"train.device: expected a GPU .* received none: install the GPU build"):
        training.train(make_params(device="gpu"), digits, LEARN, digits[300:])


def test_variables_elsewhere_than_asked_for_are_refused(make_params):
    with pytest.raises(UserError, match=r"train.device: expected every variable on gpu, received .*CPU:0"):
        training._assert_device(build_vae(make_params()), "gpu")


def test_streamed_images_train_to_the_same_bits(make_params, digits, tmp_path):
    """Images on disk that come in parts of two batches, beside the same images on the device."""
    np.save(tmp_path / "images.npy", digits)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="r")
    results = []
    for images, resident_bytes in ((digits, digits.nbytes), (mapped, 2 * 64 * 784)):
        params = make_params(epochs=2, batch_size=64, resident_bytes=resident_bytes)
        results.append(fingerprint(training.train(params, images, LEARN, images[300:], lambda _: None), tmp_path))
    assert results[0] == results[1]


def test_reading_from_a_mapped_file_leaves_its_pages_out_of_memory(tmp_path):
    """64 MiB read in random order: Linux counts the file's pages in memory as RssFile."""
    path, count = tmp_path / "images.npy", 2**26 // 784
    images = np.random.default_rng(0).integers(0, 256, (count, 28, 28, 1), dtype=np.uint8)
    np.save(path, images)
    mapped, rows = read_npy(path, made_by="preprocess"), np.random.default_rng(1).permutation(count)

    def mapped_mebibytes():
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssFile"))
        return int(line.split()[1]) / 1024

    before = mapped_mebibytes()
    np.testing.assert_array_equal(training._read(mapped, rows), images[rows])
    assert mapped_mebibytes() < before + 16


def test_a_file_that_was_cut_off_is_an_error_that_names_it(tmp_path, digits):
    path = tmp_path / "images.npy"
    np.save(path, digits)
    mapped = read_npy(path, made_by="preprocess")
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 100)
    with pytest.raises(UserError, match=r"images.npy ends before image 399: expected 400 images"):
        training._read(mapped, np.array([0, 399]))
