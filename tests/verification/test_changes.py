"""What a branch changes, told of a real git repository whose small graph a real DVC has run."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from matplotlib.image import imsave
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.verification import changes
from digit_vae.verification.before import Change, project_folder
from digit_vae.verification.evidence import md5

pytestmark = pytest.mark.integration

STUDIES = {"paper": {"question": "Alike?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1]}}
PUBLISH = {"paper": ["baseline-full-0"], "beyond": []}
RUN = "reports/paper/runs/baseline-full-0"
TABLE, FIGURE = "reports/paper/tables/losses.csv", "reports/paper/figures/losses.png"
# In place of the stages' scripts: numbers that follow from a param, and times that follow from nothing.
TRAIN = """\
import hashlib, json, pathlib, sys, time, yaml
rate = yaml.safe_load(open("params.yaml", encoding="utf-8"))["train"]["learning_rate"]
its, models = pathlib.Path("reports/paper/runs", sys.argv[1]), pathlib.Path("models", sys.argv[1])
its.mkdir(parents=True, exist_ok=True), models.mkdir(parents=True, exist_ok=True)
for name in ("encoder", "decoder"):
    (models / f"{name}.weights.h5").write_text(str(rate))
digest = hashlib.sha256(str(rate).encode()).hexdigest()
losses = [{"epoch": 1, "loss": 150 + rate, "health": {"dead_units": {"dense": 3}}}]
(its / "history.json").write_text(json.dumps({"epochs": losses, "weights_sha256": {"encoder": digest}}))
(its / "timings.json").write_text(json.dumps({"started_at": time.time()}))
"""
EVALUATE = """\
import json, pathlib, sys, time
its = pathlib.Path("reports/paper/runs", sys.argv[1])
loss = json.loads((its / "history.json").read_text())["epochs"][0]["loss"]
(its / "metrics.json").write_text(json.dumps({"test": {"elbo": -loss, "images": 5}}))
(its / "evaluation.json").write_text(json.dumps({"started_at": time.time()}))
"""
REPORT = """\
import pathlib, shutil
made = pathlib.Path("reports/paper")
for name in ("tables", "figures"):
    shutil.rmtree(made / name, ignore_errors=True)
    (made / name).mkdir()
