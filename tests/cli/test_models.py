"""generate, reconstruct and encode, against the model that they have to use."""

import argparse
import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from synthetic import write_history

from digit_vae.base.command import exit_status
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes, write_json
from digit_vae.base.paths import DATASET, RunFiles
from digit_vae.cli import encode as encode_command
from digit_vae.cli import generate as generate_command
from digit_vae.cli import models
from digit_vae.cli import reconstruct as reconstruct_command
from digit_vae.data.datasets import KNOWN, Description
from digit_vae.evaluation.coding import generate, reconstruct
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes

pytestmark = pytest.mark.usefixtures("cpu")
RUN = "baseline-full-0"
FILES = RunFiles("paper", RUN)
COMMANDS = {"generate": generate_command, "reconstruct": reconstruct_command, "encode": encode_command}


@pytest.fixture
def trained(processed, make_params):
    """`processed` with a run of three latent dimensions, which is not what its params.yaml says; returns its model."""
    params = make_params(latent_dim=3, batch_norm=True)
    keras.utils.set_random_seed(0)
    vae = build_vae(params)
    write_bytes(FILES.encoder, weights_bytes(vae.encoder))
    write_bytes(FILES.decoder, weights_bytes(vae.decoder))
    write_history(processed, RUN, params)
    return vae


@pytest.fixture
def command(monkeypatch):
    """Runs a command with arguments in this process; returns its exit status."""
    monkeypatch.setattr(models.signal, "signal", lambda *_: None)

    def run(name, *arguments):
        try:
            return exit_status(lambda: COMMANDS[name].main([str(argument) for argument in arguments]))
        except SystemExit as ended:  # argparse's
            return ended.code

    return run


def pixels(path):
    return np.asarray(Image.open(path))


def tile(path, row, column, height=28):
    """One tile of a sheet, in its own size."""
    small = pixels(path)[::4, ::4]
    top, left = 2 + row * (height + 2), 2 + column * 30
    return small[top : top + height, left : left + 28]


def table(text):
    header, *rows = csv.reader(io.StringIO(text))
    return header, [row[0] for row in rows], np.array([row[1:] for row in rows], float)


def test_generate_draws_a_sheet(trained, command, capsys):
    assert command("generate", RUN, "--count", 12, "--seed", 7, "--output", "sheets/digits.png") == 0
    assert capsys.readouterr() == ("wrote sheets/digits.png\n", "")
    for number, digit in enumerate(generate(trained, 12, seed=7)):
        np.testing.assert_array_equal(tile("sheets/digits.png", *divmod(number, 10)), digit)


@pytest.mark.usefixtures("trained")
def test_generate_repeats_its_bytes_by_seed(command, processed):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert command("generate", RUN, "--seed", seed, "--output", name) == 0
    first, same, other = ((processed / name).read_bytes() for name in "abc")
    assert first == same != other


@pytest.mark.usefixtures("trained")
def test_generate_follows_a_link_and_says_nothing_of_a_device(command, processed, capsys):
    (processed / "link.png").symlink_to("target.png")
    assert command("generate", RUN, "--output", "link.png") == 0
    assert capsys.readouterr().out == "wrote link.png\n"
    assert (processed / "link.png").is_symlink()
    assert pixels(processed / "target.png").size
    assert command("generate", RUN, "--output", os.devnull) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("trained")
def test_generate_writes_no_png_under_the_name_of_another_format(command, processed, capsys):
    assert command("generate", RUN, "--output", "digits.jpg") == 1
    assert ".png; received 'digits.jpg'" in capsys.readouterr().err
    assert not (processed / "digits.jpg").exists()


def test_generate_writes_single_files_and_leaves_others_alone(trained, command, processed):
    folder = processed / f"{RUN}-generated"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine", encoding="utf-8")
    assert command("generate", RUN, "--count", 11, "--single") == 0
    assert sorted(path.name for path in folder.iterdir()) == [*(f"{each:02}.png" for each in range(11)), "mine.txt"]
    np.testing.assert_array_equal(pixels(folder / "10.png"), generate(trained, 11, seed=0)[10])


def test_reconstruct_puts_test_images_over_their_reconstructions(trained, command, digits):
    assert command("reconstruct", RUN, "--test", 99, 0, 5) == 0
    originals = digits[300:][[99, 0, 5]]
    for number, (original, reconstruction) in enumerate(zip(originals, reconstruct(trained, originals), strict=True)):
        pair = tile(f"{RUN}-reconstructed.png", 0, number, height=57)
        np.testing.assert_array_equal(pair[:28], original[..., 0])
        np.testing.assert_array_equal(pair[29:], reconstruction)


