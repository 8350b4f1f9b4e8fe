"""Nothing is lost: whatever is killed, and whenever, the next call ends in the bytes of one that was left alone."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml
from mlflow import MlflowClient
from synthetic import write_processed

from pipeline import smoke

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")
ROOT = Path(__file__).parent.parent
RUN = "dropout-0"
EPOCHS = 3
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
SMALL = {
    "preprocess": {"train_images": 400, "test_images": 100, "folds": 2},
    "train": {"epochs": EPOCHS},
    "classifier": smoke.SMALL["classifier"],
    "evaluate": smoke.SMALL["evaluate"],
}
DRIVER = ("digit_vae.driver.scheduler", "--jobs", "2")


def set_epochs(folder):
    path = folder / "params.yaml"
    path.write_text(path.read_text().replace("epochs: 10", f"epochs: {EPOCHS}"))


def results(folder):
    """What has to repeat, by path; what was killed half-way is under a name that nothing reads."""
    paths = (folder / "models").glob("*/[!t.]*")
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
    write_processed(folder, digits)
    shutil.copy(ROOT / "params.yaml", folder)
    set_epochs(folder)
    assert trainer(folder) == 0
    return results(folder)


@pytest.mark.parametrize(
    ("moment", "left"), [*QUICK.items(), *(pytest.param(*each, marks=pytest.mark.slow) for each in SLOW.items())]
)
def test_a_killed_training_is_continued_to_the_same_bytes(trainer, undisturbed, processed, moment, left):
    set_epochs(processed)
    assert trainer(processed, moment) == -signal.SIGKILL
    assert results(processed).items() <= undisturbed.items()  # each file whole, or not there
    assert trainer(processed) == 0
    assert (processed / "said").read_text().count("  loss ") == left
    assert results(processed) == undisturbed


def test_a_training_that_is_killed_after_each_epoch_ends_all_the_same(trainer, undisturbed, processed):
    set_epochs(processed)
    for _ in range(EPOCHS):
        assert trainer(processed, "between two epochs") == -signal.SIGKILL
    assert trainer(processed, "between two epochs") == 0  # no epoch is left
    assert results(processed) == undisturbed


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A small graph that nobody disturbed; returns its folder."""
    folder = tmp_path_factory.mktemp("reproduced")
    copy(folder)
    smoke.reproduce(folder, DRIVER)
    return folder


def copy(folder):
    smoke.copy_project(folder, SMALL | {"plot": {"second_run": "baseline-full"}})
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["variants"] = {"baseline": {"splits": ["full", "folds"]}}
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def kill_at(folder, module, text):
    """Starts `python -m module...`, kills it at the first line with `text`, and waits for all its children to end.

    But for two agents of Ray's, which do no work of ours and look only once a minute whether they are still wanted.
    """
    with smoke.start(folder, module, stdout=subprocess.PIPE, text=True) as process:
        assert any(text in line for line in process.stdout)
        children = psutil.Process(process.pid).children(recursive=True)
        working = [child for child in children if not child.name().endswith("Agent")]
        process.kill()
    assert working
    _, alive = psutil.wait_procs(working, timeout=60)
    assert alive == []


def output(folder, module):
    process = smoke.start(folder, module, stdout=subprocess.PIPE, text=True)
    out, _ = process.communicate()
    assert process.returncode == 0
    return out


def attempts(folder):
    """Of each run in MLflow its name, status and number of epochs, sorted."""
    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("digit-vae").experiment_id])
    runs = [run for run in found if "run" in run.data.tags]
    return sorted(
        (run.info.run_name, run.info.status, len(client.get_metric_history(run.info.run_id, "loss"))) for run in runs
    )


@pytest.mark.slow
@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
def test_a_killed_dvc_leaves_no_trainer_and_loses_no_epoch(reproduced, tmp_path, monkeypatch, shell):
    monkeypatch.setenv("SHELL", shell)
    copy(tmp_path)
    output(tmp_path, ("pipeline.plan", "--quiet"))
    kill_at(tmp_path, ("dvc", "repro", "train@baseline-full"), " epoch 2/")
    out = output(tmp_path, ("dvc", "repro"))
    assert "baseline-full: goes on after epoch 2" in out
    assert smoke.hashes(tmp_path) == smoke.hashes(reproduced)
    output(tmp_path, ("digit_vae.tracking.track",))
    assert attempts(tmp_path) == [(run, "FINISHED", EPOCHS) for run in ("baseline-0", "baseline-1", "baseline-full")]


@pytest.mark.slow
def test_a_killed_driver_leaves_no_worker_and_loses_no_epoch(reproduced, tmp_path):
    copy(tmp_path)
    kill_at(tmp_path, DRIVER, " epoch 2/")
    out = output(tmp_path, DRIVER)
    assert ": goes on after epoch " in out
    assert smoke.hashes(tmp_path) == smoke.hashes(reproduced)
    logged = attempts(tmp_path)
    assert [each for each in logged if each[1] == "FINISHED"] == attempts(reproduced)
    assert {status for _, status, _ in logged} <= {"FINISHED", "KILLED"}


def kill_worker(driver, run):
    """Kills the process that trains the run, and says whether there was one."""
    workers = psutil.Process(driver.pid).children(recursive=True)
    trainers = [worker for worker in workers if f"ray::train@{run}" in " ".join(worker.cmdline())]
    for trainer in trainers:
        trainer.kill()
    return bool(trainers)


@pytest.mark.slow
def test_a_killed_worker_is_followed_by_one_that_goes_on(reproduced, tmp_path):
    copy(tmp_path)
    with smoke.start(tmp_path, DRIVER, stdout=subprocess.PIPE, text=True) as driver:
        reported = (line.split()[2] for line in driver.stdout if " epoch " in line)
        killed = next(run for run in reported if kill_worker(driver, run))
        rest = driver.stdout.read()
    assert driver.returncode == 0
    assert f"{killed}: goes on after epoch " in rest
    assert smoke.hashes(tmp_path) == smoke.hashes(reproduced)
    assert attempts(tmp_path) == attempts(reproduced)