losses = [path.read_text() for path in sorted(made.glob("runs/*/metrics.json"))]
(made / "tables/losses.csv").write_text("\\n".join(losses))
shutil.copy("given.png", made / "figures/losses.png")
"""
MATRIX = {"variant": ["baseline"], "split": ["full"], "seed": [0, 1]}
ITS = "reports/paper/runs/${key}"


def kept(*paths):
    return [{path: {"cache": False}} for path in paths]


GRAPH = {
    "preprocess": {"cmd": "mkdir -p data/processed && cp given.png data/processed", "outs": ["data/processed"]},
    "train_paper": {
        "matrix": MATRIX,
        "cmd": "python train.py ${key}",
        "deps": ["train.py"],
        "params": ["train.learning_rate"],
        "outs": [
            *("models/${key}/encoder.weights.h5", "models/${key}/decoder.weights.h5"),
            *kept(f"{ITS}/history.json", f"{ITS}/timings.json"),
        ],
    },
    "evaluate_paper": {
        "matrix": MATRIX,
        "cmd": "python evaluate.py ${key}",
        "deps": [f"{ITS}/history.json"],
        "outs": kept(f"{ITS}/evaluation.json"),
        "metrics": kept(f"{ITS}/metrics.json"),
    },
    "report": {
        "cmd": "python report.py",
        "deps": ["reports/paper/runs", "given.png"],
        "outs": kept("reports/paper/tables"),
        "plots": kept("reports/paper/figures"),
    },
}


def call(*command):
    subprocess.run(command, check=True, capture_output=True)


def git(*arguments):
    call("git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments)


def commit():
    git("add", "-A")
    git("commit", "-qm", "a")


def reproduce():
    call(sys.executable, "-m", "dvc", "repro", "--quiet")


def draw(shade):
    imsave("given.png", np.full((4, 4), shade), cmap="gray", vmin=0, vmax=1, metadata={"Software": None})


def change(path, *keys, value):
    content = json.loads(Path(path).read_text(encoding="utf-8"))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    Path(path).write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A repository with a branch `main`, on which the graph has run once."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
        write_params(root, studies=STUDIES, publish=PUBLISH)
        for name, script in (("train", TRAIN), ("evaluate", EVALUATE), ("report", REPORT)):
            Path(f"{name}.py").write_text(script, encoding="utf-8")
        Path("dvc.yaml").write_text(yaml.safe_dump({"stages": GRAPH}, sort_keys=False), encoding="utf-8")
        Path(".gitignore").write_text("/data\n/models\n", encoding="utf-8")
        draw(0.2)
        git("init", "-qb", "main")
        call(sys.executable, "-m", "dvc", "init", "--quiet")
        reproduce()
        commit()
    return root


@pytest.fixture
def branch(template, tmp_path, monkeypatch):
    """A copy in which a branch has begun; the working folder."""
    root = shutil.copytree(template, tmp_path / "project", symlinks=True)
    monkeypatch.chdir(root)
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    git("checkout", "-qb", "branch")
    return root


@pytest.fixture
def tell(branch, run_stage, capsys, monkeypatch):  # noqa: ARG001 - it is the working folder
    """Runs the command. Returns: its exit status, its Markdown, and its one line of error."""

    def run(*arguments, base="main", dvc=True):
        if not dvc:  # which takes seconds
            monkeypatch.setattr(changes, "dvc_diff", lambda *_: [])
        status = run_stage(lambda: changes.main(["--base", base, *arguments]))
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture(autouse=True)
def current(monkeypatch):
    """The summaries, which this small project lacks, are as they ought to be."""
    monkeypatch.setattr(changes, "is_current", lambda _: True)


def section(text, title):
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0].strip()


def test_a_branch_without_changes_has_none(tell):
    status, text, error = tell()
    assert (status, error) == (0, "")
    assert [section(text, title) for title in ("Params", "Metrics", "Figures")] == ["None."] * 3


def test_a_result_that_was_made_again_is_shown_and_nothing_is_held_against_it(tell, tmp_path):
    write_params(Path(), studies=STUDIES, publish=PUBLISH, train={"learning_rate": 0.5})
    draw(0.8)
    reproduce()
    commit()
    page, summary = tmp_path / "changes.html", tmp_path / "summary.md"
    summary.write_text("before\n", encoding="utf-8")
    status, text, error = tell("--page", str(page), "--summary", str(summary), "--images", "https://example.org/raw/")
    assert (status, error) == (0, "")
    assert summary.read_text(encoding="utf-8") == "before\n" + text.removesuffix("\n")
    assert re.search(r"^\| params\.yaml \| train\.learning_rate \| 0\.00\d \| 0\.5 \|$", section(text, "Params"), re.M)
    assert re.search(rf"^\| {RUN}/metrics\.json \| test\.elbo \| -150\.00\d \| -150\.5 \|$", text, re.M)
    old, new = (subprocess.check_output(["git", "rev-parse", name], text=True).strip() for name in ("main", "branch"))
    assert f"![before](https://example.org/raw/{old}/{FIGURE})" in section(text, "Figures")
    assert f"![now](https://example.org/raw/{new}/{FIGURE})" in section(text, "Figures")
    html = page.read_text(encoding="utf-8")
    assert len(set(re.findall(r'src="(data:image/png;base64,[^"]+)"', html))) == 2
    assert "<td>train.learning_rate</td>" in html


def test_what_came_on_main_after_the_branch_began_is_no_change_of_it(tell):
    git("checkout", "-q", "main")
    Path("params.yaml").write_text(Path("params.yaml").read_text(encoding="utf-8") + "\n# later\n", encoding="utf-8")
    draw(0.5)
    commit()
    git("checkout", "-q", "branch")
    status, text, _ = tell(dvc=False)
    assert (status, section(text, "Figures")) == (0, "None.")


def with_lock():
    """dvc.lock has the hashes of the runs' files as they are, as after `dvc commit`."""
    content = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    outputs = [out for stage in content["stages"].values() for out in stage["outs"] if out["path"].startswith(RUN)]
    for out in outputs:
        out["md5"] = md5(Path(out["path"]))
    Path("dvc.lock").write_text(yaml.safe_dump(content), encoding="utf-8")


