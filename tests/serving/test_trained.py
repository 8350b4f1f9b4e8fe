"""Weights are believed only where they are those of the run's history."""

import shutil
import subprocess

import pytest
from synthetic import write_history

from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json, write_bytes, write_json
from digit_vae.base.paths import RunFiles
from digit_vae.config.loading import load_params
from digit_vae.serving.trained import find_trained, with_committed_weights

PARTS = ("encoder", "decoder")


@pytest.fixture
def files(project, make_params):
    """A run of the paper's graph that was trained here, with bytes for weights."""
    return written(project, RunFiles("paper", "baseline-full-0"), make_params())


def written(root, files, params):
    for part in PARTS:
        write_bytes(root / getattr(files, part), part.encode())
    write_history(root, files.run, params, files.graph)
    return files


def commit(files):
    for part in PARTS:
        files.published.mkdir(parents=True, exist_ok=True)
        shutil.copy(getattr(files, part), files.published)


def test_a_run_that_was_trained_here_is_found(files, make_params):
    run = find_trained("baseline-full-0")
    assert (run.params, run.encoder, run.decoder) == (make_params(), files.encoder, files.decoder)


def test_in_a_fresh_clone_the_committed_weights_are_used(files):
    commit(files)
    shutil.rmtree("models")
    run = find_trained("baseline-full-0")
    assert (run.encoder.parent, run.decoder.parent) == (files.published, files.published)
    assert with_committed_weights(load_params()) == ["baseline-full-0"]


def test_committed_weights_count_where_publish_lists_them(files, project, make_params):
    commit(files)
    for graph, name in (("paper", "baseline-full-1"), ("beyond", "gone-full-7"), ("beyond", "improved-full-0")):
        commit(written(project, RunFiles(graph, name), make_params()))
    assert with_committed_weights(load_params()) == ["baseline-full-0", "improved-full-0"]


def test_a_run_that_params_yaml_has_no_more_is_found_with_a_word(files, project, make_params, capsys):
    written(project, RunFiles("beyond", "gone-full-7"), make_params(seed=7))
    assert find_trained("gone-full-7").params.seed == 7
    said = capsys.readouterr().err
    assert "gone-full-7: params.yaml no longer declares this run" in said
    assert said.count("\n") == 1
    find_trained(files.run)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["no weights", "other weights", "no JSON"])
def test_of_an_undeclared_run_no_stage_is_named(project, make_params, damage):
    gone = written(project, RunFiles("beyond", "gone-full-7"), make_params())
    if damage == "no weights":
        shutil.rmtree(gone.models)
    else:
        (gone.encoder if damage == "other weights" else gone.history).write_bytes(b"other")
    with pytest.raises(UserError, match="gone-full-7") as refused:
        find_trained("gone-full-7")
    assert "dvc repro" not in str(refused.value)
    assert "params.yaml" in str(refused.value)


def test_without_weights_it_says_what_makes_them_and_which_there_are(files, project, make_params):
    commit(files)
    others = written(project, RunFiles("beyond", "improved-full-0"), make_params())
    shutil.rmtree(others.models)
    with pytest.raises(UserError, match=r"beyond/dvc.yaml:train_recipe@improved-full-0.*baseline-full-0"):
        find_trained("improved-full-0")
    with pytest.raises(UserError, match=r"`dvc repro train_paper@baseline-full-1`"):
        find_trained("baseline-full-1")


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fresh_clone", [True, False])
def test_weights_of_another_run_are_refused(files, part, fresh_clone):
    commit(files)
    if fresh_clone:
        shutil.rmtree("models")
    (files.published if fresh_clone else files.models).joinpath(f"{part}.weights.h5").write_bytes(b"other")
    with pytest.raises(UserError, match=rf"{part}.weights.h5 is damaged .*SHA-256"):
        find_trained("baseline-full-0")


def test_damaged_weights_that_git_has_are_brought_back_by_git(files):
    commit(files)
    shutil.rmtree("models")
    for command in (["init", "-q"], ["add", "reports"]):
        subprocess.run(["git", *command], check=True)
    weights = files.published / "decoder.weights.h5"
    weights.write_bytes(b"other")
    with pytest.raises(UserError, match=rf"{weights} is damaged .*`git checkout HEAD -- {weights}`"):
        find_trained("baseline-full-0")


def test_a_history_that_says_nothing_of_these_files_is_refused(files):
    content = read_json(files.history, made_by="train") | {"weights_sha256": "a" * 64}
    write_json(files.history, content)
    with pytest.raises(UserError, match=r"history\.json is damaged"):
        find_trained("baseline-full-0")


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize("name", ["nothing-full-0", "../paper/runs/baseline-full-0", "."])
def test_an_unknown_name_is_refused_with_what_a_name_is_like(name):
    with pytest.raises(UserError, match=r"no run .* such as baseline-full-0"):
        find_trained(name)
