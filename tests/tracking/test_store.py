import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from mirrored import as_started, client_of
from synthetic import STARTED, history, timings

import digit_vae
from digit_vae.base.errors import UserError
from digit_vae.tracking import store as store_module
from digit_vae.tracking import without_proxy
from digit_vae.tracking.store import COMPARISONS, NOTE, Store, comparison, project_root
from digit_vae.tracking.sync import Live

# MLflow's own use of SQLAlchemy
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN = "baseline-fold0-0"


def test_the_store_is_made_once_by_whoever_is_first(project, mlflow_tables, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    arrived, made, flock = threading.Semaphore(0), [], fcntl.flock

    def arrive(lock, operation):
        arrived.release()
        flock(lock, operation)

    def make_when_the_other_has_come(path):
        made.append(path)
        assert all(arrived.acquire(timeout=10) for _ in range(2))
        shutil.copy(mlflow_tables, path)

    monkeypatch.setattr(store_module.fcntl, "flock", arrive)
    monkeypatch.setattr(store_module, "create_database", make_when_the_other_has_come)
    with ThreadPoolExecutor() as pool:
        stores = list(pool.map(Store, [project, project]))
    assert len(stores) == 2
    assert made == [project / "mlflow.db"]


def test_the_store_is_that_of_the_project_of_which_dvc_runs_a_stage(mlflow_project, tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("experiment"))
    assert project_root().resolve() != mlflow_project
    monkeypatch.setenv("DVC_ROOT", str(mlflow_project))
    store = Store(project_root())
    assert store.uri == f"sqlite:///{mlflow_project / 'mlflow.db'}"
    assert store.checkout == Store(mlflow_project).checkout


def test_the_experiment_says_what_it_is_also_where_it_was_made_without(mlflow_project):
    client = client_of(mlflow_project)
    made = client.create_experiment("digit-vae", artifact_location=str(mlflow_project / "mlartifacts"))
    client.set_experiment_tag(made, NOTE, "mine")
    Store(mlflow_project)
    tags = client.get_experiment(made).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags[NOTE] == "mine"


def test_the_experiments_note_links_to_comparisons_that_find_runs(store, client, bring_in, make_record):
    bring_in(make_record("dropout-fold0-0", started_at=STARTED - 1000))
    bring_in(*map(make_record, ("baseline-fold0-0", "dropout-fold0-0", "beta_2-fold0-0", "baseline-full-0")))
    note = client.get_experiment(store.experiment_id).tags[NOTE]
    found = {}
    for name in COMPARISONS:
        address = comparison(store.experiment_id, name)
        assert f"[{name}]({address})" in note
        [runs] = parse_qs(urlsplit(address.removeprefix("#")).query)["searchFilter"]
        found[name] = sorted(run.info.run_name for run in client.search_runs([store.experiment_id], runs))
    assert found["the ablation over folds"] == ["ablation/baseline", "ablation/dropout"]
    assert found["beta over folds"] == ["ablation/baseline", "beta/beta_2"]
    assert found["seeds of the paper's model"] == ["baseline-full-0"]
    assert found["CPU and GPU"] == []


def test_in_a_note_of_before_the_comparisons_get_their_present_addresses(mlflow_project, store):
    name = "beta over folds"
    former = f"mine\n* [{name}](#/experiments/{store.experiment_id}/runs?searchFilter=former), [mine](#/former)\n"
    store.client.set_experiment_tag(store.experiment_id, NOTE, former)
    for _ in range(2):
        Store(mlflow_project)
        note = store.client.get_experiment(store.experiment_id).tags[NOTE]
        assert note == f"mine\n* [{name}]({comparison(store.experiment_id, name)}), [mine](#/former)\n"


def test_a_moved_folder_is_an_error_that_says_what_to_do(mlflow_project):
    Store(mlflow_project)
    moved = mlflow_project / "moved"
    moved.mkdir()
    (mlflow_project / "mlflow.db").rename(moved / "mlflow.db")
    with pytest.raises(UserError, match=r"delete mlflow.db and run `make track`"):
        Store(moved)


def test_a_database_with_options_in_its_address_is_made_there(project, mlflow_tables, monkeypatch):
    monkeypatch.setattr(store_module, "create_database", lambda path: shutil.copy(mlflow_tables, path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'x.db'}?timeout=5")
    Store(project)
    assert {path.name for path in project.iterdir()} == {"params.yaml", "x.db", "x.db.lock"}


@pytest.mark.parametrize(
    "address",
    [
        *("sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "sqlite:////"),
        *("sqlite", "sqlite:x.db", "sqlite:/x.db", "sqlite://host:port/x.db"),
    ],
)
def test_a_store_that_is_no_file_is_refused(project, monkeypatch, address):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI: expected a database in a file"):
        Store(project)
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("name", ["a%41", "why?x=1"])
def test_a_folder_whose_name_mlflow_would_read_otherwise_is_refused(project, name):
    folder = project / name
    folder.mkdir()
    with pytest.raises(UserError, match=f"project folder .* received .*{re.escape(name)}"):
        Store(folder)
    assert {path.name for path in project.iterdir()} == {"params.yaml", name}
    assert not any(folder.iterdir())


def test_the_store_of_a_folder_with_a_blank_and_an_umlaut_is_in_it(project, mlflow_tables, monkeypatch):
    monkeypatch.setattr(store_module, "create_database", lambda path: shutil.copy(mlflow_tables, path))
    folder = project / "an Umlaut \u00fc #"
    folder.mkdir()
    Store(folder)
    assert {path.name for path in folder.iterdir()} == {"mlflow.db", "mlflow.db.lock"}


def test_a_folder_that_cannot_be_written_is_an_error(mlflow_project):
    (mlflow_project / "mlflow.db.lock").mkdir()
    with pytest.raises(UserError, match=r"MLflow at sqlite:\S+ failed: .*Is a directory") as raised:
        Store(mlflow_project)
    assert "delete" not in str(raised.value)


def overwrite(path, *, start, length):
    content = path.read_bytes()
    path.write_bytes(content[:start] + b"\xff" * length + content[start + length :])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"this is no database" * 1000),
        lambda path: overwrite(path, start=100, length=4000),
        lambda path: os.truncate(path, path.stat().st_size // 2 // 4096 * 4096),
    ],
)
def test_a_damaged_database_is_one_sentence_with_what_helps(mlflow_project, damage):
    damage(mlflow_project / "mlflow.db")
    with pytest.raises(UserError, match=r"^mlflow.db is damaged [^\n]*delete mlflow.db and run `make track`") as raised:
        Store(mlflow_project).runs()
    assert all(f"`digit-vae {command} RUN`" in str(raised.value) for command in ("register", "promote"))
    assert "\n" not in str(raised.value)


def test_a_locked_database_is_not_called_damaged(mlflow_project, monkeypatch):
    monkeypatch.setattr(store_module, "MlflowClient", raising(OSError("no space left")))
    with pytest.raises(UserError, match="no space left") as raised:
        Store(mlflow_project)
    assert "delete" not in str(raised.value)


@pytest.fixture
def python():
    """Runs code in a process of its own, with these variables in its environment, and returns what it prints."""

    def run(code, **variables):
        environment = os.environ | {"PYTHONPATH": str(Path(digit_vae.__file__).parents[1])} | variables
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout

    return run


def raising(error):
    def fail(**_):
        raise error

    return fail


def test_an_unreachable_server_is_an_error_without_its_password(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    with pytest.raises(UserError, match=r"http://me:\*\*\*@127\.0\.0\.1:9") as raised:
        Store(project)
    assert "secret" not in str(raised.value)


class Answering(BaseHTTPRequestHandler):
    """As much of an MLflow server as it takes to start a run; keeps what it is sent."""

    def do_GET(self):
        experiment = {"experiment_id": "1", "name": "digit-vae", "lifecycle_stage": "active"}
        self.answer({"experiment": experiment} if "get-by-name" in self.path else {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.sent.append((self.path, body.decode(), self.headers["Authorization"]))
        info = {"run_id": "r", "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active", "start_time": 1}
        tags = json.loads(body).get("tags", []) if "runs/create" in self.path else []
        self.answer({"run": {"info": info, "data": {"tags": tags}}, "run_info": info})

    def answer(self, content):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_):
        pass


@contextmanager
def answering():
    """A server on 127.0.0.1 with all that it was sent in `sent`."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        server.sent = []
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


def test_a_server_is_told_the_password_and_stores_it_nowhere(project, make_record, monkeypatch, capfd):
    losses, seconds = history(RUN)["epochs"], timings(RUN)["epochs"]
    with answering() as server:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:s3cret@127.0.0.1:{server.server_port}")
        live = Live(Store(project))
        live.start(RUN, as_started(make_record()))
        live.epoch(RUN, losses[0], seconds[0])
    with pytest.raises(UserError) as gone:
        live.epoch(RUN, losses[1], seconds[1])
    assert {"runs/create", "runs/log-batch", "runs/update"} <= {path.split("mlflow/")[1] for path, *_ in server.sent}
    password = b64encode(b"me:s3cret").decode()
    assert {authorization for *_, authorization in server.sent} == {f"Basic {password}"}
    shown = [*(path + body for path, body, _ in server.sent), str(gone.value), *capfd.readouterr()]
    assert not [text for text in shown if "s3cret" in text or password in text]


def test_a_server_on_this_host_is_reached_in_spite_of_a_dead_proxy(tmp_path, python):
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY"), "http://127.0.0.1:9")
    look = f"from pathlib import Path; from digit_vae.tracking.store import Store; s = Store(Path({str(tmp_path)!r}))"
    look = f"{look}; print(s.experiment_id)"
    with answering() as server:
        uri = {"MLFLOW_TRACKING_URI": f"http://localhost:{server.server_port}", "no_proxy": "", "NO_PROXY": ""}
        assert python(look, **proxies, **uri) == "1\n"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, "localhost,127.0.0.1,::1"),
        ("intranet", "intranet,localhost,127.0.0.1,::1"),
        ("intranet,localhost,127.0.0.1,::1", "intranet,localhost,127.0.0.1,::1"),
        ("*", "*"),
    ],
)
def test_this_host_joins_those_that_are_reached_without_a_proxy(given, expected):
    assert without_proxy(given) == expected


@pytest.mark.parametrize("uri", ["http://me:secret@127.0.0.1:99999", "postgresql://me:secret@host:port/runs"])
def test_an_address_with_a_bad_port_is_an_error(project, monkeypatch, uri):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UserError, match=r"^MLflow at \w+://me:\*\*\*@\S+ failed: [^\n]+$") as raised:
        Store(project)
    assert not re.search("secret", str(raised.value))


def test_a_missing_database_driver_is_an_error(project, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "mssql+pymssql://me:secret@host/runs")
    with pytest.raises(UserError, match="pymssql"):
        Store(project)


def test_pickles_stay_off_whatever_the_environment_says(python):
    look = "import os, digit_vae.tracking; print(os.environ['MLFLOW_ALLOW_PICKLE_DESERIALIZATION'])"
    assert python(look, MLFLOW_ALLOW_PICKLE_DESERIALIZATION="true") == "false\n"


@pytest.mark.parametrize("name", COMPARISONS)
def test_the_documentation_has_each_comparisons_address(name):
    page = Path(__file__).parents[2] / "docs/compare_runs.md"
    assert f"[{name}](http://127.0.0.1:5000/{comparison('1', name)})" in page.read_text(encoding="utf-8")