HISTORY, METRICS = f"{RUN}/history.json", f"{RUN}/metrics.json"
TIMINGS, EVALUATION = f"{RUN}/timings.json", f"{RUN}/evaluation.json"
EDITS = {
    "a metric": (lambda: change(METRICS, "test", "elbo", value=-1.0), METRICS, "hash of before"),
    "a table": (lambda: Path(TABLE).write_text("1", encoding="utf-8"), TABLE, "hash of before"),
    "a figure": (lambda: shutil.copy("given.png", FIGURE.replace("losses", "more")), "figures/more.png", "hash of"),
    "a file that is gone": (lambda: Path(HISTORY).unlink(), HISTORY, "hash of before"),
    "a loss and the lock": (
        lambda: (change(HISTORY, "epochs", 0, "loss", value=1.0), with_lock()),
        HISTORY,
        "weights are those of before",
    ),
    "a loss, the time and the lock": (
        lambda: (change(HISTORY, "epochs", 0, "loss", value=1.0), change(TIMINGS, "started_at", value=1), with_lock()),
        HISTORY,
        "weights are those of before",
    ),
    "a loss, the hash of the weights and the lock": (
        lambda: (
            change(HISTORY, "epochs", 0, "loss", value=1.0),
            change(HISTORY, "weights_sha256", value={}),
            change(TIMINGS, "started_at", value=1),
            with_lock(),
        ),
        HISTORY,
        "weights are those of before",
    ),
    "a metric and the lock": (
        lambda: (change(METRICS, "test", "elbo", value=-1.0), with_lock()),
        METRICS,
        "evaluation.json is that of the evaluation before",
    ),
    "a metric, more beside it and the lock": (
        lambda: (change(METRICS, "test", "elbo", value=-1.0), change(EVALUATION, "more", value=1), with_lock()),
        METRICS,
        "evaluation.json is that of the evaluation before",
    ),
}


@pytest.mark.parametrize("what", EDITS)
@pytest.mark.parametrize("committed", [True, False])
def test_a_number_that_no_run_has_made_fails_with_its_name(tell, what, committed):
    edit, path, why = EDITS[what]
    edit()
    if committed:
        commit()
    status, text, error = tell(dvc=False)
    assert status == 1
    assert re.search(rf"^- `\S*{re.escape(path)}`: .*{why}", text, re.MULTILINE), text
    assert re.search(rf"^error: [^\n]*{re.escape(path)}[^\n]*$", error)


def test_more_that_is_said_of_an_epoch_is_no_other_loss(tell):
    for name in ("health", "new"):
        change(HISTORY, "epochs", 0, name, value={"dead_units": {"dense": 3, "hidden": 2}})
    change(TIMINGS, "started_at", value=1)
    with_lock()
    assert tell(dvc=False)[0] == 0


def test_a_new_run_and_one_that_is_gone_are_no_numbers_that_changed(tell):
    studies = {"paper": STUDIES["paper"] | {"seeds": [1, 2]}}
    naming = {"first_run": "baseline-full-1", "second_run": "baseline-full-2"}
    write_params(Path(), studies=studies, publish={"paper": ["baseline-full-1"], "beyond": []}, report=naming)
    matrix = {"matrix": MATRIX | {"seed": [1, 2]}}
    graph = {name: stage | (matrix if "matrix" in stage else {}) for name, stage in GRAPH.items()}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": graph}, sort_keys=False), encoding="utf-8")
    shutil.rmtree(RUN)
    reproduce()
    commit()
    status, text, error = tell(dvc=False)
    assert (status, error) == (0, ""), text


