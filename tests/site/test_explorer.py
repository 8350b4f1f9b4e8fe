"""What the explorer is made of, compared with TensorFlow's own numbers; the page itself is tried in a browser."""

import json
import re
import shutil
import zlib

import numpy as np
import pytest
from site_truth import committed, scanned_digits, truth

from digit_vae.base.files import npz_bytes, read_npz, write_bytes
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run
from digit_vae.site import explorer
from digit_vae.site.explorer import can_be_shown, measure, packed, published, read_weights, title
from digit_vae.site.pages import html, read_project

RUN = "baseline-full-0"


@pytest.fixture(scope="module")
def layers():
    with committed():
        return read_weights(find_run(load_params(), RUN))


def test_posteriors_and_losses_are_tensorflows(layers):
    images = scanned_digits()[0][:40]
    measured, vae = measure(layers, images[..., 0]), truth(RUN)
    z_mean, z_log_var = vae.encoder(images / np.float32(255))
    np.testing.assert_allclose(measured.z_mean, z_mean, atol=1e-4)
    np.testing.assert_allclose(measured.z_log_var, z_log_var, atol=1e-4)
    pixels = (1 / (1 + np.exp(-np.asarray(vae.decoder(z_mean), np.float64))))[..., 0]
    x = images[..., 0] / 255
    expected = -(x * np.log(pixels) + (1 - x) * np.log1p(-pixels)).sum(axis=(1, 2))
    np.testing.assert_allclose(measured.reconstruction_loss, expected, rtol=1e-4)
    mean, variance = np.asarray(z_mean, np.float64), np.exp(np.asarray(z_log_var, np.float64))
    np.testing.assert_allclose(measured.kl, 0.5 * (mean**2 + variance - 1 - np.log(variance)).sum(axis=1), rtol=1e-4)


def test_packed_arrays_are_found_where_the_page_is_told():
    rng = np.random.default_rng(0)
    arrays = {
        "bytes": rng.integers(0, 256, 7, np.uint8),
        "numbers": rng.normal(size=(3, 5)).astype(np.float32),
        "more": rng.normal(size=4).astype(np.float32)[::2],
    }
    content, places = packed(arrays)
    for name, values in arrays.items():
        found = np.frombuffer(content, places[name]["type"], values.size, places[name]["offset"])
        np.testing.assert_array_equal(found.reshape(places[name]["shape"]), values)
        assert places[name]["offset"] % values.itemsize == 0


def test_a_model_that_the_page_cannot_build_is_left_out(layers):
    assert can_be_shown(layers)
    normalised = layers["encoder"] | {"conv_1_norm": [np.ones(32)] * 4}
    assert not can_be_shown(layers | {"encoder": normalised})
    wider = layers["encoder"] | {"z_mean": [np.ones((16, 3)), np.ones(3)]}
    assert not can_be_shown(layers | {"encoder": wider})


def test_models_are_those_whose_weights_are_committed_and_in_the_order_of_params(tmp_path, monkeypatch):
    with committed():
        params = load_params()
        names = [run.name for run in published(params)]
        runs = {name: RunFiles(find_run(params, name).graph, name) for name in names}
    assert names == sorted(names, key=[*params.publish.paper, *params.publish.beyond].index)
    assert RUN in names
    monkeypatch.chdir(tmp_path)
    assert published(params) == []
    (tmp_path / runs[RUN].published).mkdir(parents=True)
    assert [run.name for run in published(params)] == [RUN]


def test_a_model_is_called_by_what_it_has_of_its_own():
    with committed():
        params = load_params()
    assert title(params, find_run(params, RUN)) == "Baseline"
    assert title(params, find_run(params, "beta_0_25-fold0-0")) == "Beta 0.25"
    assert title(params, find_run(params, "he_normal-full-0")) == "He normal"


def test_the_page_has_the_test_images_and_their_digits(site):
    images, labels = scanned_digits()
    [text] = re.findall(r'id="explorer-data">(.*?)</script>', (site / "explorer.html").read_text(encoding="utf-8"))
    data = json.loads(text)
    assert zlib.decompress((site / data["images"]).read_bytes()) == images.tobytes()
    assert (data["count"], data["labels"]) == (len(images), "".join(map(str, labels)))


@pytest.fixture
def copy(tmp_path):
    """A folder with the committed weights of one run and nothing else."""
    with committed():
        run = find_run(load_params(), RUN)
        shutil.copytree(RunFiles(run.graph, RUN).published, tmp_path / RunFiles(run.graph, RUN).published)
    return tmp_path, run


def test_a_second_build_measures_nothing_anew(copy, layers):
    """What is kept is told from what is computed by values that no model would give."""
    (folder, run), images = copy, scanned_digits()[0][:5, ..., 0]
    with committed(folder):
        first, _ = explorer.model_arrays(run, layers, images, "a" * 64)
        [kept] = (folder / explorer.KEPT).iterdir()
        changed = read_npz(kept, made_by="site") | {"kl": np.full(5, 7, np.float32)}
        kept.write_bytes(npz_bytes(changed))
        second, _ = explorer.model_arrays(run, layers, images, "a" * 64)
        other, _ = explorer.model_arrays(run, layers, images, "b" * 64)
    np.testing.assert_array_equal(second["kl"], np.full(5, 7))
    np.testing.assert_array_equal(other["kl"], first["kl"])


def test_what_the_classifier_sees_is_shown_where_an_evaluation_left_it(copy, layers):
    (folder, run), images = copy, scanned_digits()[0][:5, ..., 0]
    with committed(folder):
        assert "regions_reach" not in explorer.model_arrays(run, layers, images, "a" * 64)[1]
        cells = np.arange(16, dtype=np.uint8).reshape(4, 4) % explorer.COLOURS
        shown = {"map_classes": cells, "map_percent": cells + 80, "map_edges": np.linspace(-3, 3, 5), "decoded": cells}
        write_bytes(RunFiles(run.graph, RUN).digits, npz_bytes(shown))
        arrays, about = explorer.model_arrays(run, layers, images, "a" * 64)
        more = shown | {"map_classes": cells + 1}  # than there are colours for
        write_bytes(RunFiles(run.graph, RUN).digits, npz_bytes(more))
        assert "regions_reach" not in explorer.model_arrays(run, layers, images, "a" * 64)[1]
    assert about["regions_reach"] == 3
    np.testing.assert_array_equal(arrays["map_classes"], cells)
    np.testing.assert_array_equal(arrays["map_percent"], cells + 80)
    assert "decoded" not in arrays


def test_without_committed_weights_the_page_says_so(site_project, monkeypatch):
    monkeypatch.chdir(site_project)
    project = read_project()
    monkeypatch.setattr(explorer, "published", lambda _: [])
    made = explorer.page(project)
    page = html(
        "explorer", {"pages": {"explorer": "Explorer"}, "commit": None, "current": "explorer", **made.values}
    ).decode()
    assert "no committed weights" in page
    assert "explorer/main.js" not in page
