import re

import measured
import numpy as np
import pytest
from example_project import ROOT, results_of, write_project
from synthetic import write_manifest

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from pipeline import compare, plot

pytestmark = pytest.mark.usefixtures("no_arguments")

SMALL = {"digits": 4, "grid": 3}
TWO_RUNS = {"baseline": {"splits": ["full"]}, "second_run": {"splits": ["full"], "seed": 1}}
EXTENDED = {
    "beta_2": {"splits": ["folds"], "beta": 2.0, "extended": True},
    "seed_2": {"splits": ["full"], "seed": 2, "extended": True},
    "improved": {"splits": ["full"], "warmup_steps": 1000, "extended": True},
}
ALL = (
    TWO_RUNS | {"baseline": {"splits": ["full", "folds"]}, "dropout": {"splits": ["folds"], "dropout": 0.2}} | EXTENDED
)
PAPER_FIGURES = {
    f"figure_{number}_{kind}.png"
    for numbers, kind in (("12", "reconstructions"), ("34", "latent"), ("56", "loss"))
    for number in numbers
}
ALWAYS = PAPER_FIGURES | {"digits_beside.png", "health.png"}
PLANE = {"latent_plane.png", "latent_map.png"}


def build(folder, monkeypatch, **sections):
    """A project of the given sections of params.yaml, compared and plotted."""
    monkeypatch.chdir(folder)
    write_project(folder, **({"evaluate": SMALL} | sections))
    compare.main()
    plot.main()
    return folder / "reports"


def names(folder):
    return {path.name for path in folder.iterdir()}


def contents(reports):
    return {path: path.read_bytes() for path in reports.rglob("*") if path.is_file()}


def test_the_whole_report_is_written_with_links_that_lead_to_files(tmp_path, monkeypatch):
    reports = build(tmp_path, monkeypatch, variants=ALL, preprocess={"folds": 2})
    drawn = {"ablation.png", "rate_distortion.png", "seeds.png", "recipes.png"}
    assert names(reports / "figures") == ALWAYS | PLANE | drawn
    tables = ["table_1", "table_1_last", "ablation", "fold_differences", "runs", "latent", "quality", "beta", "seeds"]
    tables += ["dead_units", "health", "health_runs", "cures", "improved", "latent_differences", "quality_differences"]
    tables += [f"likelihood_{kind}{of}" for kind in ("grey", "binarised") for of in ("", "_differences", "_runs")]
    assert names(reports / "tables") == {f"{name}.{suffix}" for name in tables for suffix in ("csv", "md")}
    text = (reports / "README.md").read_text()
    assert sorted(re.findall(r"!\[[^\]]+\]\(figures/([^)]+)\)", text)) == sorted(names(reports / "figures"))
    elsewhere = {"benchmarks/README.md", "published", "extended/runs"}  # no stage of this example makes them
    for link in set(re.findall(r"\]\(([^)]+)\)", text)) - elsewhere:
        root = ROOT / "reports" if link.startswith("../src/") else reports
        assert (root / link).is_file(), link


def test_rate_and_distortion_are_those_of_the_validation_images_by_rising_beta(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plot.figures, "rate_distortion", drawn.append)
    results = results_of(tmp_path, monkeypatch, variants=ALL, preprocess={"folds": 2})
    plot.further_figures(results)
    (points,) = drawn
    assert [beta for beta, *_ in points] == [1.0, 2.0]
    for name, (_, rates, distortions) in zip(("baseline", "beta_2"), points, strict=True):
        of = [results.metrics[f"{name}-{fold}"]["validation"] for fold in (0, 1)]
        assert rates.tolist() == [each["kl_loss"] for each in of]
        assert distortions.tolist() == [each["reconstruction_loss"] for each in of]