def test_runs_of_the_small_graph_that_are_recorded_otherwise_are_named(tell):
    record = Path("reports/smoke.json")
    digest = hashlib.md5(b"{}\n", usedforsecurity=False).hexdigest()
    made = {"md5": {"history.json": "a", "metrics.json": digest}, "metrics": {}}
    runs = {"baseline-full-0": made, "other": {"md5": {}}}
    record.write_text(json.dumps({"runs": runs}), encoding="utf-8")
    commit()
    git("branch", "-f", "main")
    change(record, "runs", "baseline-full-0", "md5", "history.json", value="c")
    status, text, _ = tell(dvc=False)
    assert status == 0
    assert "- baseline-full-0: history.json" in section(text, "The graph at its small size").splitlines()


@pytest.mark.parametrize("damage", ["[]", '{"runs": []}', '{"runs": {"a": 1}}', "{", "\xff", "[" * 100_000])
def test_a_damaged_record_of_the_small_graph_is_one_sentence(tell, damage):
    Path("reports/smoke.json").write_bytes(damage.encode("latin-1"))
    status, _, error = tell(dvc=False)
    assert status == 1
    assert re.search(r"^error: reports/smoke\.json.* damaged [^\n]*\n$", error)


@pytest.mark.parametrize("path", ["reports/smoke.json", "dvc.lock"])
def test_damage_in_the_commit_that_is_compared_with_is_told_as_its_own(tell, path):
    whole = Path(path).read_bytes() if Path(path).exists() else b'{"runs": {}}'
    Path(path).write_text("[", encoding="utf-8")
    commit()
    git("branch", "-f", "main")
    Path(path).write_bytes(whole)
    status, _, error = tell(dvc=False)
    assert status == 1
    assert re.search(rf"^error: {re.escape(path)} of commit [0-9a-f]+ is damaged [^\n]*\n$", error)


def test_an_empty_lock_in_that_commit_is_damage_too(tell):
    whole = Path("dvc.lock").read_bytes()
    Path("dvc.lock").write_bytes(b"")
    commit()
    git("branch", "-f", "main")
    Path("dvc.lock").write_bytes(whole)
    status, _, error = tell(dvc=False)
    assert status == 1
    assert re.search(r"^error: dvc\.lock of commit [0-9a-f]+ is damaged [^\n]*\n$", error)


def test_a_figure_whose_name_is_no_text_is_shown(tell, tmp_path):
    shutil.copy(b"given.png", b"reports/\xff.png")
    commit()
    page = tmp_path / "changes.html"
    status, text, error = tell("--page", str(page), "--images", "https://example.org", dvc=False)
    assert (status, error) == (0, "")
    assert "/reports/%FF.png)" in section(text, "Figures")
    assert r"reports/\udcff.png" in page.read_text(encoding="utf-8")


def test_missing_folders_of_pages_are_made(tell, tmp_path):
    page, summary = tmp_path / "no/such/changes.html", tmp_path / "nor/this/summary.md"
    status, text, error = tell("--page", str(page), "--summary", str(summary), dvc=False)
    assert (status, error) == (0, "")
    assert page.is_file()
    assert summary.read_text(encoding="utf-8") == text.removesuffix("\n")


@pytest.mark.parametrize("address", ["pictures", "no/such/folder", "https://", "ftp://example.org", "https://a b"])
def test_pictures_that_have_no_address_on_the_web_are_one_sentence(tell, capsys, address):
    with pytest.raises(SystemExit):
        tell("--images", address, dvc=False)
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"begins with https://; received '{address}'")


