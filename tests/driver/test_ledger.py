"""The ledger on a small graph whose stages are shell commands: what it says, records and restores, DVC confirms."""

import logging
import signal
import subprocess
import sys
import time

import pytest
import yaml
from dvc.repo import Repo
from synthetic import write_params

from digit_vae.base.errors import UserError
from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import find_run, runs
from digit_vae.driver.ledger import opened, uninterrupted

pytestmark = [
    pytest.mark.integration,
    pytest.mark.filterwarnings("ignore:_NoneStep.value will soon raise:DeprecationWarning"),  # DVC's use of pygtrie
]
STUDIES = {
    "paper": {"question": "?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1]},
    "beta": {"question": "?", "variants": ["beta_2"], "splits": ["full"], "seeds": [0], "beyond": True},
}
NAMING = {"publish": {"beyond": ["beta_2-full-0"]}}
TRAIN = """
  train_{study}:
    matrix: {{run: [{runs}]}}
    cmd: mkdir -p models/${{item.run}} && {cmd}
    wdir: {wdir}
    deps: [code, data/processed]
    params: [train]
    outs:
      - models/${{item.run}}/encoder.weights.h5
      - models/${{item.run}}/decoder.weights.h5
      - reports/{graph}/runs/${{item.run}}/history.json: {{cache: false}}
      - reports/{graph}/runs/${{item.run}}/timings.json: {{cache: false}}

  evaluate_{study}:
    matrix: {{run: [{runs}]}}
    cmd: "false"
    wdir: {wdir}
    deps:
      - judge
      - models/${{item.run}}/encoder.weights.h5
      - reports/{graph}/runs/${{item.run}}/history.json
    params: [evaluate]
    outs:
      - models/${{item.run}}/samples.npz
      - reports/{graph}/runs/${{item.run}}/digits.npz: {{cache: false}}
      - reports/{graph}/runs/${{item.run}}/metrics.json: {{cache: false}}
      - reports/{graph}/runs/${{item.run}}/evaluation.json: {{cache: false}}
"""
PAPER = """
stages:
  preprocess:
    cmd: mkdir -p data/processed && cp raw data/processed
    deps: [raw]
    outs: [data/processed]

  classifier:
    cmd: echo classifier > judge
    deps: [data/processed]
    outs:
      - judge: {cache: false}
"""
REPORT = """
  report:
    cmd: cat reports/paper/runs/*/metrics.json > reports/paper/report.md
    deps: [reports/paper/runs]
    outs:
      - reports/paper/report.md: {cache: false}
"""
DRAW = """
  draw:
    cmd: cat drawing models/baseline-full-0/samples.npz > reports/paper/pictures
    deps: [drawing, models/baseline-full-0/samples.npz]
    outs:
      - reports/paper/pictures: {cache: false}
"""
WAITS = "touch started && while ! test -e go; do sleep 0.1; done && false"
ALL = ("baseline-full-0", "baseline-full-1")


@pytest.fixture
def graph(project):
    """A project with two runs in the paper's graph and one beyond it, which nobody has trained."""
    Repo.init(project, no_scm=True)
    write_params(project, studies=STUDIES, **NAMING)
    paper = TRAIN.format(study="paper", runs=", ".join(ALL), cmd=WAITS, wdir=".", graph="paper")
    beyond = TRAIN.format(study="beta", runs="beta_2-full-0", cmd="false", wdir="..", graph="beyond")
    (project / "dvc.yaml").write_text(PAPER + paper + REPORT + DRAW)
    (project / "beyond").mkdir()
    (project / "beyond/dvc.yaml").write_text(f"stages:\n{beyond}")
    for name in ("code", "raw", "drawing"):
        (project / name).write_text(name)
    return project


@pytest.fixture
def params(graph):
    return write_params(graph, studies=STUDIES, **NAMING)


def files_of(job, text="of the first"):
    """What a task would return."""
    its = job.run.files
    names = (
        ("encoder", "decoder", "history", "timings") if job.trains else ("samples", "digits", "metrics", "evaluation")
    )
    return {getattr(its, name): f'{{"{name}": "{text}"}}'.encode() for name in names}


def run_all(ledger, chosen, text="of the first"):
    """Does what the scheduler does with each run. Returns: the stages that were run."""
    done = []
    ledger.prepare(chosen)
    for run in filter(ledger.is_outdated, chosen):
        job = ledger.plan(run)
        while job:
            ledger.begin(job)
            ledger.record(job, files_of(job, text))
            ledger.end(job)
            done.append(job.stage.name)
            job = ledger.following(job) if job.trains else None
    return done


def is_up_to_date(graphs=("paper",), **options):
    with opened(graphs, **options) as ledger:
        return ledger.is_up_to_date


@pytest.fixture
def made(params):
    """The graph with both runs of the paper recorded; its params."""
    with opened(["paper"]) as ledger:
        run_all(ledger, runs(params, "paper"))
        ledger.finish()
    return params


def remove(graph, *paths):
    subprocess.run(["rm", "-r", *paths], cwd=graph, check=True)


@pytest.mark.usefixtures("made")
def test_what_was_recorded_is_up_to_date_for_dvc(graph):
    with Repo() as repo:
        assert not [name for name in repo.status() if "beyond" not in name]
    assert (graph / "reports/paper/report.md").read_text().count("of the first") == len(ALL)
    assert is_up_to_date()


def test_a_run_is_trained_then_evaluated_and_then_there_is_nothing_to_do(params):
    with opened(["paper"]) as ledger:
        done = run_all(ledger, runs(params, "paper"))
        assert done == [stage for run in runs(params, "paper") for stage in run.stages]
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(params, "paper")) == []


