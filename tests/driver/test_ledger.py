"""What of the ledger needs no graph but a small one of its own; the rest is in test_pipeline_repro.py."""

import logging
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest
import yaml
from dvc.dependency import param
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.repo import Repo

from digit_vae.base.errors import UserError
from digit_vae.driver.ledger import Ledger, params_parsed_once, uninterrupted

RUN = SimpleNamespace(name="a", extended=False)
MORE = SimpleNamespace(name="b", extended=True)
STAGES = """
stages:
  train:
    foreach: [a]
    do:
      cmd: touch started && while ! test -e go; do sleep 0.1; done && touch out
      outs: [out]
"""


@pytest.fixture
def graph(project):
    """A project whose one run is trained as soon as there is a file called `go`."""
    Repo.init(project, no_scm=True)
    (project / "dvc.yaml").write_text(STAGES)
    return project


def test_a_run_that_dvc_is_training_is_left_alone_and_the_reason_said(graph):
    with subprocess.Popen([sys.executable, "-m", "dvc", "repro", "--quiet"], cwd=graph) as training:
        deadline = time.monotonic() + 60
        while not (graph / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        try:
            with (
                Repo(_wait_for_lock=True) as repo,
                pytest.raises(DvcException, match="is busy, it is being blocked by"),
            ):
                Ledger(repo).next_job(RUN)
        finally:
            (graph / "go").touch()
    assert training.returncode == 0
    assert (graph / "out").is_file()


def test_dvc_lock_appears_whole_or_not_at_all(graph, full_disk, caplog):
    caplog.set_level(logging.WARNING, "dvc")  # pytest keeps what is logged in a file, too
    with Repo() as repo:
        ledger = Ledger(repo)
        job = ledger.next_job(RUN)
        ledger.record(job, {graph / "out": b"weights"})
        with full_disk(100), pytest.raises(UserError, match=r"dvc\.lock could not be written: File too large"):
            ledger.close()
        assert not (graph / "dvc.lock").exists()
        ledger.close()
        written = (graph / "dvc.lock").read_bytes()
        with full_disk(100), pytest.raises(UserError, match=r"dvc\.lock could not be written"):
            ledger.close()
        assert (graph / "dvc.lock").read_bytes() == written
    with Repo() as repo:
        assert repo.status() == {}


@pytest.mark.usefixtures("graph")
def test_a_run_that_the_driver_trains_is_kept_from_dvc_and_the_reason_said(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["driver"])
    with Repo() as repo:
        ledger = Ledger(repo)
        job = ledger.next_job(RUN)
        for let_go in (lambda: ledger.release(job), ledger.close):
            ledger.hold(job)
            assert ledger.next_job(RUN)  # its own process goes on
            with monkeypatch.context() as other:
                other.setattr(sys, "argv", ["dvc", "repro"])  # by which DVC tells processes apart, beside their number
                with pytest.raises(DvcException, match=r"is busy, it is being blocked by:\n  \(PID \d+\): driver"):
                    Ledger(repo).next_job(RUN)
                let_go()
                assert Ledger(repo).next_job(RUN)


def test_each_graph_has_a_lock_file_of_its_own(graph):
    (graph / "extended").mkdir()
    stages = (
        STAGES.replace("[a]", "[b]")
        .replace("touch out", "touch more")
        .replace("[out]", "[more]")
        .replace("    do:\n", "    do:\n      wdir: ..\n")
    )
    (graph / "extended/dvc.yaml").write_text(stages)
    with Repo() as repo:
        ledger = Ledger(repo, ["dvc.yaml", "extended/dvc.yaml"])
        assert not ledger.is_settled()
        for run, name in ((RUN, "out"), (MORE, "more")):
            ledger.record(ledger.next_job(run), {graph / name: b"weights"})
        ledger.close()
        assert Ledger(repo, ["dvc.yaml", "extended/dvc.yaml"]).is_settled()
    locks = {path: yaml.safe_load((graph / path).read_text())["stages"] for path in ("dvc.lock", "extended/dvc.lock")}
    assert {path: [*stages] for path, stages in locks.items()} == {
        "dvc.lock": ["train@a"],
        "extended/dvc.lock": ["train@b"],
    }


def test_a_place_that_dvc_cannot_write_is_named(graph):
    with Repo() as repo:
        ledger = Ledger(repo)
        job = ledger.next_job(RUN)
        (graph / ".dvc/cache").write_text("in the way")
        with pytest.raises(UserError, match=r"/\.dvc/cache\S* could not be read or written: "):
            ledger.record(job, {graph / "out": b"weights"})
        lock = graph / ".dvc/tmp/lock"
        lock.unlink()
        lock.mkdir()
        for ask in (ledger.is_settled, lambda: ledger.next_job(RUN)):
            with pytest.raises(UserError, match=r"/\.dvc/tmp/lock could not be read or written: Is a directory"):
                ask()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_waits_for_the_end_of_an_uninterrupted_block(how):
    done = []

    def work():
        with uninterrupted():
            signal.raise_signal(how)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]


def test_params_parsed_once_are_what_dvc_reads(project):
    keys = ["train", "train.latent_dim", "variants.l1_l2", "preprocess.train_images", "variants.absent", "train.seed.x"]

    def selected():
        return param.read_param_file(LocalFileSystem(), str(project / "params.yaml"), keys, flatten=True)

    before = selected()
    assert set(before) == set(keys[:4])
    with params_parsed_once():
        assert selected() == selected() == before
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("latent_dim: 2", "latent_dim: 16"))
        edited = selected()
    assert edited == selected()
    assert edited["train.latent_dim"] == edited["train"]["latent_dim"] == 16
