"""Somebody's own images from the first stage to the last: what is said of them, and what is left out."""

import functools
import json
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from own_images import NOUNS, ONE_RUN, own_images, write_idx, write_own_params, write_pictures
from PIL import Image
from small_graph import ROOT, drive

from digit_vae.base.files import read_npz
from digit_vae.base.paths import DATASET, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import runs
from digit_vae.report.summary import BEGIN, END, write_summary
from digit_vae.site.build import build
from digit_vae.tracking.mirror import Mirror
from pipeline import classifier, compare, draw, evaluate, fetch, preprocess, publish, report, train

pytestmark = pytest.mark.usefixtures("cpu")
PAGES = ("ablation", "latent", "likelihood", "paper", "runs")
Made = tuple[Path, dict[str, str]]


@pytest.fixture
def run_graph(project, run_stage, monkeypatch) -> Callable[[], dict[str, str]]:
    """Runs all stages in this process, in the order of dvc.yaml; returns the text of each page."""
    silent = (sys.executable, "-c", "import sys; sys.stdin.read()")
    monkeypatch.setattr(train, "Mirror", functools.partial(Mirror, silent))

    def stages() -> Iterator[tuple[Callable[[], None], tuple[str, ...]]]:
        params = load_params()
        yield from ((fetch.main, ()), (preprocess.main, ()))
        yield from ((train.main, (run.name,)) for run in runs(params))
        yield classifier.main, ()
        yield from ((evaluate.main, (run.name,)) for run in runs(params))
        yield from ((compare.main, ("paper",)), (draw.main, ()), (report.main, ("paper",)))
        yield from ((publish.main, (name,)) for name in params.publish.paper)

    def run() -> dict[str, str]:
        for main, arguments in stages():
            assert run_stage(main, *arguments) == 0, (main.__module__, arguments)
        return {name: (project / f"reports/paper/{name}.md").read_text(encoding="utf-8") for name in PAGES}

    return run


def metrics(name="baseline-full-0"):
    return json.loads(RunFiles("paper", name).metrics.read_bytes())


def speaks_of_digits(pages):
    """The lines with the word, but for names of files and of this project."""
    lines = (line for text in pages.values() for line in text.splitlines())
    return [line for line in lines if re.search(r"(?<![\w/-])[Dd]igits?(?![\w.-])", line)]


def pictures(project):
    return {path.name for path in (project / "reports/paper/pictures").iterdir()}


@pytest.mark.slow
def test_class_folders_with_three_latent_dimensions(project, run_graph):
    write_pictures(project / "mine", labelled=True)
    write_own_params(project, train={"latent_dim": 3}, studies=ONE_RUN)
    pages = run_graph()
    assert json.loads((project / DATASET).read_bytes())["classes"] == ["null", "one", "three", "two"]
    assert set(metrics()["latent"]) >= {"knn_accuracy", "nmi", "silhouette"}
    assert set(metrics()["quality"]) >= {"samples", "reconstructions"}
    assert "log_likelihood" not in metrics()["likelihood"]["grey"]
    assert "latent_plane.png" not in pictures(project)
    assert "principal components" in pages["paper"]
    assert "generated images" in pages["paper"]
    assert "These are other images than the paper's" in pages["paper"]
    assert speaks_of_digits(pages) == []


@pytest.mark.slow
def test_site_and_summary_of_one_run_with_three_latent_dimensions_of_four_classes(project, run_graph):
    write_pictures(project / "mine", labelled=True)
    write_own_params(project, train={"latent_dim": 3}, studies=ONE_RUN)
    run_graph()
    (project / "README.md").write_text(f"{BEGIN}\n{END}\n", encoding="utf-8")
    write_summary(project)
    assert "These are other images than the paper's" in (project / "reports/README.md").read_text(encoding="utf-8")
    build(project / "site")
    overview, runs_page = ((project / f"site/{name}.html").read_text(encoding="utf-8") for name in ("index", "runs"))
    assert "Images from three numbers</h1>" in overview
    assert "squeezes a picture into three numbers, and draws it again from them" in overview
    assert "1 time, and" in overview
    assert "1 run is declared" in runs_page
    assert (project / "site/data/digits/baseline-full-0.png").is_file()


