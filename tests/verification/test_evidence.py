"""What there is of a run, and what of it is refused."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from synthetic import write_evaluation, write_run

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_json, write_text
from digit_vae.base.paths import SMOKE
from digit_vae.config.runs import find_run
from digit_vae.verification.evidence import md5, published, read_lock, read_locks, read_record, trained

RUN = "dropout-fold1-0"
MODELS, REPORTS = f"models/{RUN}", f"reports/paper/runs/{RUN}"
TRAINED = [f"{MODELS}/encoder.weights.h5", f"{MODELS}/decoder.weights.h5", f"{REPORTS}/history.json"]
EVALUATED = [f"{MODELS}/samples.npz", f"{REPORTS}/digits.npz", f"{REPORTS}/metrics.json"]


@pytest.fixture
def run(project, small_params):
    """One trained and evaluated run in the working folder."""
    write_run(project, RUN)
    write_evaluation(project, RUN)
    Path(f"{REPORTS}/digits.npz").write_bytes(b"digits")
    return find_run(small_params, RUN)


def locked(run):
    hashes = [{path: md5(Path(path)) for path in paths} for paths in (TRAINED, EVALUATED)]
    return dict(zip(run.stages, hashes, strict=True))


def test_what_is_published_is_what_the_lock_and_the_committed_files_say(run):
    evidence = published(run, locked(run))
    assert evidence.md5 == {Path(path).name: md5(Path(path)) for path in TRAINED + EVALUATED}
    assert (len(evidence.epochs), evidence.metrics["test"]["elbo"]) == (3, -155.0)
    assert evidence.classifier_sha256 == "c" * 64


def test_local_weights_serve_where_they_are_those_of_the_lock(run):
    locks = locked(run)
    assert published(run, locks).weights == {Path(path).name: Path(path) for path in TRAINED[:2]}
    Path(TRAINED[0]).write_bytes(b"others")
    assert published(run, locks).weights == {"decoder.weights.h5": Path(TRAINED[1])}


def test_committed_weights_come_before_local_ones(run):
    committed = Path(f"reports/paper/weights/{RUN}/encoder.weights.h5")
    committed.parent.mkdir(parents=True)
    committed.write_bytes(b"weights")
    assert published(run, locked(run)).weights == {"encoder.weights.h5": committed}


def test_nothing_vouches_for_a_run_that_is_in_no_lock(run):
    evidence = published(run, {})
    assert (evidence.md5, evidence.weights) == ({}, {})


def test_a_run_that_is_older_than_the_copy_proves_nothing(run, project):
    with pytest.raises(UserError, match=f"{RUN} was not trained anew: its training began before"):
        trained(project, run)
    write_run(project, RUN, started_at=4_000_000_000.0)
    assert set(trained(project, run).md5) == {Path(path).name for path in TRAINED + EVALUATED}
    Path(TRAINED[1]).unlink()
    with pytest.raises(UserError, match=f"{RUN} was not trained anew: {TRAINED[1]} is missing"):
        trained(project, run)


def test_stages_that_params_no_longer_declare_are_left_out_of_the_locks(run, small_params):
    stages = ["preprocess", "compare", run.stages[0], "train_ablation@gone-fold0-0", "publish@baseline-full-1"]
    content = {name: {"outs": [{"path": "a", "md5": "b"}]} for name in stages}
    write_text(Path("dvc.lock"), yaml.safe_dump({"stages": content}))
    assert read_locks(small_params).keys() == set(stages[:3])
    write_text(Path("beyond/dvc.lock"), yaml.safe_dump({"stages": {"publish@improved-full-0": {}}}))
    assert read_locks(small_params).keys() == {*stages[:3], "beyond/dvc.yaml:publish@improved-full-0"}


@pytest.mark.usefixtures("project")
def test_a_stage_of_one_name_in_both_graphs_is_read_from_both_locks(small_params):
    for lock, path in (("dvc.lock", "a"), ("beyond/dvc.lock", "b")):
        content = {name: {"outs": [{"path": path, "md5": "c"}]} for name in ("preprocess", "report")}
        write_text(Path(lock), yaml.safe_dump({"stages": content}))
    assert {path for outputs in read_locks(small_params).values() for path in outputs} == {"a", "b"}


@pytest.mark.usefixtures("project")
def test_without_a_lock_of_the_data_there_is_nothing_to_hold_against(small_params):
    with pytest.raises(UserError, match=r"dvc\.lock is missing: `make repro`"):
        read_locks(small_params)
    write_text(Path("dvc.lock"), "stages: {fetch: {}}")
    with pytest.raises(UserError, match="no stage preprocess"):
        read_locks(small_params)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\xff", b"stages: [", b"stages: 3", b"{}", b"<<<<<<< HEAD\nschema: '2.0'\n=======\n"),
        *(b"stages: {a: {outs: [{path: x}]}}", b"stages: {a: {outs: 3}}", b"stages: {a: }"),
    ],
)
def test_a_damaged_lock_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "dvc.lock").write_bytes(content)
    with pytest.raises(UserError, match=r"^\S+/dvc\.lock is damaged \([^\n]+\): [^\n]*`make repro`[^\n]*$"):
        read_lock("paper", tmp_path)


@pytest.mark.integration
def test_hashes_are_those_of_dvc_itself(tmp_path):
    for name in ("folder/b.json", "folder/inner/a.npy", "one.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, encoding="utf-8")
    for arguments in (("init", "--no-scm"), ("add", "folder", "one.json")):
        subprocess.run([sys.executable, "-m", "dvc", *arguments, "--quiet"], cwd=tmp_path, check=True)
    for name in ("folder", "one.json"):
        [expected] = yaml.safe_load((tmp_path / f"{name}.dvc").read_text(encoding="utf-8"))["outs"]
        assert md5(tmp_path / name) == expected["md5"]


def test_what_a_killed_process_left_half_written_is_no_part_of_a_folder(tmp_path):
    (tmp_path / "0.npy").write_text("whole", encoding="utf-8")
    before = md5(tmp_path)
    (tmp_path / ".abc123.tmp.0.npy").write_text("wh", encoding="utf-8")
    assert md5(tmp_path) == before
    (tmp_path / "1.npy").write_text("whole", encoding="utf-8")
    assert md5(tmp_path) != before


@pytest.mark.parametrize("content", ["", "3", "{}", '{"arrays": 3, "runs": {}}', '{"arrays": {}, "runs": {"a": []}}'])
@pytest.mark.usefixtures("project")
def test_a_damaged_record_is_refused_in_one_line(content):
    with pytest.raises(UserError, match=r"smoke\.json is missing: `make verify QUICK=1 RECORD=1`"):
        read_record()
    write_text(SMOKE, content)
    with pytest.raises(UserError, match=r"^\S+ is damaged \([^\n]+\): [^\n]*`make verify QUICK=1 RECORD=1`[^\n]*$"):
        read_record()


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        *(("history", "params", []), ("history", "data", None), ("history", "epochs", 3), ("history", "epochs", "abc")),
        *(("history", "epochs", [{}, 7]), ("timings", "machine", []), ("metrics", "test", 3)),
        *(("evaluation", "machine", 3), ("evaluation", "machine", {}), ("timings", "machine", {"cpu": True})),
        ("timings", "machine", {"cpu": "A CPU", "instruction_sets": None}),
    ],
)
def test_a_file_of_another_shape_is_refused(run, file, key, value):
    path = Path(f"{REPORTS}/{file}.json")
    write_json(path, yaml.safe_load(path.read_text(encoding="utf-8")) | {key: value})
    with pytest.raises(UserError, match=rf"^{path} is damaged \({key}\b[^\n]+$"):
        published(run, locked(run))
