import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image
from synthetic import write_history

from digit_vae.cli.main import main as cli
from digit_vae.evaluation.elbo import generate, reconstruct
from digit_vae.model.vae import build_vae

pytestmark = pytest.mark.usefixtures("cpu")
RUN = "baseline-full"


@pytest.fixture
def trained(processed, make_params):
    """`processed` with a run of three latent dimensions, which params.yaml knows nothing of; returns its model."""
    params = make_params(latent_dim=3, batch_norm=True)
    keras.utils.set_random_seed(0)
    vae = build_vae(params)
    folder = processed / "models" / RUN
    folder.mkdir(parents=True)
    vae.save_weights(folder / "model.weights.h5")
    write_history(folder, params)
    return vae


@pytest.fixture
def command(monkeypatch):
    """Runs `digit-vae` with arguments in this process; returns its exit status."""
    monkeypatch.setattr(cli.signal, "signal", lambda *_: None)

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        return ended.value.code

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


def test_generate_writes_single_files_and_leaves_others_alone(trained, command, processed):
    folder = processed / f"{RUN}-generated"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
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
def test_an_image_file_is_treated_as_the_image_that_it_holds(command, processed, digits, capsys):
    Image.fromarray(255 - digits[304, ..., 0]).save("four.png")
    assert command("reconstruct", RUN, "--image", "four.png", "--output", "file.png") == 0
    assert "four.png: read 28x28 pixels, inverted because" in capsys.readouterr().err
    assert command("reconstruct", RUN, "--test", 4, "--output", "index.png") == 0
    assert (processed / "file.png").read_bytes() == (processed / "index.png").read_bytes()


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
    _, names, some = table((processed / "latent.csv").read_text())
    assert names == ["3", "1"]
    np.testing.assert_allclose(some, values[[3, 1]], rtol=1e-4, atol=1e-6)


@pytest.mark.usefixtures("trained")
def test_encode_names_image_files(command, digits, capsys):
    for number in (0, 1):
        Image.fromarray(digits[300 + number, ..., 0]).save(f"{number}.png")
    assert command("encode", RUN, "--image", "1.png", "0.png") == 0
    _, names, values = table(capsys.readouterr().out)
    assert names == ["1.png", "0.png"]
    assert command("encode", RUN, "--test", 1, 0) == 0
    np.testing.assert_array_equal(table(capsys.readouterr().out)[2], values)


@pytest.mark.usefixtures("trained")
def test_a_trained_run_outlives_its_entry_in_params(command, processed):
    (processed / "params.yaml").unlink()
    assert command("generate", RUN) == 0


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("generate", "nobody"), "there is no run 'nobody' in params.yaml; it has baseline-full, baseline-0, "),
        (("generate", "../models/baseline-full"), "there is no run '../models/baseline-full' in params.yaml"),
        (("generate", "l1_l2-3"), "models/l1_l2-3/history.json is missing: `dvc repro train@l1_l2-3` makes it"),
        (("encode", RUN, "--test", "100"), "--test: expected indices from 0 to 99; received 100"),
        (("encode", RUN, "--image", "params.yaml"), "params.yaml: expected an image file"),
        (("encode", RUN, "--image", "none.png"), "none.png cannot be read as an image: No such file"),
        (("generate", RUN, "--output", "models"), "models could not be written: Is a directory"),
    ],
)
def test_a_mistake_is_one_line(command, capsys, arguments, message):
    assert command(*arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"error: {message}")
    assert said.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "the following arguments are required: COMMAND"),
        (("generate", RUN, "--count", "0"), "--count: expected a whole number from 1 to 10000; received '0'"),
        (("generate", RUN, "--seed", "x"), "--seed: expected a whole number from 0 to 2147483647; received 'x'"),
        (("encode", RUN, "--test", "-1"), "--test: expected a whole number from 0 to 2147483647; received '-1'"),
        (("encode", RUN), "one of the arguments --image --test --all-test is required"),
        (("reconstruct", RUN, "--test", "1", "--image", "a.png"), "--image: not allowed with argument --test"),
    ],
)
def test_a_wrong_command_line_is_refused(command, capsys, arguments, message):
    assert command(*arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
def test_missing_and_damaged_files_name_their_stage(command, processed, capsys):
    (processed / "data/processed/test_images.npy").unlink()
    assert command("reconstruct", RUN, "--test", 0) == 1
    assert "test_images.npy is missing: `dvc repro preprocess` makes it" in capsys.readouterr().err
    path = processed / "models" / RUN / "model.weights.h5"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    assert command("generate", RUN) == 1
    assert "model.weights.h5 is damaged (its SHA-256 is not the one in history.json)" in capsys.readouterr().err
    path.unlink()
    assert command("generate", RUN) == 1
    assert f"model.weights.h5 is missing: `dvc repro train@{RUN}` makes it" in capsys.readouterr().err


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"latent_dim": "2"}, "params.latent_dim: expected a whole number from 1 to 1024; received '2' (str)"),
        ({"layers": 3}, "params: unknown key 'layers'"),
        ({"precision": "float8"}, "params.precision: expected one of float32, mixed_bfloat16"),
    ],
)
def test_a_damaged_history_is_refused(command, processed, capsys, changes, message):
    path = processed / "models" / RUN / "history.json"
    history = json.loads(path.read_text())
    for content in (history | {"params": history["params"] | changes}, {}):
        path.write_text(json.dumps(content))
        assert command("generate", RUN) == 1
        said = capsys.readouterr().err
        assert "history.json is damaged (" in said
        assert f"`dvc repro train@{RUN}`" in said
        assert not content or message in said


@pytest.mark.parametrize("name", ["generate", "reconstruct", "encode"])
def test_help_shows_examples(command, capsys, name):
    assert command(name, "--help") == 0
    assert f"examples:\n  digit-vae {name} {RUN}" in capsys.readouterr().out


def test_help_and_mistakes_do_not_wait_for_tensorflow(project):
    script = """
import sys
from digit_vae.cli.main import main
for arguments in (["--help"], ["generate", "nobody"], ["encode", "baseline-full", "--all-test"]):
    try:
        main(arguments)
    except SystemExit:
        assert "tensorflow" not in sys.modules, arguments
"""
    subprocess.run([sys.executable, "-c", script], cwd=project, check=True, capture_output=True)


@pytest.mark.usefixtures("trained")
def test_the_installed_command_is_quiet_and_stops_with_its_reader(processed, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # with it, Python does not notice that the reader left
    indices = " ".join(["0"] * 5000)  # more than a pipe holds
    command = f"{Path(sys.executable).parent}/digit-vae encode {RUN} --test {indices} | head -n 1"
    done = subprocess.run(command, shell=True, cwd=processed, capture_output=True, text=True, check=True)  # noqa: S602 a pipe is the point
    assert done.stdout.startswith("image,z_mean_0,")
    assert done.stderr == ""
