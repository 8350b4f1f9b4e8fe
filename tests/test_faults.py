"""Nothing is lost: whatever is killed, and whenever, the next call ends in the bytes of one that was left alone."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from small_graph import EPOCHS, REPRO, RUNS, drive, hashes, start, trainers, write_project
from synthetic import write_small_project

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
ROOT = Path(__file__).parent.parent
RUN = "dropout-fold0-0"
# Moments of killed_trainer.py, and how many epochs are left to train after each.
QUICK = {"in the first epoch": 3, "while a checkpoint is written": 2, "after the last epoch": 0}
SLOW = {
    "before the first checkpoint is in place": 3,
    "between two epochs": 2,
    "before a checkpoint is in place": 2,
    "while the weights are written": 0,
    "between the files": 0,
    "before anyone knows of its files": 0,
}
TRAINING = {"train": {"epochs": EPOCHS}}


def results(folder):
    """What has to repeat, by path; what was killed half-way is under a name that nothing reads."""
    paths = [path for pattern in ("models/*/[!.]*", "reports/*/runs/*/history.json") for path in folder.glob(pattern)]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.fixture(scope="module")
def trainer():
    """Trains in a folder, up to a moment (None: to the end), in a process of its own; returns how that ended."""
    script = [sys.executable, "tests/killed_trainer.py"]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(script, cwd=ROOT, env=environment, **pipes) as process:

        def train(folder, moment=None):
            print(json.dumps({"folder": str(folder), "run": RUN, "moment": moment}), file=process.stdin, flush=True)
            return int(process.stdout.readline())

        yield train
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(trainer, tmp_path_factory, digits):
    """The results of a training that nobody killed."""
    folder = tmp_path_factory.mktemp("undisturbed")
    write_small_project(folder, digits, **TRAINING)
    assert trainer(folder) == 0
    assert results(folder).keys() >= {f"models/{RUN}/{part}.weights.h5" for part in ("encoder", "decoder")}
    return results(folder)


@pytest.fixture
def disturbed(tmp_path, digits):
    """A folder in which trainings are killed."""
    write_small_project(tmp_path, digits, **TRAINING)
    return tmp_path


@pytest.mark.parametrize(
    ("moment", "left"), [*QUICK.items(), *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW.items())]
)
def test_a_killed_training_is_continued_to_the_same_bytes(trainer, undisturbed, disturbed, moment, left):
    assert trainer(disturbed, moment) == -signal.SIGKILL
    assert results(disturbed).items() <= undisturbed.items()  # each file whole, or not there
    assert trainer(disturbed) == 0
    assert (disturbed / "said").read_text(encoding="utf-8").count("  loss ") == left
    assert results(disturbed) == undisturbed


@pytest.mark.slow
def test_a_training_that_is_killed_after_each_epoch_ends_all_the_same(trainer, undisturbed, disturbed):
    for _ in range(EPOCHS):
        assert trainer(disturbed, "between two epochs") == -signal.SIGKILL
    assert trainer(disturbed, "between two epochs") == 0  # no epoch is left
    assert results(disturbed) == undisturbed


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, digits):
    """A small graph that nobody disturbed; returns its folder."""
    folder = tmp_path_factory.mktemp("reproduced")
    write_project(folder, digits)
    assert drive(folder, *REPRO)[0] == 0
    return folder


@pytest.fixture
def copy(tmp_path, digits):
    """The same graph, of which nothing has been run."""
    write_project(tmp_path, digits)
    return tmp_path


def kill_at(folder, module, text):
    """Starts `python -m module...`, kills it at the first line with `text`, and waits for all its children to end.

    But for two agents of Ray's, which do no work of ours and look only once a minute whether they are still wanted.
    """
    with start(folder, module) as process:
        assert any(text in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        working = [child for child in children if not child.name().endswith("Agent")]
        process.kill()
    assert working
    _, alive = psutil.wait_procs(working, timeout=60)
    assert alive == []


def output(folder, module):
    status, out, err = drive(folder, *module)
    assert status == 0, err
    return out


def attempts(folder):
    """Of each run in MLflow its name, status and number of epochs, sorted."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    runs = [run for run in found if "run" in run.data.tags]
    return sorted(
        (run.info.run_name, run.info.status, len(client.get_metric_history(run.info.run_id, "loss"))) for run in runs
    )


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_killed_dvc_leaves_no_trainer_and_loses_no_epoch(reproduced, copy, monkeypatch, shell):
    monkeypatch.setenv("SHELL", shell)
    kill_at(copy, ("dvc", "repro", "train_paper@baseline-full-0"), " epoch 2/")
    out = output(copy, ("dvc", "repro"))
    assert "baseline-full-0: goes on after epoch 2" in out
    assert hashes(copy) == hashes(reproduced)
    output(copy, ("digit_vae", "track"))
    assert attempts(copy) == [(run, "FINISHED", EPOCHS) for run in sorted(RUNS)]


@pytest.mark.slow
@pytest.mark.integration
def test_a_killed_driver_leaves_no_worker_and_loses_no_epoch(reproduced, copy):
    kill_at(copy, REPRO, " epoch 2/")
    out = output(copy, REPRO)
    assert ": goes on after epoch " in out
    assert hashes(copy) == hashes(reproduced)
    logged = attempts(copy)
    assert [each for each in logged if each[1] == "FINISHED"] == attempts(reproduced)
    assert {status for _, status, _ in logged} <= {"FINISHED", "KILLED"}


@pytest.mark.slow
@pytest.mark.integration
def test_what_a_killed_driver_had_finished_is_not_run_again(reproduced, copy):
    kill_at(copy, REPRO, " evaluated ")
    assert "\n0 of 4 runs are up to date" not in output(copy, REPRO)
    assert hashes(copy) == hashes(reproduced)


def kill_worker(driver, run):
    """Kills the process that trains the run, and says whether there was one."""
    workers = [worker for worker in trainers(driver.pid) if f"@{run}" in " ".join(worker.cmdline())]
    for worker in workers:
        worker.kill()
    return bool(workers)


@pytest.mark.slow
@pytest.mark.integration
def test_a_killed_worker_is_followed_by_one_that_goes_on(reproduced, copy):
    with start(copy, REPRO) as driver:
        reported = (line.split()[2] for line in driver.stdout if " epoch " in line and " runs " in line)
        killed = next(run for run in reported if kill_worker(driver, run))
        rest = driver.stdout.read()
    assert driver.returncode == 0
    assert f"{killed}: goes on after epoch " in rest
    assert hashes(copy) == hashes(reproduced)
    assert attempts(copy) == attempts(reproduced)
