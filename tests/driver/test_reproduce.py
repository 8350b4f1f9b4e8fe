"""The driver on a small graph: against plain `dvc repro`, in clones and on clusters, and when things go wrong."""

import json
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
import yaml
from small_graph import (
    BEYOND,
    REPRO,
    RUNS,
    STUDIES,
    drive,
    hashes,
    lines_until,
    start,
    trained_at,
    trainers,
    write_params,
    write_project,
)

from digit_vae.base.errors import UserError
from digit_vae.base.files import sha256
from digit_vae.driver.reproduce import alone, prepare_environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MADE = ("models", "reports/paper", "reports/classifier.json")


def kill_a_trainer(process) -> bool:
    for trainer in trainers(process.pid):
        trainer.kill()
        return True
    return False


def with_variants(**options) -> dict:
    """Sections with further variants, each trained once on all images, as the baseline is."""
    variants = {"baseline": {}, "dropout": {"dropout": 0.2}, "beta_2": {"beta": 2.0}} | options
    paper = STUDIES["paper"] | {"variants": ["baseline", *options], "seeds": [0]}
    named = {"second_run": "baseline-full-0"}
    return {"variants": variants, "studies": STUDIES | {"paper": paper}, "report": named}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, digits):
    """A copy of the project that the driver took through the small graph, one of its trainers killed on the way."""
    folder = tmp_path_factory.mktemp("driven")
    write_project(folder, digits)
    with start(folder, REPRO) as process:
        for _ in lines_until(process, lambda line: " epoch " in line and kill_a_trainer(process)):
            pass
        process.communicate()
    assert process.returncode == 0
    return folder


@pytest.fixture
def copied(reproduced, tmp_path):
    """A copy of it, which a test may change."""
    folder = tmp_path / "copied"
    subprocess.run(["cp", "-a", str(reproduced), str(folder)], check=True)
    for store in folder.glob("mlflow.db*"):  # knows where its artifacts were: in a moved folder it is to be deleted
        store.unlink()
    config = folder / ".dvc/config"
    config.write_text(config.read_text().replace(str(reproduced), str(folder)))
    return folder


@pytest.fixture
def clone(copied):
    """What a clone would have of it: no models, no data, no cache."""
    subprocess.run(["rm", "-r", "models", "data", ".dvc/cache", ".dvc/tmp", "mlflow.db"], cwd=copied, check=False)
    return copied


def test_bytes_are_those_of_plain_dvc_repro_which_has_nothing_left_to_do(reproduced, digits, tmp_path):
    write_project(tmp_path, digits)
    assert drive(tmp_path, "dvc", "repro", "--quiet")[0] == 0
    made = hashes(tmp_path)
    assert {f"models/{run}/{part}.weights.h5" for run in RUNS for part in ("encoder", "decoder")} <= made.keys()
    assert made == hashes(reproduced)
    assert "up to date" in drive(reproduced, "dvc", "status", "dvc.yaml")[1]


@pytest.mark.parametrize("lost", [MADE, [*MADE, "dvc.lock"]])
def test_what_lies_in_the_cache_is_not_trained_again(copied, lost):
    before = hashes(copied)
    subprocess.run(["rm", "-r", *lost], cwd=copied, check=True)
    status, out, _ = drive(copied, *REPRO)
    assert status == 0
    assert "4 of 4 runs are up to date" in out
    assert hashes(copied) == before


def test_a_clone_without_models_trains_nothing_and_says_so(clone):
    before = hashes(clone)
    status, out, _ = drive(clone, *REPRO)
    assert status == 0
    assert "4 of 4 runs are up to date" in out
    assert "models of 4 runs are not here" in out
    assert not (clone / "models").exists()
    assert hashes(clone) == before


def test_a_further_seed_in_a_clone_trains_that_run_alone_and_anew_all_others(clone, reproduced):
    studies = STUDIES | {"paper": STUDIES["paper"] | {"seeds": [0, 1, 2]}}
    write_params(clone, studies=studies)
    status, out, _ = drive(clone, *REPRO)
    assert status == 0
    assert "4 of 5 runs are up to date" in out
    assert {path.name for path in (clone / "models").iterdir()} == {"baseline-full-2", "classifier"}
    write_params(clone)
    status, out, _ = drive(clone, *REPRO, "--anew")
    assert status == 0
    assert "0 of 4 runs are up to date" in out
    assert hashes(reproduced).items() <= hashes(clone).items()  # nothing is deleted unasked


def test_chosen_runs_alone_are_made(copied):
    subprocess.run(["rm", "-r", *MADE], cwd=copied, check=True)
    status, out, _ = drive(copied, *REPRO, "--runs", "baseline-fold0-0", "baseline-fold0-0")
    assert status == 0
    assert "1 of 1 runs are up to date" in out
    assert {path.name for path in (copied / "models").iterdir()} == {"baseline-fold0-0", "classifier"}
    assert {path.name for path in (copied / "reports/paper/runs").iterdir()} == {"baseline-fold0-0"}
    assert not (copied / "reports/paper/report.md").exists()