MORE = {"question": "?", "variants": ["dropout"], "splits": ["full"], "seeds": [0], "beyond": True}


@pytest.mark.parametrize(
    ("studies", "message"),
    [
        ({"more": MORE}, r"studies\.more: .*train_more .*beyond/dvc\.yaml.*train_more@dropout-full-0"),
        ({"paper": STUDIES["paper"] | {"seeds": [0, 1, 2]}}, r"studies\.paper: .* dvc\.yaml.*@baseline-full-2"),
    ],
)
def test_a_study_without_its_stages_is_not_done_but_named(graph, studies, message):
    params = write_params(graph, studies=STUDIES | studies, **NAMING)
    with opened(["paper", "beyond"]) as ledger:
        with pytest.raises(UserError, match=f"^{message}.*docs/add_a_variant\\.md"):
            ledger.prepare(runs(params))
        assert not (graph / "data").exists()


def test_each_graph_has_a_lock_file_of_its_own(graph, params):
    with opened(["paper", "beyond"]) as ledger:
        run_all(ledger, runs(params))
    locks = {path: yaml.safe_load((graph / path).read_text())["stages"] for path in ("dvc.lock", "beyond/dvc.lock")}
    of_runs = {path: {name for name in stages if "@" in name} for path, stages in locks.items()}
    expected = {
        graph: {stage.rpartition(":")[2] for run in runs(params, graph) for stage in run.stages}
        for graph in ("paper", "beyond")
    }
    assert of_runs == {"dvc.lock": expected["paper"], "beyond/dvc.lock": expected["beyond"]}
    assert "&id" not in (graph / "dvc.lock").read_text()


def test_results_come_back_from_the_cache(graph, made):
    for lost in (["models"], ["models", "reports"], ["models", "reports", "dvc.lock"]):
        remove(graph, *lost)
        with opened(["paper"]) as ledger:
            assert run_all(ledger, runs(made, "paper")) == []
            ledger.finish()
        assert is_up_to_date(anew=True)
        assert (graph / "models/baseline-full-1/decoder.weights.h5").read_text() == '{"decoder": "of the first"}'


def test_results_of_former_params_come_back_from_the_cache(graph, made):
    changed = write_params(graph, studies=STUDIES, train={"epochs": 7}, **NAMING)
    with opened(["paper"]) as ledger:
        assert len(run_all(ledger, runs(changed, "paper"), "of the second")) == 2 * len(ALL)
    write_params(graph, studies=STUDIES, **NAMING)
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(made, "paper")) == []
    assert (graph / RunFiles("paper", ALL[0]).history).read_text() == '{"history": "of the first"}'


def test_a_clone_without_models_data_and_cache_has_nothing_to_train(graph, made):
    remove(graph, "models", "data", ".dvc/cache", ".dvc/tmp")
    assert is_up_to_date()
    assert not is_up_to_date(anew=True)
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(made, "paper")) == []
        ledger.finish()
    assert not (graph / "models").exists()
    with opened(["paper"], anew=True) as ledger:
        assert len(run_all(ledger, runs(made, "paper"))) == 2 * len(ALL)
    assert is_up_to_date(anew=True)


@pytest.mark.usefixtures("made")
def test_a_further_seed_in_such_a_clone_trains_that_run_alone(graph):
    remove(graph, "models", "data", ".dvc/cache", ".dvc/tmp")
    text = (graph / "dvc.yaml").read_text()
    (graph / "dvc.yaml").write_text(text.replace("baseline-full-1]", "baseline-full-1, baseline-full-2]"))
    studies = STUDIES | {"paper": STUDIES["paper"] | {"seeds": [0, 1, 2]}}
    params = write_params(graph, studies=studies, **NAMING)
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(params, "paper")) == [*find_run(params, "baseline-full-2").stages]
        ledger.finish()
    assert (graph / "reports/paper/report.md").read_text().count("of the first") == 3
    assert [path.name for path in (graph / "models").iterdir()] == ["baseline-full-2"]


@pytest.mark.usefixtures("made")
def test_an_evaluation_that_needs_weights_that_are_not_here_is_an_error(graph):
    remove(graph, "models", "data", ".dvc/cache", ".dvc/tmp")
    changed = write_params(graph, studies=STUDIES, evaluate={"grid": 9}, **NAMING)
    with opened(["paper"]) as ledger:
        ledger.prepare(runs(changed, "paper"))
        with pytest.raises(UserError, match=r"models/baseline-full-0/encoder.weights.h5 is not here: .*ANEW=1"):
            ledger.plan(runs(changed, "paper")[0])


