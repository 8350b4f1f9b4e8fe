import re
import shutil
from pathlib import Path

import pytest
from example_project import write_project

from digit_vae.analysis.fold_comparison import fold_studies
from digit_vae.analysis.results import read_results
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json
from digit_vae.base.paths import REPORTS, comparisons
from digit_vae.config.loading import load_params
from digit_vae.report.chapters import write_report

PAGES = {
    "paper": {"paper", "speed", "ablation", "likelihood", "latent", "runs"},
    "beyond": {"studies", "seeds", "recipe", "beta", "repetitions", "longer", "likelihood", "latent", "runs"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder: a project whose studies are compared."""
    monkeypatch.chdir(tmp_path)
    write_project(tmp_path)
    return tmp_path


def compare(graph):
    for each in fold_studies(read_results(load_params(), graph), graph):
        write_json(comparisons(graph) / f"{each.name}.json", each.compare())


def written(graph):
    return {path.relative_to(REPORTS / graph): path.read_bytes() for path in made(graph) if path.is_file()}


def made(graph):
    folders = (REPORTS / graph / name for name in ("figures", "tables"))
    return [*(REPORTS / graph).glob("*.md"), *(path for folder in folders for path in folder.iterdir())]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("graph", ["paper", "beyond"])
def test_a_graph_has_its_pages_and_all_that_they_show(graph):
    compare(graph)
    write_report(load_params(), graph)
    texts = {path.stem: path.read_text(encoding="utf-8") for path in (REPORTS / graph).glob("*.md")}
    assert set(texts) == PAGES[graph]
    linked = {name for text in texts.values() for name in re.findall(r"\((?:figures|tables)/([^)]+)\)", text)}
    there = {path.name for path in made(graph)}
    assert linked - there == set()
    assert {name for name in there if name.endswith((".png", ".csv"))} - linked == set()
    for text in texts.values():
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
            if not re.match(r"pictures/|\.\./\.\./src/|\.\./benchmarks|(?:\.\./)?\w+(?:/\w+)?\.md$", link):
                assert (REPORTS / graph / link).exists(), link


@pytest.mark.usefixtures("folder")
def test_tables_have_as_many_cells_in_every_row():
    for graph in PAGES:
        compare(graph)
        write_report(load_params(), graph)
        for path in (REPORTS / graph).glob("*.md"):
            blocks = path.read_text(encoding="utf-8").split("\n\n")
            for lines in (block.splitlines() for block in blocks if block.startswith("|")):
                assert len({line.count("|") for line in lines}) == 1, path
                assert set(lines[1]) <= set("|-: ")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("graph", ["paper", "beyond"])
def test_the_same_results_make_the_same_bytes(graph):
    compare(graph)
    write_report(load_params(), graph)
    first = written(graph)
    write_report(load_params(), graph)
    assert written(graph) == first


def test_the_papers_report_does_not_depend_on_what_goes_beyond_it(folder):
    compare("paper")
    write_report(load_params(), "paper")
    first = written("paper")
    shutil.rmtree(folder / "reports/beyond")
    write_report(load_params(), "paper")
    assert written("paper") == first


def test_beyond_the_paper_every_page_is_there_whatever_is_missing(folder):
    shutil.rmtree(folder / "reports/beyond")
    write_report(load_params(), "beyond")
    texts = {path.stem: path.read_text(encoding="utf-8") for path in Path("reports/beyond").glob("*.md")}
    assert set(texts) == PAGES["beyond"]
    assert all("baseline-full-2" in texts[name] for name in ("studies", "seeds", "recipe"))


@pytest.mark.usefixtures("folder")
def test_nothing_is_reported_that_was_not_compared():
    with pytest.raises(UserError, match=r"ablation.json is missing.*compare"):
        write_report(load_params(), "paper")