@pytest.mark.slow
def test_without_labels_there_is_no_classifier_and_nothing_is_said_of_classes(project, run_graph):
    write_pictures(project / "mine", labelled=False)
    write_own_params(project)
    pages = run_graph()
    assert json.loads((project / DATASET).read_bytes())["classes"] == []
    assert set(metrics()) == {"validation", "test", "likelihood", "latent"}
    assert (project / "models/classifier/model.weights.h5").read_bytes() == b""
    assert "latent_map.png" in pictures(project)
    assert "have no labels" in pages["latent"]
    assert "kNN" not in pages["latent"]
    assert speaks_of_digits(pages) == []
    held_out = json.loads((project / "data/processed/manifest.json").read_bytes())["splits"]
    assert [held_out[name]["images"] for name in ("full-0", "fold0-0", "fold1-0")] == [0, 120, 120]


@pytest.mark.slow
def test_the_fewest_images_are_measured_and_reported(project, run_graph):
    write_pictures(project / "mine", labelled=False, train=6, test=2)
    write_own_params(project)
    pages = run_graph()
    assert metrics()["test"]["images"] == 2
    assert metrics("baseline-fold0-0")["validation"]["images"] == 3
    assert "have no labels" in pages["latent"]


@pytest.mark.slow
def test_three_training_images_of_two_classes_are_enough_without_folds(project, run_graph):
    images, labels = own_images()
    for part, chosen in (("train", (0, 1, 0)), ("test", (0, 1))):
        for number, label in enumerate(chosen):
            place = project / "mine" / part / NOUNS[label]
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(images[labels == label][number]).save(place / f"{number}.png")
    write_own_params(project, studies=ONE_RUN)
    run_graph()
    assert set(metrics()["quality"]) >= {"samples", "reconstructions"}


@pytest.mark.slow
def test_idx_files_whose_test_images_lack_a_class_with_one_latent_dimension(project, run_graph):
    write_idx(project / "mine")
    write_own_params(project, train={"latent_dim": 1}, studies=ONE_RUN)
    pages = run_graph()
    assert json.loads((project / DATASET).read_bytes())["classes"] == ["0", "1", "2", "3"]
    shown = read_npz(RunFiles("paper", "baseline-full-0").digits, made_by="test")
    assert len(shown["originals"]) == 3
    assert metrics()["quality"]["reconstructions"]["agreement"] >= 0
    assert "one dimension" in pages["paper"]
    assert speaks_of_digits(pages) == []


@pytest.mark.integration
@pytest.mark.slow
def test_the_graph_itself_runs_on_own_images_and_is_up_to_date_afterwards(tmp_path):
    for name in ("src", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    write_pictures(tmp_path / "mine", labelled=False)
    write_own_params(tmp_path, studies=ONE_RUN)
    content = yaml.safe_load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    for stage in ("train_ablation", "evaluate_ablation"):
        del content["stages"][stage]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    (tmp_path / "reports/benchmarks").mkdir(parents=True)
    (tmp_path / ".dvcignore").write_text("__pycache__/\n", encoding="utf-8")
    (tmp_path / ".dvc").mkdir()
    settings = f"[core]\n    no_scm = true\n    site_cache_dir = {tmp_path}/.dvc/site\n"
    (tmp_path / ".dvc/config").write_text(settings, encoding="utf-8")
    status, _, errors = drive(tmp_path, "dvc", "repro", "--quiet")
    assert (status, errors) == (0, "")
    status, out, _ = drive(tmp_path, "dvc", "status")
    assert (status, out) == (0, "Data and pipelines are up to date.\n")
