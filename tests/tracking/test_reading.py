from pathlib import Path

import measured
import numpy as np
import pytest
from synthetic import timings, write_evaluation, write_params, write_run

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json, write_npy
from digit_vae.base.paths import BENCHMARKS, CLASSIFIER_METRICS, PROCESSED, RunFiles, comparisons, figures, tables
from digit_vae.config.loading import load_params
from digit_vae.config.runs import find_run, runs
from digit_vae.tracking.reading import read_project, read_run, readers
from digit_vae.tracking.record import NOT_IN_GIT

RUN, GROUP = "baseline-fold0-0", "ablation/baseline"


def record_of(name):
    return read_run(find_run(load_params(), name))


def groups(project):
    return {group.name: group for group in project.groups}


def test_what_params_yaml_declares_and_files_have_is_read(project):
    for name, graph in ((RUN, "paper"), ("beta_2-fold1-0", "beyond"), ("undeclared-full-0", "paper")):
        write_run(project, name, graph=graph)
    read = read_project(load_params())
    assert [record.name for record in read.records] == [RUN, "beta_2-fold1-0"]
    assert groups(read).keys() == {GROUP, "beta/beta_2"}
    assert read.missing == [run.name for run in runs(load_params(), "paper") if run.name != RUN]
    assert load_params().studies["beta"].question in groups(read)["beta/beta_2"].note


def test_a_run_without_models_is_there(project):
    write_run(project, RUN)
    write_evaluation(project, RUN, elbo=-151.5)
    whole = record_of(RUN)
    assert whole.files.keys() > NOT_IN_GIT
    for path in RunFiles("paper", RUN).models.iterdir():
        path.unlink()
    bare = record_of(RUN)
    assert bare.files.keys() == {"history.json", "timings.json", "metrics.json", "evaluation.json"}
    assert (bare.metrics, bare.points, bare.identity) == (whole.metrics, whole.points, whole.identity)
    assert bare.metrics["test/elbo"] == -151.5


def test_models_of_another_training_are_not_the_runs(project):
    write_run(project, RUN)
    write_evaluation(project, RUN)
    RunFiles("paper", RUN).encoder.write_bytes(b"others")
    assert not record_of(RUN).files.keys() & NOT_IN_GIT


def test_a_runs_figures_follow_from_its_files(project):
    write_run(project, RUN)
    write_evaluation(project, RUN)
    write_npy(project / PROCESSED / "test_labels.npy", np.arange(12, dtype=np.uint8) % 10)
    read = record_of(RUN)
    drawn = {title: content for name in read.files for title, content in read.figures(name).items()}
    assert set(drawn) == {"digits.png", "latent_map.png", "latent_plane.png", "latent_scatter.png", "loss_curves.png"}
    assert {content[:4] for content in drawn.values()} == {b"\x89PNG"}


def test_a_group_has_its_variant_of_its_studys_comparison(project):
    write_run(project, RUN)
    write_run(project, "beta_2-fold0-0", graph="beyond")
    for study, graph in (("ablation", "paper"), ("beta", "beyond")):
        content = {"baseline": {"folds": 2}, "beta_2": {"folds": 3}}
        write_json(project / comparisons(graph) / f"{study}.json", content)
    read = groups(read_project(load_params()))
    assert {name: group.metrics for name, group in read.items()} == {GROUP: {"folds": 2}, "beta/beta_2": {"folds": 3}}
    assert read[GROUP].files == {"ablation.json": Path("reports/paper/comparisons/ablation.json")}


def test_a_further_seed_is_a_further_run_of_the_same_group(project):
    studies = {"paper": {"question": "How far?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1, 2]}}
    params = write_params(project, studies=studies, publish={"paper": ["baseline-full-0"], "beyond": []})
    for seed in (0, 1, 2):
        write_run(project, f"baseline-full-{seed}")
    read = read_project(params)
    assert len(read.runs) == 3
    assert groups(read).keys() == {"paper/baseline"}


def test_each_graph_has_a_report_and_the_papers_has_the_classifier(project):
    for name, graph in ((RUN, "paper"), ("beta_2-fold1-0", "beyond")):
        write_run(project, name, graph=graph)
        for path in (figures(graph) / "seeds.png", tables(graph) / "seeds.csv"):
            (project / path).parent.mkdir(exist_ok=True, parents=True)
            (project / path).write_bytes(name.encode())
    write_json(project / CLASSIFIER_METRICS, {"accuracy": 0.9925})
    read = groups(read_project(load_params()))
    paper, beyond = read["report/paper"], read["report/beyond"]
    assert paper.metrics == {"classifier/accuracy": 0.9925}
    assert paper.params["classifier.epochs"] == str(load_params().classifier.epochs)
    assert set(paper.files) == {"seeds.png", "seeds.csv", "classifier.json"}
    assert set(beyond.files) == {"seeds.png", "seeds.csv"}
    assert beyond.metrics == {}
    assert {each.tags["commit"] for each in (paper, beyond)} == {"0" * 40}


def test_recorded_benchmarks_become_runs_of_a_group_each(project):
    write_json(project / BENCHMARKS / "a-cpu.json", measured.benchmark(seeds=2))
    write_json(project / BENCHMARKS / "a-gpu.json", measured.benchmark(seeds=1, machine=measured.GPU))
    read = read_project(load_params())
    found = {record.name: record for record in read.benchmarks}
    assert found.keys() == {"a-cpu-seed-0", "a-cpu-seed-1", "a-gpu-seed-0"}
    record = found["a-cpu-seed-1"]
    tags = {"device": "cpu", "precision": "float32", "machine": "Some CPU @ 2GHz, 2 cores", "study": "benchmark"}
    assert tags.items() <= record.tags.items()
    seconds = [(point.epoch, point.value) for point in record.points if point.name == "seconds/train"]
    assert seconds == [(1, 11), (2, 11)]
    assert [point.value for point in record.points if point.name == "train/val_loss"] == [191, 181]
    assert record.metrics["speed/matrix_gflops"] == 100
    assert found["a-gpu-seed-0"].tags["machine"] == "Some GPU"
    assert {found[f"a-cpu-seed-{seed}"].parent.name for seed in (0, 1)} == {"benchmark/a-cpu"}
    assert groups(read)["benchmark/a-cpu"].metrics["epoch_seconds/median"] == 10.5


@pytest.mark.parametrize(
    ("run", "studies"),
    [
        ("baseline-fold0-0", ("ablation", "recipe_folds", "beta")),  # what they are compared with
        ("dropout-fold0-0", ("ablation",)),
        ("beta_2-fold0-0", ("beta",)),
        ("baseline-full-0", ("paper", "seeds", "recipe", "cures")),
        ("improved-full-0", ("recipe", "cures")),
    ],
)
def test_a_run_is_read_by_its_study_and_by_those_beside_it_that_compare_it(small_params, run, studies):
    assert readers(small_params, find_run(small_params, run)) == studies


@pytest.mark.parametrize("damage", ["{", "{}", "[]"])
def test_a_damaged_file_is_one_sentence(project, damage):
    write_run(project, RUN)
    RunFiles("paper", RUN).timings.write_text(damage)
    with pytest.raises(UserError, match=rf"{RUN}/timings.json is damaged"):
        read_project(load_params())


def test_times_are_the_files(project):
    write_run(project, RUN)
    read = record_of(RUN)
    assert read.started == round(timings(RUN)["started_at"] * 1000)
    assert read.finished == round(timings(RUN)["finished_at"] * 1000)
