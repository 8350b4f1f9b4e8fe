"""The driver on a small graph of its own: against plain `dvc repro`, and when things go wrong."""

import json
import os
import re
import shlex
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
import yaml
from ray.cluster_utils import Cluster
from ray.exceptions import RayTaskError, WorkerCrashedError

from digit_vae.base.errors import UserError
from digit_vae.base.files import sha256
from pipeline import repro, smoke

DRIVER = ("digit_vae.driver.scheduler", "--jobs", "2")
SMALL = {
    "preprocess": {"train_images": 400, "test_images": 100, "folds": 2},
    "train": {"epochs": 3},
    "classifier": smoke.SMALL["classifier"],
    "evaluate": smoke.SMALL["evaluate"] | {"grid": 3},
    "plot": {"second_run": "baseline-full"},
}
VARIANTS = {
    "baseline": {"splits": ["full", "folds"]},
    "regularised": {"splits": ["folds"], "kernel_l1": 1e-5, "kernel_l2": 1e-4, "dropout": 0.2, "batch_norm": True},
}
RUNS = ["baseline-full", "baseline-0", "baseline-1", "regularised-0", "regularised-1"]


def change_params(folder, change):
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    change(params)
    path.write_text(yaml.safe_dump(params, sort_keys=False))


def keep_variants(**variants):
    def change(params):
        params["variants"] = variants

    return change