@pytest.mark.usefixtures("trained")
def test_an_image_that_is_taken_as_it_is_is_treated_as_the_one_that_it_holds(command, digits, capsys):
    Image.fromarray(digits[304, ..., 0]).save("four.png")
    assert command("encode", RUN, "--image", "four.png", "--as-is") == 0
    said = capsys.readouterr()
    assert "four.png: " in said.err
    assert command("encode", RUN, "--test", 4) == 0
    np.testing.assert_array_equal(table(said.out)[2], table(capsys.readouterr().out)[2])


def test_reconstruct_shows_what_became_of_a_picture(trained, command, digits, capsys):
    """The picture, what the model sees, its reconstruction; and how its loss stands among those of the test images."""
    Image.fromarray(digits[304, ..., 0]).save("four.png")
    assert command("reconstruct", RUN, "--image", "four.png", "--as-is") == 0
    assert "% of the test images" in capsys.readouterr().err
    shown = pixels(f"{RUN}-reconstructed.png")
    np.testing.assert_array_equal(shown[8:120:4, 128:240:4], digits[304, ..., 0])
    np.testing.assert_array_equal(shown[8:120:4, 248:360:4], reconstruct(trained, digits[304:305])[0])


@pytest.mark.usefixtures("trained")
def test_encode_says_of_a_picture_what_reconstruct_says_and_of_test_images_nothing(command, capsys):
    noise = np.random.default_rng(0).integers(0, 256, (28, 28), np.uint8)
    Image.fromarray(noise).save("noise.png")
    write_json(FILES.encoder.with_name("losses.json"), {"percent": [0, 99.9, 100], "nats": [1, 2, 3]})
    said = []
    for name in ("encode", "reconstruct"):
        assert command(name, RUN, "--image", "noise.png", "--as-is") == 0
        said.append(capsys.readouterr().err)
    assert said[0] == said[1]
    assert "noise.png: reconstruction loss" in said[0]
    assert "no digit: higher than that of 99.9 % of the test images" in said[0]
    assert command("encode", RUN, "--test", 0) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.usefixtures("trained")
def test_a_picture_whose_name_is_not_utf_8_is_encoded(command, digits, capsys):
    name = os.fsdecode(b"vier-\xe4.png")
    Image.fromarray(digits[304, ..., 0]).save(name)
    assert command("encode", RUN, "--image", name, "--as-is") == 0
    assert table(capsys.readouterr().out)[1] == [r"vier-\xe4.png"]


def test_encode_writes_a_row_for_each_test_image(trained, command, digits, capsys, processed):
    z_mean, z_log_var = (part.numpy() for part in trained.encoder(digits[300:] / 255, training=False))
    assert command("encode", RUN, "--all-test") == 0
    said = capsys.readouterr()
    header, names, values = table(said.out)
    assert header == ["image", *(f"{part}_{each}" for part in ("z_mean", "z_log_var") for each in range(3))]
    assert names == [str(index) for index in range(100)]
    np.testing.assert_allclose(values, np.hstack([z_mean, z_log_var]), rtol=1e-4, atol=1e-6)
    assert said.err == ""

    assert command("encode", RUN, "--test", 3, 1, "--output", "latent.csv") == 0
    _, names, some = table((processed / "latent.csv").read_text(encoding="utf-8"))
    assert names == ["3", "1"]
    np.testing.assert_allclose(some, values[[3, 1]], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("trained")
def test_encode_names_image_files(command, digits, capsys):
    for number in (0, 1):
        Image.fromarray(digits[300 + number, ..., 0]).save(f"{number}.png")
    assert command("encode", RUN, "--as-is", "--image", "1.png", "0.png") == 0
    _, names, values = table(capsys.readouterr().out)
    assert names == ["1.png", "0.png"]
    assert command("encode", RUN, "--test", 1, 0) == 0
    np.testing.assert_array_equal(table(capsys.readouterr().out)[2], values)


@pytest.mark.usefixtures("trained")
def test_a_trained_run_outlives_its_entry_in_params(command, processed):
    (processed / "params.yaml").unlink()
    assert command("generate", RUN) == 0


@pytest.mark.usefixtures("trained")
def test_committed_weights_are_used_where_nothing_was_trained(command, processed):
    assert command("generate", RUN, "--output", "trained.png") == 0
    shutil.copytree(FILES.models, FILES.published)
    shutil.rmtree("models")
    assert command("generate", RUN, "--output", "committed.png") == 0
    assert (processed / "trained.png").read_bytes() == (processed / "committed.png").read_bytes()


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generate", "nobody"), ("nobody", RUN)),
        (("generate", f"../runs/{RUN}"), (f"../runs/{RUN}",)),
        (("generate", "l1_l2-fold1-0"), ("l1_l2-fold1-0", "train_ablation@l1_l2-fold1-0")),
        (("encode", RUN, "--test", "100"), ("--test", "99", "100")),
        (("encode", RUN, "--image", "params.yaml"), ("params.yaml", "image")),
        (("encode", RUN, "--image", "none.png"), ("none.png",)),
        (("generate", RUN, "--output", "models"), ("models", "directory")),
    ],
)
def test_a_mistake_is_one_line(command, capsys, arguments, words):
    assert command(*arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert all(word in said.err for word in words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("generate",), ("RUN",)),
        (("generate", RUN, "--count", "0"), ("--count", "10000", "'0'")),
        (("generate", RUN, "--seed", "x"), ("--seed", "2147483647", "'x'")),
        (("encode", RUN, "--test", "-1"), ("--test", "'-1'")),
        (("encode", RUN), ("--image", "--test", "--all-test")),
        (("reconstruct", RUN, "--test", "1", "--image", "a.png"), ("--image", "--test")),
    ],
)
def test_a_wrong_command_line_is_refused(command, capsys, arguments, words):
    assert command(*arguments) == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)


