import contextlib
import re
import shutil
from pathlib import Path

import measured
import pytest
from example_project import change, write_project

from digit_vae.analysis.fold_comparison import fold_studies
from digit_vae.analysis.results import read_results
from digit_vae.analysis.statistics import Spread
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, write_json
from digit_vae.base.paths import BENCHMARKS, REPORTS, comparisons
from digit_vae.config.loading import load_params
from digit_vae.report.chapters import write_report
from digit_vae.report.summary import BEGIN, END, Seeds, between_marks, is_current, page, write_summary

LINES, WIDTH = 120, 100  # of three screens


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project that is compared, with a README.md and a measured benchmark."""
    root = tmp_path_factory.mktemp("template")
    with contextlib.chdir(root):
        write_project(root)
        for graph in ("paper", "beyond"):
            for each in fold_studies(read_results(load_params(), graph), graph):
                write_json(comparisons(graph) / f"{each.name}.json", each.compare())
        write_json(BENCHMARKS / "a.json", measured.benchmark())
        Path("README.md").write_text(f"before\n\n{BEGIN}\nan earlier text\n{END}\n\nafter\n", encoding="utf-8")
    return root


@pytest.fixture
def folder(template, tmp_path, monkeypatch):
    """A copy of it, as the working folder."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def texts():
    return [Path(name).read_text(encoding="utf-8") for name in ("reports/README.md", "README.md")]


def test_the_summary_fits_three_screens_and_says_what_the_files_say(folder):
    change("baseline-full-0", "history", epochs=loss_of("baseline-full-0", 123.456))
    write_summary(folder)
    summary, readme = texts()
    assert "123.46" in summary
    assert sum(1 + len(line) // WIDTH for line in summary.splitlines()) <= LINES
    assert readme.startswith("before\n")
    assert readme.endswith(f"{END}\n\nafter\n")
    assert "an earlier text" not in readme
    assert "158.62" in readme


@pytest.mark.usefixtures("folder")
def test_the_summary_says_at_which_level_each_test_is():
    write_summary(Path())
    [line] = [line for line in texts()[0].splitlines() if line.startswith("Each difference is the mean")]
    assert "family-wise level of 0.05" in line
    assert "single level of 0.05" in line


def test_it_is_current_until_a_result_changes(folder):
    assert not is_current(folder)
    write_summary(folder)
    assert is_current(folder)
    before = texts()
    write_summary(folder)
    assert texts() == before
    change("improved-full-0", "history", epochs=loss_of("improved-full-0", 111.0))
    assert not is_current(folder)


def test_it_is_not_current_when_somebody_edits_a_number(folder):
    write_summary(folder)
    path = folder / "README.md"
    path.write_text(path.read_text(encoding="utf-8").replace("158.62", "148.62"), encoding="utf-8")
    assert not is_current(folder)


def test_the_papers_results_alone_make_a_summary_too(folder):
    shutil.rmtree(folder / "reports/beyond")
    write_summary(folder)
    summary, readme = texts()
    assert "`seeds` (3 without results); `recipe` (6 without results)" in summary
    assert summary.count("make beyond") == 1
    assert "`baseline-full-2`" not in summary
    assert "improved" not in readme
    assert page(read_results(load_params(), "beyond")).values["seeds"] is None


def test_a_damaged_comparison_is_named(folder):
    path = comparisons("paper") / "ablation.json"
    content = read_json(path, made_by="test")
    content["dropout"]["validation"]["elbo"]["difference"] = "none"
    write_json(path, content)
    with pytest.raises(UserError, match=rf"{path} is damaged \(dropout\.validation\.elbo\.difference: "):
        write_summary(folder)


@pytest.mark.usefixtures("folder")
def test_seeds_and_recipe_have_the_numbers_of_their_runs():
    results = read_results(load_params(), "beyond")
    values = page(results).values
    assert values["seeds"].losses.mean == pytest.approx(
        sum(results.runs[f"baseline-full-{i}"].loss for i in range(5)) / 5
    )
    assert values["recipe"][1].mean == pytest.approx(sum(results.runs[f"improved-full-{i}"].loss for i in range(3)) / 3)
    assert values["runs"] == {"paper": 8, "beyond": 16}
    assert values["declared_beyond"] == 16


@pytest.mark.usefixtures("folder")
def test_runs_without_results_are_counted():
    shutil.rmtree("reports/beyond/runs/beta_2-fold1-0")
    write_summary(Path())
    [line] = [line for line in texts()[1].splitlines() if "beyond it" in line]
    assert re.search(r"the paper's 8 runs and of \d+ of the 16 beyond it: `make beyond` trains", line)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("there", [("paper",), ("paper", "beyond"), ()])
def test_it_links_the_pages_that_there_are_and_no_others(there):
    for graph in there:
        write_report(load_params(), graph)
    write_summary(Path())
    text = texts()[0]
    linked = set(re.findall(r"\]\(([^)]+)\)", text))
    assert {link.partition("/")[0] for link in linked} == set(there)
    assert all((REPORTS / link).is_file() for link in linked)
    assert {f"{graph}/{path.name}" for graph in there for path in (REPORTS / graph).glob("*.md")} <= linked
    assert "Chapters" in text or not there


@pytest.mark.usefixtures("folder")
def test_collapses_are_counted_by_beta():
    epochs = [dict(each) for each in read_results(load_params(), "beyond").runs["beta_2-fold1-0"].epochs]
    epochs[-1]["health"] = epochs[-1]["health"] | {"collapsed_dimensions": 1}
    change("beta_2-fold1-0", "history", epochs=epochs)
    write_summary(Path())
    assert all("at beta 2 in 1 of 3 folds" in text for text in texts())


def test_the_papers_runs_are_inside_of_what_a_seed_may_give_or_not():
    seeds = Seeds(5, Spread(155.0, 1.0), 152.0, 158.0)
    assert seeds.inside({"CPU": 152.0, "GPU": 158.1}) == ["CPU"]


@pytest.mark.parametrize("text", ["", f"{BEGIN}\n", f"{END}\n{BEGIN}\n", f"{BEGIN}{BEGIN}{END}", f"{BEGIN}{END}{END}"])
def test_a_readme_without_its_marks_is_refused(text):
    with pytest.raises(UserError, match="results:begin"):
        between_marks(text, "new")


def test_only_what_is_between_the_marks_changes():
    assert between_marks(f"a\n{BEGIN}x{END} b", "new\n") == f"a\n{BEGIN}\n\nnew\n\n{END} b"


def loss_of(name, loss):
    epochs = read_results(load_params(), "beyond").runs[name].epochs
    return [*epochs[:-1], dict(epochs[-1]) | {"val_loss": loss}]