def drive(folder, *module):
    process = smoke.start(folder, module, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    out, err = process.communicate()
    return process.returncode, out, err


def lines_until(process, found) -> Iterator[str]:
    for line in process.stdout:
        yield line
        if found(line):
            return
    pytest.fail("the driver ended without the awaited line")


def trainers(pid) -> list[psutil.Process]:
    children = psutil.Process(pid).children(recursive=True)
    return [child for child in children if "ray::train@" in " ".join(child.cmdline())]


def kill_a_trainer(process) -> bool:
    for trainer in trainers(process.pid):
        trainer.kill()
        return True
    return False


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A copy of the project that the driver took through the small graph, one of its trainers killed on the way."""
    folder = tmp_path_factory.mktemp("driven")
    smoke.copy_project(folder, SMALL)
    change_params(folder, keep_variants(**VARIANTS))
    process = smoke.start(folder, DRIVER, stdout=subprocess.PIPE, text=True)
    for _ in lines_until(process, lambda line: " epoch " in line and kill_a_trainer(process)):
        pass
    process.communicate()
    assert process.returncode == 0
    return folder


def test_bytes_are_those_of_plain_dvc_repro(reproduced, tmp_path):
    smoke.copy_project(tmp_path, SMALL | {"fetch": {"folder": str(reproduced / "data/raw")}})
    change_params(tmp_path, keep_variants(**VARIANTS))
    smoke.reproduce(tmp_path, ("pipeline.plan", "--quiet"))
    smoke.reproduce(tmp_path, smoke.SERIAL)
    hashes = smoke.hashes(tmp_path)
    assert {f"models/{run}/{name}" for run in RUNS for name in ("model.weights.h5", "history.json")} <= hashes.keys()
    assert hashes == smoke.hashes(reproduced)


@pytest.fixture
def three_machines() -> Iterator[Cluster]:
    """A Ray cluster of three nodes with one core each, each with processes and an object store of its own."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_a_cluster_that_loses_a_machine_gives_the_same_bytes(reproduced, three_machines, tmp_path):
    smoke.copy_project(tmp_path, SMALL | {"fetch": {"folder": str(reproduced / "data/raw")}})
    change_params(tmp_path, keep_variants(**VARIANTS))
    lost = three_machines.list_all_nodes()[-1]
    raylet = lost.all_processes["raylet"][0].process.pid
    driver = ("digit_vae.driver.scheduler", "--address", three_machines.address)
    process = smoke.start(tmp_path, driver, stdout=subprocess.PIPE, text=True)
    for _ in lines_until(process, lambda line: " epoch " in line and trainers(raylet)):
        pass
    three_machines.remove_node(lost, allow_graceful=False)
    process.communicate()
    assert process.returncode == 0
    assert smoke.hashes(tmp_path) == smoke.hashes(reproduced)


SHIPPED = """
import sys
from pathlib import Path
import ray
from digit_vae.base.files import json_bytes, sha256
from pipeline import repro

def shipped():
    folders = [Path(entry) for entry in sys.path if "py_modules_files" in entry]
    files = {path.relative_to(folder): path for folder in folders for path in folder.rglob("*.py")}
    return {str(name): sha256(path) for name, path in files.items()}

with repro.cluster(sys.argv[1], None):
    print(json_bytes(ray.get(ray.remote(shipped).remote())).decode())
"""


def test_the_machines_of_a_cluster_are_sent_the_code_of_the_driver(reproduced, three_machines):
    command = [sys.executable, "-c", SHIPPED, three_machines.address]
    paths = os.environ | {"PYTHONPATH": str(reproduced / "src")}
    done = subprocess.run(command, cwd=reproduced, env=paths, stdout=subprocess.PIPE, text=True, check=True)
    code = [path for parent in (reproduced, reproduced / "src") for path in parent.glob("[dp]*/*.py")]
    assert json.loads(done.stdout) == {f"{path.parent.name}/{path.name}": sha256(path) for path in code}


def test_machines_with_other_versions_are_named():
    here = {"python": "3.12.1", "tensorflow": "2.21.0", "numpy": "2.4.6"}
    repro.check_versions(here, {"10.0.0.1": here})
    with pytest.raises(
        UserError, match=r"expected machines with python 3\.12\.1, .*; received 10\.0\.0\.2 \(tensor"
    ) as error:
        repro.check_versions(here, {"10.0.0.1": here, "10.0.0.2": here | {"tensorflow": "2.20.0"}})
    assert "10.0.0.1" not in str(error.value)


def test_dvc_has_nothing_left_to_do(reproduced):
    status, out, _ = drive(reproduced, "dvc", "status", "dvc.yaml")
    assert status == 0
    assert "up to date" in out


MADE = ["models", "reports/README.md", "reports/figures", "reports/metrics", "reports/tables"]


@pytest.mark.parametrize("lost", [MADE, [*MADE, "dvc.lock"]])
def test_what_lies_in_the_cache_is_not_trained_again(reproduced, lost):
    before = smoke.hashes(reproduced)
    subprocess.run(["rm", "-r", *lost], cwd=reproduced, check=True)
    status, out, _ = drive(reproduced, *DRIVER)
    assert status == 0
    assert "5 of 5 runs are up to date" in out
    assert smoke.hashes(reproduced) == before


def test_chosen_runs_alone_are_made(reproduced):
    subprocess.run(["rm", "-r", *MADE, "reports/published"], cwd=reproduced, check=True)
    status, out, _ = drive(reproduced, *DRIVER, "--runs", "baseline-0", "baseline-0")
    assert status == 0
    assert "1 of 1 runs are up to date" in out
    assert {path.name for path in (reproduced / "models").iterdir()} == {"baseline-0", "classifier"}
    metrics = {path.name for path in (reproduced / "reports/metrics").rglob("*.*")}
    assert metrics == {"baseline-0.json", "classifier.json"}
    assert not (reproduced / "reports/README.md").exists()
    assert drive(reproduced, *DRIVER)[0] == 0


def test_a_failing_run_is_named_and_does_not_stop_the_others(reproduced, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    change_params(
        reproduced,
        keep_variants(
            **VARIANTS,
            on_gpu={"splits": ["full"], "device": "gpu"},
            diverging={"splits": ["full"], "learning_rate": 10.0, "beta": 1e6},
            beta_2={"splits": ["full"], "beta": 2.0},
        ),
    )
    status, out, err = drive(reproduced, *DRIVER)
    assert status == 1
    assert "5 of 8 runs are up to date" in out
    assert "error: 2 of 8 runs failed, all others are kept: " in err
    assert "on_gpu-full (train.device: expected a GPU" in err
    assert re.search(r"diverging-full \(training diverged: \w+ is (nan|inf) after epoch 1; expected a finite", err)
    assert err.count("train@diverging-full failed: ") == 1
    assert "Traceback" not in err
    assert not (reproduced / "models/diverging-full").exists()
    with sqlite3.connect(reproduced / "mlflow.db") as store:
        tried = store.execute("SELECT status FROM runs WHERE name = 'diverging-full'").fetchall()
    assert tried == [("KILLED",)]  # once, without a retry
    change_params(reproduced, lambda params: [params["variants"].pop(name) for name in ("on_gpu", "diverging")])
    status, out, _ = drive(reproduced, *DRIVER)
    assert status == 0
    assert "6 of 6 runs are up to date" in out


def test_extended_runs_are_trained_by_their_own_command_alone(reproduced):
    change_params(reproduced, keep_variants(**VARIANTS, beta_8={"splits": ["full"], "beta": 8.0, "extended": True}))
    table, models = reproduced / "reports/tables/runs.md", reproduced / "extended/models"
    status, out, _ = drive(reproduced, *DRIVER)
    assert (status, "5 of 5 runs are up to date" in out) == (0, True)
    assert "beta_8" not in table.read_text()
    status, out, _ = drive(reproduced, *DRIVER, "--extended")
    assert (status, "5 of 6 runs are up to date" in out) == (0, True)
    assert "beta_8-full" in table.read_text()
    assert "up to date" in drive(reproduced, "dvc", "status", "dvc.yaml", "extended/dvc.yaml")[1]
    assert drive(reproduced, *DRIVER, "--extended")[1] == "6 of 6 runs are up to date\n"  # MLflow was not asked
    for module in (("dvc", "repro"), DRIVER):
        subprocess.run(["rm", "-rf", models, table.parent], check=True)
        assert drive(reproduced, *module)[0] == 0
        assert "beta_8-full" in table.read_text()
        assert not models.exists()
    status, out, _ = drive(reproduced, *DRIVER, "--runs", "beta_8-full")
    assert (status, "1 of 1 runs are up to date" in out) == (0, True)
    assert (models / "beta_8-full/model.weights.h5").is_file()


@pytest.mark.parametrize(("how", "epochs"), [(signal.SIGINT, 2), (signal.SIGTERM, 4)])
def test_ctrl_c_keeps_what_is_finished(reproduced, how, epochs):
    change_params(reproduced, lambda params: params["train"].update(epochs=epochs))
    process = smoke.start(
        reproduced, ("digit_vae.driver.scheduler", "--jobs", "1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for _ in lines_until(process, lambda line: line.split()[2:3] == ["baseline-0"]):
        pass
    process.send_signal(how)
    _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("interrupted\n")
    recorded = yaml.safe_load((reproduced / "dvc.lock").read_text())["stages"]
    assert recorded["train@baseline-full"]["params"]["params.yaml"]["train"]["epochs"] == epochs
    assert not any("ray::" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))


def test_mistakes_end_it_before_anything_runs(project, run_stage, capsys):
    change_params(project, lambda params: params["train"].update(epochs=0))
    assert run_stage(repro.main) == 1
    assert "train.epochs: expected a whole number from 1" in capsys.readouterr().err
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


@pytest.mark.usefixtures("project")
def test_a_run_that_there_is_not_is_refused(run_stage, capsys):
    assert run_stage(repro.main, "--runs", "baseline-0", "baseline-9") == 1
    assert "there is no run 'baseline-9' in params.yaml; it has baseline-full, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UserError("params were changed"), "params were changed"),
        (PermissionError(13, "Permission denied", "checkpoints/a"), "checkpoints/a: Permission denied"),
        (RayTaskError("train_task", "Traceback ...", UserError("training diverged")), "training diverged"),
        (RayTaskError("train_task", "Traceback ...", MemoryError("no memory")), "MemoryError: no memory"),
        (WorkerCrashedError(), "its process or machine died, and so in 3 retries: The worker died unexpectedly"),
    ],
)
def test_the_reason_tells_a_failure_from_a_death(error, expected):
    assert repro.reason(error).startswith(expected)
    assert "\n" not in repro.reason(error)


@pytest.mark.usefixtures("project")
def test_jobs_below_one_are_refused(run_stage, capsys):
    assert run_stage(repro.main, "--jobs", "0") == 1
    assert "--jobs: expected at least 1, received 0" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_a_cluster_that_does_not_answer_is_an_error_before_anything_runs(run_stage, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    assert run_stage(repro.main, "--address", address) == 1
    assert f"--address: expected a Ray cluster that answers, received '{address}'" in capsys.readouterr().err


@pytest.mark.usefixtures("project")
def test_two_drivers_in_one_folder_are_refused():
    with repro.alone(), pytest.raises(UserError, match="another `make repro` works in this folder"), repro.alone():
        pass
    with repro.alone():
        pass


def test_a_folder_that_cannot_be_written_is_named(project, run_stage, capsys):
    (project / ".dvc").write_text("in the place of the folder")
    assert run_stage(repro.main, "--runs", "baseline-0") == 1
    assert capsys.readouterr().err == "error: .dvc/tmp/repro.lock could not be written: Not a directory\n"


def test_a_machine_with_other_versions_is_given_no_task_whenever_it_joined(monkeypatch):
    task = repro.on_an_equal_machine(lambda run, **_: run)
    monkeypatch.setattr(repro.ray.util, "get_node_ip_address", lambda: "10.0.0.2")
    assert task("baseline-0", images=None) == "baseline-0"
    monkeypatch.setattr(repro, "versions", lambda: dict.fromkeys(("python", *repro.VERSIONED), "0.1"))
    with pytest.raises(UserError, match=r"expected machines with python 3.*; received 10\.0\.0\.2 \(python 0\.1, "):
        task("baseline-0", images=None)


OUTLIVES = "from pipeline import repro; print(repro.is_to_outlive_its_parent())"


@pytest.mark.parametrize(
    ("around", "inside", "outlives"),
    [
        (signal.SIG_DFL, [], False),
        (signal.SIG_DFL, ["nohup"], True),
        (signal.SIG_IGN, [], False),
        (signal.SIG_DFL, ["setsid"], True),
    ],
)
def test_a_driver_dies_with_its_parent_unless_it_was_asked_not_to(around, inside, outlives):
    """around: what the parent, a shell, does at a hangup, whatever these tests themselves were told."""
    command = shlex.join([*inside, sys.executable, "-c", OUTLIVES])
    done = subprocess.run(
        ["bash", "-c", f"{command}; true"],
        preexec_fn=lambda: signal.signal(signal.SIGHUP, around),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{outlives}\n"


@pytest.mark.usefixtures("project")
@pytest.mark.parametrize("outlives", [True, False])
def test_only_a_driver_that_is_to_outlive_its_parent_does_so(run_stage, monkeypatch, outlives):
    tied = []
    monkeypatch.setattr(repro, "is_to_outlive_its_parent", lambda: outlives)
    monkeypatch.setattr(repro, "die_with_parent", lambda: tied.append(True))
    assert run_stage(repro.main, "--jobs", "0") == 1
    assert tied == ([] if outlives else [True])


def test_progress_counts_epochs_and_evaluations_of_all_runs(capsys):
    """One run needs its evaluation alone; ten epochs of a minute, and evaluations of half a minute, two at a time."""
    progress = repro.Progress(10, lambda: 2, {"a-full": 0, "b-full": 0, "c-full": 10})
    losses = {"loss": 1.0, "reconstruction_loss": 1.0, "kl_loss": 0.0, "val_loss": 1.0}
    timing = {"train_seconds": 50.0, "validation_seconds": 10.0}
    progress.trained({"run": "a-full", "history": {"epoch": 10} | losses, "timing": timing})
    progress.evaluated("c-full", 30.0)
    progress.evaluated("a-full", 30.0)
    trained, first, second = capsys.readouterr().out.splitlines()
    assert trained.startswith("0/3 runs  a-full")
    assert trained.endswith("left 5:00")
    assert first == "1/3 runs  c-full           evaluated  30.0 s  left 5:30"
    assert second == "2/3 runs  a-full           evaluated  30.0 s  left 10:30"  # one run is left, on one core