def test_pictures_of_a_project_in_a_folder_of_a_larger_repository_have_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    assert project_folder() == ""
    (tmp_path / "a vae").mkdir()
    monkeypatch.chdir(tmp_path / "a vae")
    assert project_folder() == "a vae/"
    changed = changes.Changed("main", "a", "b", [], [], [], [Change("reports/a.png", None, b"1")], {})
    shown = {"page": None, "images": "https://example.org", "folder": project_folder()}
    text = changes.rendered("changes.md.j2", changed, **shown)
    assert "![now](https://example.org/b/a%20vae/reports/a.png)" in text


def test_long_tables_are_cut_to_what_changed_most(tell, monkeypatch, tmp_path):
    monkeypatch.setattr(changes, "SHOWN", 1)
    for number, off in ((0, 1.0), (1, 5.0)):
        path = f"reports/paper/runs/baseline-full-{number}/metrics.json"
        change(path, "test", "elbo", value=json.loads(Path(path).read_text(encoding="utf-8"))["test"]["elbo"] + off)
    _, text, _ = tell("--page", str(tmp_path / "all.html"))
    shown = section(text, "Metrics")
    assert "baseline-full-1" in shown
    assert "baseline-full-0" not in shown
    assert "1 of 2" in shown
    assert "baseline-full-0" in (tmp_path / "all.html").read_text(encoding="utf-8")


def with_locked(path):
    content = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    for stage in content["stages"].values():
        for out in stage["outs"]:
            if out["path"] == path:
                out["md5"] = md5(Path(path))
    Path("dvc.lock").write_text(yaml.safe_dump(content), encoding="utf-8")


def test_a_figure_that_changed_with_its_lock_alone_is_named(tell):
    Path(FIGURE).write_bytes(b"another")
    with_locked("reports/paper/figures")
    status, text, _ = tell(dvc=False)
    assert status == 1
    assert re.search(r"^- `reports/paper/figures`: .*inputs of before", text, re.MULTILINE)


@pytest.mark.parametrize(("changed", "named"), [("reports/more.json", "reports/README.md"), ("README.md", "README.md")])
def test_a_summary_that_is_not_that_of_the_results_is_named(tell, monkeypatch, changed, named):
    Path(changed).write_text("99.9", encoding="utf-8")
    monkeypatch.setattr(changes, "is_current", lambda _: False)
    status, text, _ = tell(dvc=False)
    assert status == 1
    assert re.search(rf"^- `{re.escape(named)}`: ", text, re.MULTILINE)


def test_where_no_summary_can_be_made_that_is_told_beside_all_else(tell, monkeypatch):
    def fail(_):
        raise UserError("reports/power.json is damaged")

    Path("reports/more.json").write_text("99.9", encoding="utf-8")
    monkeypatch.setattr(changes, "is_current", fail)
    status, text, error = tell(dvc=False)
    assert (status, error.count("\n")) == (1, 1)
    assert re.search(r"^- `reports/README.md`: .*power\.json is damaged", text, re.MULTILINE)


def test_where_nobody_reads_the_output_the_pages_are_written_all_the_same(tell, monkeypatch, tmp_path):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(changes, "print", gone, raising=False)
    pages = [tmp_path / "changes.html", tmp_path / "summary.md"]
    tell("--page", str(pages[0]), "--summary", str(pages[1]), dvc=False)
    assert all(page.stat().st_size for page in pages)


@pytest.mark.parametrize("option", ["--page", "--summary"])
def test_where_a_file_cannot_be_written_what_changed_is_shown_all_the_same(tell, option):
    status, text, error = tell(option, "params.yaml/changes.html", dvc=False)
    assert (status, error.count("\n")) == (1, 1)
    assert "could not be written" in error
    assert text


def test_an_unknown_branch_is_one_sentence(tell):
    status, text, error = tell(base="nowhere", dvc=False)
    assert (status, text) == (1, "")
    assert re.search(r"^error: --base: expected .*; received 'nowhere'\n$", error)


def test_what_dvc_cannot_compare_is_one_sentence(tell):
    Path(".dvc/config").write_text("[core", encoding="utf-8")
    status, _, error = tell()
    assert status == 1
    assert re.search(r"^error: `dvc params diff", error)