@pytest.mark.usefixtures("trained")
def test_missing_and_damaged_files_name_their_stage(command, processed, capsys):
    (processed / "data/processed/test_images.npy").unlink()
    assert command("reconstruct", RUN, "--test", 0) == 1
    assert "dvc repro preprocess" in capsys.readouterr().err
    FILES.decoder.write_bytes(FILES.decoder.read_bytes()[:-1] + b"\1")
    assert command("generate", RUN) == 1
    assert f"{FILES.decoder} is damaged" in capsys.readouterr().err
    FILES.encoder.unlink()
    assert command("generate", RUN) == 1
    assert f"dvc repro train_paper@{RUN}" in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"latent_dim": "2"}, ("params.latent_dim", "1024")),
        ({"layers": 3}, ("layers",)),
        ({"precision": "float8"}, ("params.precision", "float32")),
    ],
)
def test_a_damaged_history_is_refused(command, capsys, changes, words):
    history = json.loads(FILES.history.read_text(encoding="utf-8"))
    for content in (history | {"params": history["params"] | changes}, {}):
        FILES.history.write_text(json.dumps(content), encoding="utf-8")
        assert command("generate", RUN) == 1
        said = capsys.readouterr().err
        assert "history.json is damaged" in said
        assert not content or all(word in said for word in words)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_examples(command, capsys, name):
    assert command(name, "--help") == 0
    assert f"examples:\n  digit-vae {name} {RUN}" in capsys.readouterr().out


@pytest.mark.usefixtures("trained")
def test_the_command_is_quiet_and_stops_with_its_reader(processed, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # with it, Python does not notice that the reader left
    monkeypatch.setenv("PYTHONPATH", str(Path(models.__file__).parents[2]))
    indices = " ".join(["0"] * 5000)  # more than a pipe holds
    line = f"{sys.executable} -m digit_vae encode {RUN} --test {indices} | head -n 1"
    done = subprocess.run(["sh", "-c", line], cwd=processed, capture_output=True, check=True)
    assert done.stdout.startswith(b"image,z_mean_0,")
    assert done.stderr == b""


@pytest.mark.usefixtures("trained")
def test_a_name_that_is_not_utf_8_is_shown_all_the_same(processed, digits):
    picture = os.fsencode(processed) + b"/a\xff.png"
    Image.fromarray(digits[304, ..., 0]).save(os.fsdecode(picture))
    environment = os.environ | {"PYTHONPATH": str(Path(models.__file__).parents[2]), "PYTHONIOENCODING": "ascii"}
    line = [sys.executable, "-m", "digit_vae", "encode", RUN, "--as-is", "--image", picture]
    done = subprocess.run(line, cwd=processed, env=environment, capture_output=True, check=False)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False)
    assert done.stdout.count(b"\n") == 2


def test_pictures_are_prepared_as_digits_of_mnist_alone(project):
    Image.fromarray(np.pad(np.full((60, 8), 255, np.uint8), 40)).save(project / "one.png")
    asked = argparse.Namespace(image=[project / "one.png"], as_is=False)
    assert models.read_pictures(asked)[0].image.shape == (28, 28, 1)
    write_json(project / DATASET, Description("folder", "image", "images", (), KNOWN["mnist"].files).content())
    with pytest.raises(UserError, match="expected 28x28 pixels of 8-bit grey"):
        models.read_pictures(asked)
