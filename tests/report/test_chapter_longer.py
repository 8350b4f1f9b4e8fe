import shutil

import pytest
import yaml
from example_project import STUDIES, change, example_results, study
from synthetic import SMALL_PARAMS

from digit_vae.analysis.results import read_results
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.report import chapter_longer
from digit_vae.report.pages import rendered

LONG = {"baseline_long": {"epochs": 6}, "improved_long": {"epochs": 6, "hidden_bias": 1.0}}
MORE = {
    "longer": study(["baseline_long"], ["full"], [0, 3], beside=["paper", "seeds"], beyond=True, partial=True),
    "longer_improved": study(["improved_long"], ["full"], [0], beside=["longer"], beyond=True, partial=True),
}


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    variants = yaml.safe_load(SMALL_PARAMS.read_text(encoding="utf-8"))["variants"]
    example_results(tmp_path, studies=STUDIES | MORE, variants=variants | LONG)
    return load_params()


def page_of(params):
    page = chapter_longer.page(read_results(params, "beyond"))
    return page, rendered("longer", page)


def test_a_long_run_stands_beside_the_short_one_of_its_seed(project):
    page, text = page_of(project)
    first, second, improved = page.values["runs"]
    assert (first.short.name, second.short.name, improved.short) == ("baseline-full-0", "baseline-full-3", None)
    assert first.gained == pytest.approx(first.short.loss - first.last)
    assert (first.epochs, first.best[0], first.turns) == (6, 6, False)
    assert set(page.figures) == {"longer"}
    assert "`baseline-full-3`" in text


def test_the_turn_of_validation_and_what_was_asleep_are_told(project):
    epochs = read_results(project, "beyond").runs["baseline_long-full-0"].history["epochs"]
    for epoch, loss in zip(epochs, (190, 170, 160, 155, 157, 158), strict=True):
        epoch["val_loss"] = loss
        epoch["health"]["collapsed_dimensions"] = int(epoch["epoch"] in (2, 3))
        epoch["health"]["dead_units"]["hidden"] = 3
    change("baseline_long-full-0", "history", epochs=epochs)
    page, text = page_of(project)
    found = page.values["runs"][0]
    assert (found.best, found.turns, found.asleep) == ((4, 155.0), True, [2, 3])
    assert found.dead == (found.short.dead_units, 3) != (3, 3)
    line = next(line for line in text.splitlines() if line.startswith("- `baseline_long-full-0`"))
    assert "epoch 4" in line
    assert "2, 3" in line


def test_it_shows_what_is_there_and_names_what_is_not(project):
    for name in ("baseline_long-full-3", "improved_long-full-0"):
        shutil.rmtree(RunFiles("beyond", name).reports)
    page, text = page_of(project)
    assert [each.name for each in page.values["runs"]] == ["baseline_long-full-0"]
    assert "`baseline_long-full-3`" in text
    assert "`improved_long-full-0`" in text
    shutil.rmtree(RunFiles("beyond", "baseline_long-full-0").reports)
    page, text = page_of(project)
    assert (page.values["runs"], page.figures) == ([], {})
    assert "No long run" in text
