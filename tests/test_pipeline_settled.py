"""What counts as untouched, and that `make repro` then asks neither DVC nor MLflow."""

import os
import shutil
from types import SimpleNamespace

import pytest

from digit_vae.params import load_params, runs
from pipeline import repro, settled

FILES = (
    *("params.yaml", "dvc.yaml", "extended/dvc.yaml", "dvc.lock", "pipeline/train.py", "src/digit_vae/model.py"),
    *("data/raw/images", "models/baseline-0/history.json", "reports/metrics/runs/baseline-0.json"),
    *("extended/models/more-0/metrics.json", ".dvc/cache/files/md5/ab/cd", "mlflow.db", "mlartifacts/a/artifacts/b"),
)


@pytest.fixture
def made(project):
    """A project in which all is made, and MLflow's store."""
    for name in FILES:
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        if name != "params.yaml":
            (project / name).write_text(name)
    return project


def touch(path):
    """Another time of change, and nothing else."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))


def remove(path):
    path.unlink()


def rewrite(path):
    """The same bytes at the same time, in another file."""
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").replace(path)


@pytest.mark.parametrize("change", [touch, remove, rewrite])
@pytest.mark.parametrize("name", [name for name in FILES if not name.startswith((".dvc", "ml"))])
def test_a_file_that_is_touched_gone_or_replaced_shows(made, change, name):
    before = settled.files()
    assert settled.files() == before
    change(made / name)
    assert settled.files() != before


def test_new_files_and_lost_entries_of_the_cache_show_and_byte_code_does_not(made):
    before = settled.files()
    (made / "pipeline/__pycache__").mkdir()
    (made / "pipeline/__pycache__/train.pyc").write_text("")
    assert settled.files() == before
    (made / ".dvc/cache/files/md5/ab/cd").unlink()
    lost = settled.files()
    assert lost != before
    (made / "models/baseline-0/samples.npz").write_text("")
    assert settled.files() != lost


def test_what_another_process_is_writing_or_has_just_deleted_is_no_file(made):
    before = settled.files()
    (made / "models/baseline-0/.abc123.tmp.history.json").write_text("{")
    (made / ".dvc/cache/files/md5/zz").symlink_to("gone")  # listed, and not there when it is looked at
    assert settled.files() == before


def test_the_store_is_known_while_it_is_this_folders_own(made, monkeypatch):
    before = settled.store()
    (made / "mlartifacts/a/artifacts/b").unlink()
    assert settled.store() != before
    touch(made / "mlflow.db")
    assert settled.store() not in (before, None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert settled.store() is None
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    (made / "mlflow.db").unlink()
    assert settled.store() is None


@pytest.fixture
def call(monkeypatch, run_stage, capsys):
    """Calls the driver; returns what it asked (DVC, of which graphs; MLflow) and printed. `meanwhile`: as DVC works."""

    def driver(*arguments, meanwhile=lambda: None):
        asked = []

        def reproduce(graphs, *_, **__):
            asked.append(tuple(graphs))
            meanwhile()

        monkeypatch.setattr(repro, "reproduce", reproduce)
        monkeypatch.setattr(
            repro.subprocess, "run", lambda *_, **__: asked.append("MLflow") or SimpleNamespace(returncode=0)
        )
        assert run_stage(repro.main, *arguments) == 0
        return asked, capsys.readouterr().out

    return driver


def test_a_second_call_asks_nobody(call, made):
    assert call()[0] == [("dvc.yaml",), "MLflow"]
    count = len(runs(load_params(), extended=False))
    assert call() == ([], f"{count} of {count} runs are up to date\n")
    touch(made / "mlflow.db")
    assert call()[0] == ["MLflow"]
    assert call()[0] == []
    touch(made / "models/baseline-0/history.json")
    assert call()[0] == [("dvc.yaml",), "MLflow"]
    assert call()[0] == []
    for damage in ("{", '{"graphs": null, "files": "", "store": null}', '{"graphs": [[]], "files": "", "store": null}'):
        (made / settled.STAMP).write_text(damage)
        assert call()[0] == [("dvc.yaml",), "MLflow"]


@pytest.mark.usefixtures("made")
def test_a_call_for_some_runs_settles_nothing(call):
    assert call("--runs", "baseline-0")[0] == call("--runs", "baseline-0")[0] == [("dvc.yaml",), "MLflow"]
    assert call()[0] == [("dvc.yaml",), "MLflow"]


def test_an_edit_while_it_worked_is_looked_at_by_the_next_call(call, made):
    assert call(meanwhile=lambda: touch(made / "params.yaml"))[0] == [("dvc.yaml",), "MLflow"]
    assert call(meanwhile=lambda: touch(made / "models/baseline-0/history.json"))[0] == [("dvc.yaml",), "MLflow"]
    assert call()[0] == []


def test_the_extended_graph_is_settled_by_its_own_call_alone(call, made):
    text = (made / "params.yaml").read_text()
    more = "  more:\n    splits: [full]\n    extended: true\n"
    (made / "params.yaml").write_text(text.replace("variants:\n", f"variants:\n{more}"))
    assert call()[0] == [("dvc.yaml",), "MLflow"]
    assert call("--extended")[0] == [("extended/dvc.yaml", "dvc.yaml"), "MLflow"]
    assert call("--extended")[0] == call()[0] == []
