import io
import json

import numpy as np
import pytest
from example_project import compared, example_results, write_arrays
from PIL import Image

from digit_vae.base.files import npz_bytes, write_bytes
from digit_vae.base.paths import RunFiles, pictures
from digit_vae.report.paper import TABLE_1
from digit_vae.site import runs
from digit_vae.site.pages import Project


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = example_results(tmp_path)
    return Project(results.params, results, {"paper": [compared(results, "ablation")], "beyond": []})


def with_results(project, results):
    return Project(project.params, results, project.compared)


def test_every_declared_run_is_a_row_in_its_order(project):
    rows = runs.declared(project)
    assert [row.run.name for row in rows[:2]] == ["baseline-full-0", "baseline-full-1"]
    assert len(rows) == len({row.run.name for row in rows}) == 2 + 6 + 3 + 3 + 3 + 1 + 6
    assert {row.state for row in rows} == {"reported"}


def test_a_run_without_results_is_missing_and_its_study_left_out(project, tmp_path):
    (tmp_path / RunFiles("beyond", "beta_2-fold1-0").metrics).unlink()
    from digit_vae.analysis.results import read_results

    results = read_results(project.params, "beyond")
    rows = {row.run.name: row for row in runs.declared(with_results(project, results))}
    assert rows["beta_2-fold1-0"].state == "missing"
    assert rows["beta_2-fold1-0"].seconds is None
    assert rows["beta_2-fold0-0"].state == "left out"
    assert rows["beta_2-fold0-0"].result is not None
    assert rows["baseline-full-0"].state == "reported"


def test_curves_are_those_of_the_history(project):
    result = project.results.runs["dropout-fold1-0"]
    assert runs.curve(result, "val_loss") == [epoch["val_loss"] for epoch in result.history["epochs"]]
    assert runs.curve(result, "least_kl")[0] == pytest.approx(0.01)  # asleep after the first epoch
    assert runs.paper_curves()["val_loss"]["paper, GPU"][-1] == TABLE_1["GPU"][-1].val_loss == 175.61


def test_the_data_have_params_and_metrics_of_each_run(project):
    page = runs.page(project)
    data = json.loads(page.files[runs.DATA])
    run = data["runs"]["improved-full-1"]
    assert run["params"] == project.results.runs["improved-full-1"].history["params"]
    assert run["changed"] == sorted(project.params.variants["improved"])
    assert run["metrics"]["quality"]["samples.frechet"] == project.results.runs["improved-full-1"].number(
        *("quality", "samples", "frechet")
    )
    assert set(run["curves"]) == set(data["curves"])


def test_pictures_are_called_by_what_the_images_show(project):
    result = project.results.runs["baseline-full-0"]
    plane = pictures("paper") / "latent_plane.png"
    write_bytes(plane, b"")
    assert runs.shown_pictures(project.params, "items")[result.name] == {plane: "Items over the latent plane"}
    [strip] = runs.figures(result, {runs.strip_file(result): b""}, {}, "items")
    assert "and items decoded" in strip.says


def test_digits_are_a_picture_of_three_rows_dark_on_white(project, tmp_path):
    write_arrays(tmp_path, project.params)
    result = project.results.runs["baseline-full-0"]
    picture = np.asarray(Image.open(io.BytesIO(runs.strip(result))))
    with np.load(tmp_path / RunFiles("paper", "baseline-full-0").digits) as arrays:
        assert picture.shape == (84, 280)
        assert (picture[:28, :28] == 255 - arrays["originals"][0]).all()
        assert (picture[56:, 252:] == 255 - arrays["decoded"][9]).all()


def test_fewer_classes_than_decoded_images_leave_room_at_the_end_of_their_rows(project, tmp_path):
    write_arrays(tmp_path, project.params)
    result = project.results.runs["baseline-full-0"]
    path = tmp_path / RunFiles("paper", "baseline-full-0").digits
    with np.load(path) as arrays:
        digits = dict(arrays)
    write_bytes(path, npz_bytes(digits | {name: digits[name][:4] for name in ("originals", "reconstructions")}))
    picture = np.asarray(Image.open(io.BytesIO(runs.strip(result))))
    assert picture.shape == (84, 280)
    assert (picture[:28, 84:112] == 255 - digits["originals"][3]).all()
    assert (picture[:56, 112:] == 255).all()