def test_a_stage_that_reads_models_that_are_not_here_is_left_out_and_keeps_what_it_made(graph, made):
    remove(graph, "models", "data", ".dvc/cache", ".dvc/tmp")
    before = (graph / "reports/paper/pictures").read_bytes()
    (graph / "drawing").write_text("another")
    (graph / "reports/paper/report.md").unlink()
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(made, "paper")) == []
        assert ledger.finish() == {"draw": ["models/baseline-full-0/samples.npz"]}
    assert (graph / "reports/paper/pictures").read_bytes() == before
    assert (graph / "reports/paper/report.md").read_text().count("of the first") == len(ALL)
    with opened(["paper"], anew=True) as ledger:
        run_all(ledger, runs(made, "paper"))
        assert ledger.finish() == {}
    assert (graph / "reports/paper/pictures").read_bytes() != before
    assert is_up_to_date(anew=True)


@pytest.mark.parametrize("lost", ["reports/paper/runs/baseline-full-0/metrics.json", "reports/paper/report.md"])
def test_what_git_has_and_was_deleted_is_made_again(graph, made, lost):
    before = (graph / lost).read_bytes()
    remove(graph, lost)
    assert not is_up_to_date()
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(made, "paper")) == []
        ledger.finish()
    assert (graph / lost).read_bytes() == before


@pytest.mark.parametrize("changed", ["code", "params.yaml", "data/processed/raw"])
def test_a_run_whose_inputs_change_while_it_runs_is_not_recorded(graph, params, changed):
    run = runs(params, "paper")[0]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        job = ledger.plan(run)
        ledger.begin(job)
        text = (graph / changed).read_text()
        (graph / changed).write_text(text.replace("epochs: 2", "epochs: 3") if changed == "params.yaml" else "other")
        with pytest.raises(UserError, match=rf"{changed.removesuffix('/raw')} .* changed since"):
            ledger.record(job, files_of(job))
    assert not (graph / "models").exists()
    assert f"{job.stage.name}:" not in (graph / "dvc.lock").read_text()


def test_code_that_changes_before_the_evaluation_begins_refuses_it(graph, params):
    run = runs(params, "paper")[0]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        job = ledger.plan(run)
        ledger.record(job, files_of(job))
        (graph / "judge").write_text("another judge")
        following = ledger.following(job)
        with pytest.raises(UserError, match=r"judge of evaluate_paper.* changed since"):
            ledger.begin(following)


def test_a_run_that_dvc_is_training_is_left_alone_and_the_reason_said(graph, params):
    run = runs(params, "paper")[0]
    command = [sys.executable, "-m", "dvc", "repro", "--quiet", run.stages[0]]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        job = ledger.plan(run)
        with subprocess.Popen(command, cwd=graph, stderr=subprocess.DEVNULL):
            deadline = time.monotonic() + 120
            while not (graph / "started").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            try:
                with pytest.raises(UserError, match="is busy, it is being blocked by"):
                    ledger.begin(job)
            finally:
                (graph / "go").touch()


def test_a_run_that_the_driver_trains_is_kept_from_dvc_and_the_reason_said(graph, params, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["driver"])
    run = runs(params, "paper")[0]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        job = ledger.plan(run)
        ledger.begin(job)
        dvc = [sys.executable, "-m", "dvc", "repro", run.stages[0]]
        refused = subprocess.run(dvc, cwd=graph, capture_output=True, text=True, check=False)
        assert refused.returncode != 0
        assert "driver" in refused.stderr
        assert not (graph / "started").exists()
        ledger.end(job)
        ledger.begin(job)


def test_dvc_lock_appears_whole_or_not_at_all(graph, params, full_disk, caplog):
    caplog.set_level(logging.WARNING, "dvc")  # pytest keeps what is logged in a file, too
    run = runs(params, "paper")[0]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        before = (graph / "dvc.lock").read_bytes()
        job = ledger.plan(run)
        ledger.record(job, files_of(job))
        with full_disk(100), pytest.raises(UserError, match=r"dvc\.lock could not be written: File too large"):
            ledger.close()
        assert (graph / "dvc.lock").read_bytes() == before
    assert job.stage.name in yaml.safe_load((graph / "dvc.lock").read_text())["stages"]


def test_a_place_that_dvc_cannot_write_is_named(graph, params):
    run = runs(params, "paper")[0]
    with opened(["paper"]) as ledger:
        ledger.prepare([run])
        job = ledger.plan(run)
        remove(graph, ".dvc/cache")
        (graph / ".dvc/cache").write_text("in the way")
        with pytest.raises(UserError, match=r"/\.dvc/cache\S* could not be read or written: "):
            ledger.record(job, files_of(job))
    lock = graph / ".dvc/tmp/lock"
    lock.unlink()
    lock.mkdir()
    with pytest.raises(UserError, match=r"/\.dvc/tmp/lock could not be read or written: Is a directory"):
        is_up_to_date()


def test_a_project_without_git_or_dvc_settings_is_worked_in(graph, params):
    (graph / ".dvc/config").write_text("")
    with opened(["paper"]) as ledger:
        assert run_all(ledger, runs(params, "paper")[:1])


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