def test_recorded_files_bring_their_tables_and_a_figure(tmp_path, monkeypatch):
    write_json(tmp_path / "reports/benchmarks/a.json", measured.benchmark())
    write_json(tmp_path / "reports/benchmarks/side_by_side/a.json", measured.comparison())
    reports = build(tmp_path, monkeypatch, variants=TWO_RUNS)
    assert names(reports / "figures") == ALWAYS | PLANE | {"epoch_seconds.png"}
    assert {"benchmarks.csv", "benchmarks.md", "side_by_side.csv", "side_by_side.md"} <= names(reports / "tables")
    assert "](figures/epoch_seconds.png)" in (reports / "README.md").read_text()


def test_seconds_of_all_epochs_stand_beside_the_papers():
    seconds = plot.epoch_seconds({"a": measured.benchmark(seeds=2, epochs=2)})
    assert list(seconds) == ["Some CPU @ 2GHz, 2 cores, float32", "paper, CPU", "paper, GPU"]
    assert seconds["Some CPU @ 2GHz, 2 cores, float32"] == [10, 10, 11, 11]
    assert sum(seconds["paper, GPU"]) == 50


def test_the_same_files_give_the_same_bytes_and_nothing_stale_remains(tmp_path, monkeypatch):
    reports = build(tmp_path, monkeypatch, variants=TWO_RUNS)
    first = contents(reports)
    (reports / "figures/figure_7.png").write_bytes(b"stale")
    plot.main()
    assert contents(reports) == first


def test_a_project_with_nothing_but_the_baseline_and_three_dimensions_says_what_is_not_there(tmp_path, monkeypatch):
    reports = build(
        tmp_path,
        monkeypatch,
        variants={"baseline": {"splits": ["full", "folds"]}},
        plot={"second_run": "baseline-full"},
        train={"epochs": 1, "latent_dim": 3},
    )
    assert names(reports / "figures") == ALWAYS
    text = (reports / "README.md").read_text()
    assert "`train.latent_dim` is 3, and a plane needs 2" in text
    assert "| baseline | 5 |" in text
    assert "Nothing to compare" in text
    assert "No sweep" in text


@pytest.mark.parametrize(
    ("path", "stage"),
    [
        ("models/second_run-full/samples.npz", "evaluate@second_run-full"),
        ("models/baseline-full/history.json", "train@baseline-full"),
        ("models/dropout-1/timings.json", "train@dropout-1"),
        ("reports/metrics/runs/l1_l2-1.json", "evaluate@l1_l2-1"),
        ("reports/metrics/variants/dropout.json", "compare"),
        ("reports/metrics/classifier.json", "classifier"),
        ("models/dropout-0/digits.npz", "evaluate@dropout-0"),
        ("data/processed/test_labels.npy", "preprocess"),
    ],
)
def test_a_missing_or_damaged_file_is_named_with_the_stage_that_makes_it(tmp_path, monkeypatch, path, stage):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, evaluate=SMALL, preprocess={"folds": 2})
    compare.main()
    (tmp_path / path).write_text("no such content")
    with pytest.raises(UserError, match=rf"{path} is damaged.*`dvc repro {stage}`"):
        plot.main()
    (tmp_path / path).unlink()
    with pytest.raises(UserError, match=rf"{path} is missing: `dvc repro {stage}` makes it"):
        plot.main()


def test_extended_runs_that_nobody_trained_are_left_out_and_named(tmp_path, monkeypatch):
    reports = build(tmp_path, monkeypatch, variants=ALL, preprocess={"folds": 2})
    for path in (reports / "extended/runs").iterdir():
        path.unlink()
    compare.main()
    plot.main()
    text = (reports / "README.md").read_text()
    assert "(`make extended` does that): `beta_2`, `seed_2`, `improved`." in text
    assert {"rate_distortion.png", "seeds.png", "recipes.png"}.isdisjoint(names(reports / "figures"))
    assert "beta_2" not in (reports / "tables/ablation.md").read_text()


def test_samples_of_other_test_images_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path, evaluate=SMALL, variants=TWO_RUNS)
    np.save(tmp_path / "data/processed/test_labels.npy", np.zeros(7, np.uint8))
    write_manifest(tmp_path / "data/processed")
    with pytest.raises(UserError, match="expected one z_mean for each of the 7 test images, received 200"):
        plot.main()