def test_a_failing_run_is_named_and_does_not_stop_the_others(copied, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    failing = {"on_gpu": {"device": "gpu"}, "diverging": {"learning_rate": 10.0, "beta": 1e6}}
    write_params(copied, **with_variants(**failing, beta_3={"beta": 3.0}))
    status, out, err = drive(copied, *REPRO)
    assert status == 1
    assert "3 of 6 runs are up to date" in out
    assert "error: 2 of 6 runs failed, all others are kept: " in err
    assert "on_gpu-full-0 (train.device: expected a GPU" in err
    assert re.search(r"diverging-full-0 \(training diverged: \w+ is (nan|inf) after epoch 1", err)
    assert err.count("train_paper@diverging-full-0 failed: ") == 1
    assert "Traceback" not in err
    assert not (copied / "models/diverging-full-0").exists()
    with sqlite3.connect(copied / "mlflow.db") as store:
        tried = store.execute("SELECT status FROM runs WHERE name = 'diverging-full-0'").fetchall()
    assert tried == [("KILLED",)]  # once, without a retry
    write_params(copied, **with_variants(beta_3={"beta": 3.0}))
    status, out, _ = drive(copied, *REPRO)
    assert status == 0
    assert "4 of 4 runs are up to date" in out


def test_runs_beyond_the_paper_are_trained_by_their_own_command_alone(copied):
    before = hashes(copied)
    status, out, _ = drive(copied, "digit_vae", "beyond", "--jobs", "2")
    assert status == 0
    assert "4 of 5 runs are up to date" in out
    after = hashes(copied)
    assert {path for path in after if path not in before} == {path for path in after if BEYOND in path}
    assert before.items() <= after.items()
    assert (copied / f"reports/beyond/weights/{BEYOND}/decoder.weights.h5").is_file()
    assert "up to date" in drive(copied, "dvc", "status")[1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_keeps_what_is_finished(copied, how):
    write_params(copied, train={"epochs": 2})
    with start(copied, (*REPRO[:2], "--jobs", "1"), stderr=subprocess.PIPE) as process:
        for _ in lines_until(process, lambda line: "evaluated" in line):
            pass
        process.send_signal(how)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("interrupted\n")
    recorded = yaml.safe_load((copied / "dvc.lock").read_text())["stages"]
    epochs = [recorded[f"train_paper@{run}"]["params"]["params.yaml"]["train"]["epochs"] for run in RUNS[:2]]
    assert 2 in epochs
    assert not any("ray::" in " ".join(child.cmdline()) for child in psutil.Process().children(recursive=True))


def test_code_that_changes_while_runs_wait_is_not_what_their_results_are_recorded_for(copied):
    """One run is being trained when the code changes: neither it nor those that wait are recorded."""
    write_params(copied, train={"epochs": 2})
    times = {run: trained_at(copied, run) for run in RUNS}
    losses = copied / "src/digit_vae/model/losses.py"
    with start(copied, (*REPRO[:2], "--jobs", "1"), stderr=subprocess.PIPE) as process:
        for _ in lines_until(process, lambda line: " epoch 1/2" in line):
            pass
        losses.write_text(losses.read_text() + "\n# an edit\n")
        _, err = process.communicate()
    assert process.returncode == 1
    assert "error: 4 of 4 runs failed" in err
    assert "src/digit_vae/model" in err
    assert {run: trained_at(copied, run) for run in RUNS} == times


def test_a_folder_that_cannot_be_written_is_named(copied):
    subprocess.run(["rm", "-r", ".dvc/tmp"], cwd=copied, check=True)
    (copied / ".dvc/tmp").write_text("in the place of the folder")
    status, _, err = drive(copied, *REPRO)
    assert status == 1
    assert err == "error: .dvc/tmp/repro.lock could not be written: File exists\n"


def test_the_stages_find_their_python_and_their_modules(tmp_path):
    (tmp_path / "there.py").write_text("import sys; print(sys.executable)")
    environment = os.environ | {"PYTHONSAFEPATH": "1"}
    prepare_environment(environment)
    pipes = {"stdout": subprocess.PIPE, "text": True}
    done = subprocess.run(["python", "-m", "there"], cwd=tmp_path, env=environment, check=True, **pipes)
    assert pathlib.Path(done.stdout.strip()).samefile(sys.executable)


def test_two_drivers_in_one_folder_are_refused(project):
    (project / ".dvc").mkdir()
    with alone(), pytest.raises(UserError, match="another `make repro` works in this folder"), alone():
        pass
    with alone():
        pass


@pytest.fixture
def three_machines() -> Iterator:
    """A Ray cluster of three nodes with one core each, each with processes and an object store of its own."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster
    cluster.shutdown()


def test_a_cluster_that_loses_a_machine_gives_the_same_bytes(reproduced, three_machines, digits, tmp_path):
    write_project(tmp_path, digits)
    lost = three_machines.list_all_nodes()[-1]
    raylet = lost.all_processes["raylet"][0].process.pid
    with start(tmp_path, ("digit_vae", "repro", "--address", three_machines.address)) as process:
        for _ in lines_until(process, lambda line: " epoch " in line and trainers(raylet)):
            pass
        three_machines.remove_node(lost, allow_graceful=False)
        process.communicate()
    assert process.returncode == 0
    assert hashes(tmp_path) == hashes(reproduced)


SHIPPED = """
import sys
from pathlib import Path
import ray
from digit_vae.base.files import json_bytes, sha256
from digit_vae.driver.cluster import cluster

def shipped():
    folders = [Path(entry) for entry in sys.path if "py_modules_files" in entry]
    files = {path.relative_to(folder): path for folder in folders for path in folder.rglob("*.py")}
    return {str(name): sha256(path) for name, path in files.items()}

with cluster(sys.argv[1], 1):
    print(json_bytes(ray.get(ray.remote(shipped).remote())).decode())
"""


def test_the_machines_of_a_cluster_are_sent_the_code_of_the_driver(reproduced, three_machines):
    command = [sys.executable, "-c", SHIPPED, three_machines.address]
    paths = os.environ | {"PYTHONPATH": str(reproduced / "src")}
    done = subprocess.run(command, cwd=reproduced, env=paths, stdout=subprocess.PIPE, text=True, check=True)
    code = (reproduced / "src/digit_vae").rglob("*.py")
    assert json.loads(done.stdout) == {str(path.relative_to(reproduced / "src")): sha256(path) for path in code}
