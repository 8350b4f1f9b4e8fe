"""Verify on a small published project; in place of training, a copy of it in which something may be broken."""

import contextlib
import json
import re
import shutil
import struct
from pathlib import Path

import h5py
import pytest
import yaml
from synthetic import write_evaluation, write_params, write_run

from digit_vae.base.errors import UserError
from digit_vae.base.files import write_bytes, write_json, write_text
from digit_vae.base.paths import CERTIFICATE, GRAPH_FILES, SMOKE, RunFiles
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS, find_run, run_params, runs
from digit_vae.evaluation.elbo import encode, measure
from digit_vae.model.vae import build_vae
from digit_vae.model.weights import weights_bytes
from digit_vae.verification import verify
from digit_vae.verification.evidence import md5, read_locks

FIRST, OTHER, BEYOND = "baseline-full-0", "dropout-fold0-0", "beta_2-fold1-0"
TO_COME = 4_000_000_000.0  # when its runs are trained: after any verification began
CHOSEN = ["baseline-full-0", "baseline-fold0-0", "dropout-fold0-0"]
STUDIES = {
    "paper": {"question": "Alike?", "variants": ["baseline"], "splits": ["full"], "seeds": [0, 1]},
    "ablation": {"question": "?", "variants": ["baseline", "dropout"], "splits": ["fold0", "fold1"], "seeds": [0]},
    "beta": {"question": "?", "variants": ["beta_2"], "splits": ["fold0", "fold1"], "seeds": [0], "beyond": True},
}
WEIGHTS = Path(f"reports/paper/weights/{FIRST}/encoder.weights.h5")
ROOT = Path(__file__).parents[2]


def history_of(run, graph="paper"):
    return f"reports/{graph}/runs/{run}/history.json"


@pytest.fixture(scope="module")
def measured(digits, small_params, cpu):  # noqa: ARG001 - it sets TensorFlow up
    """Weights of an untrained model, and what they are worth on 100 images: encoder, decoder, metrics."""
    vae = build_vae(run_params(small_params, find_run(small_params, FIRST)))
    encoded = encode(vae, digits[300:], small_params.evaluate)
    metrics = measure(encoded, small_params.evaluate.active_unit_variance)
    return weights_bytes(vae.encoder), weights_bytes(vae.decoder), metrics


@pytest.fixture(scope="module")
def template(measured, digits, tmp_path_factory):
    """A published project: weights are real, and of its first run the metrics too; all else is made up."""
    root = tmp_path_factory.mktemp("template")
    params = write_params(root, studies=STUDIES, publish={"paper": [FIRST], "beyond": []})
    for run in runs(params):
        its = run.files
        write_run(root, run.name, started_at=TO_COME, graph=run.graph)
        write_evaluation(root, run.name, graph=run.graph)
        write_bytes(root / its.digits, b"digits")
        for path, content in zip((its.encoder, its.decoder), measured, strict=False):
            write_bytes(root / path, content)
    first = RunFiles("paper", FIRST)
    change(root / first.history, "params", value=vars(run_params(params, find_run(params, FIRST))))
    change(root / first.metrics, "test", value=measured[2])
    shutil.copytree(root / first.models, root / first.published, ignore=shutil.ignore_patterns("*.npz"))
    write_bytes(root / "data/processed/splits/fold0-0.npy", b"split")
    shape = struct.pack(">HBB3I", 0, 8, 3, 100, 28, 28)  # an IDX file of unsigned bytes
    write_bytes(root / "data/raw/t10k-images-idx3-ubyte", shape + digits[300:].tobytes())
    with contextlib.chdir(root):
        write_locks(params)
    return root


@pytest.fixture
def published(template, project):
    shutil.copytree(template, project, dirs_exist_ok=True)
    return project


def write_locks(params):
    """As the graphs do, with what they keep of a run that is gone."""
    for graph in GRAPHS:
        stages = {}
        for run in runs(params, graph):
            its = RunFiles(graph, run.name)
            made = (its.encoder, its.decoder, its.history, its.timings), (its.samples, its.digits, its.metrics)
            names = (stage.rpartition(":")[2] for stage in run.stages)
            stages |= {name: outputs(paths) for name, paths in zip(names, made, strict=True)}
        write_text(GRAPH_FILES[graph].with_suffix(".lock"), yaml.safe_dump({"stages": stages}))
    content = yaml.safe_load(Path("dvc.lock").read_text(encoding="utf-8"))
    weights = RunFiles("paper", FIRST).published
    content["stages"] |= {
        "preprocess": outputs([Path("data/processed/splits")]),
        "publish@" + FIRST: outputs(weights.iterdir()),
        "evaluate_ablation@gone-fold0-0": {"outs": [{"path": "reports/paper/runs/gone-fold0-0/a.json", "md5": "x"}]},
    }
    write_text(Path("dvc.lock"), yaml.safe_dump(content))


def outputs(paths):
    return {"outs": [{"path": str(path), "md5": md5(path)} for path in paths]}


@pytest.fixture
def run_verify(published, tmp_path_factory, monkeypatch, run_stage, capsys):
    """Runs the command; `breaking` changes what training is said to have made. Returns: status, output, what was run.

    Otherwise that is what is published when the test begins. measuring: whether committed weights are measured, which
    takes seconds.
    """
    trained = shutil.copytree(published, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True)
    (trained / "params.yaml").unlink()  # that of the copy stays

    def run(*arguments, breaking=lambda _: None, measuring=False):
        asked = []

        def train(folder, module):
            asked.append(list(module))
            shutil.copytree(trained, folder, dirs_exist_ok=True)
            breaking(folder)

        monkeypatch.setattr(verify, "reproduce", train)
        if not measuring:
            monkeypatch.setattr(verify, "measure_weights", lambda *_: [])
        status = run_stage(lambda: verify.main(arguments))
        return status, "".join(capsys.readouterr()), asked

    return run


def change(path, *keys, value):
    """Replaces one value in a JSON file."""
    content = json.loads(path.read_text(encoding="utf-8"))
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write_json(path, content)


def change_weight(path):
    with h5py.File(path, "a") as file:
        found = []
        file.visit(lambda name: found.append(name) if isinstance(file[name], h5py.Dataset) else None)
        name = next(name for name in found if file[name].shape == (2,))  # the biases of z_mean or z_log_var
        file[name][1] += 0.5


def cut(path):
    write_bytes(path, path.read_bytes()[:-1000])


def certificate():
    return json.loads(CERTIFICATE.read_text(encoding="utf-8"))


def test_by_default_a_run_of_each_of_the_papers_variants_is_trained_and_a_certificate_is_written(run_verify, cpu):
    status, out, asked = run_verify(measuring=True)
    assert status == 0, out
    assert asked == [["digit_vae", "repro", "--runs", *CHOSEN, "--anew"]]
    found = certificate()
    assert found["holds"]
    assert found["machine"] == cpu
    compared = ["committed files", "arrays and splits", *CHOSEN, f"committed weights of {FIRST}"]
    assert [each["of"] for each in found["compared"]] == compared
    text = CERTIFICATE.with_suffix(".md").read_text(encoding="utf-8")
    assert text in out
    assert f"| {FIRST} | 6 files byte for byte | holds |" in text
    assert "measured on 100 test images" in text


def test_runs_are_chosen_by_name_or_all(run_verify):
    params = load_params()
    assert run_verify("--runs", "all")[2][0][3:-1] == [run.name for run in runs(params)]
    assert run_verify("--runs", OTHER, OTHER)[2][0][3:-1] == [OTHER]
    status, out, asked = run_verify("--runs", "dropout-fold7-0")
    assert (status, asked) == (1, [])
    assert "no run 'dropout-fold7-0'" in out


def test_what_is_not_published_is_named_and_left_out_of_all(run_verify):
    Path(history_of(BEYOND, "beyond")).unlink()
    _, out, asked = run_verify("--runs", "all")
    assert re.search(f"not published.*: {BEYOND}\n", out)
    assert {BEYOND, "beta_2-fold0-0"} & set(asked[0]) == {"beta_2-fold0-0"}


def test_a_run_beyond_the_paper_is_verified_by_its_name(run_verify):
    status, out, _ = run_verify("--runs", BEYOND)
    assert status == 0, out
    metrics = f"reports/beyond/runs/{BEYOND}/metrics.json"
    status, out, _ = run_verify(
        "--runs", BEYOND, breaking=lambda made: change(made / metrics, "test", "elbo", value=-1.0)
    )
    assert status == 1
    assert f"- {BEYOND}: metric test.elbo: expected " in out


def test_a_run_that_is_older_than_the_verification_proves_nothing(run_verify):
    timings = f"reports/paper/runs/{OTHER}/timings.json"
    status, out, _ = run_verify(breaking=lambda made: change(made / timings, "started_at", value=1_700_000_000.0))
    assert status == 1
    assert f"error: {OTHER} was not trained anew" in out
    assert not CERTIFICATE.exists()


def test_runs_that_are_in_no_lock_are_named_and_are_no_deviation(run_verify):
    lock = Path("beyond/dvc.lock")
    content = yaml.safe_load(lock.read_text(encoding="utf-8"))
    content["stages"] = {name: stage for name, stage in content["stages"].items() if BEYOND not in name}
    write_text(lock, yaml.safe_dump(content))
    status, out, _ = run_verify("--runs", BEYOND, OTHER)
    assert status == 0, out
    assert re.search(rf"^- in no lock.*: {BEYOND}$", out, re.MULTILINE)
    assert re.search(rf"{BEYOND} \| 3 epochs and .*no lock vouches \| holds", out)


def test_before_the_graph_beyond_has_run_it_has_no_lock(run_verify):
    Path("beyond/dvc.lock").unlink()
    status, out, _ = run_verify("--runs", OTHER)
    assert status == 0, out
    assert re.search(rf"^- in no lock.*{BEYOND}", out, re.MULTILINE)


def test_uncommitted_changes_are_said(run_verify, monkeypatch):
    monkeypatch.setattr(verify, "git_commit", lambda: "0" * 40 + "-dirty")
    status, out, _ = run_verify("--runs", OTHER)
    assert status == 0, out
    assert "warning: the working tree has changes" in out
    assert "- note: the working tree has changes" in CERTIFICATE.with_suffix(".md").read_text(encoding="utf-8")


def test_a_published_file_of_another_shape_is_refused_before_anything_is_trained(run_verify):
    change(Path(history_of(OTHER)), "epochs", value=3)
    status, out, asked = run_verify()
    assert (status, asked) == (1, [])
    assert re.search(rf"^error: {history_of(OTHER)} is damaged \(epochs: [^\n]+$", out, re.MULTILINE), out


BROKEN = {
    "weight": (
        lambda made: change_weight(made / f"models/{FIRST}/encoder.weights.h5"),
        rf"{FIRST}: encoder\S+ \S+\[1\]: expected 0\.0, received 0\.5, 0\.5 apart",
    ),
    "epoch": (
        lambda made: change(made / history_of(OTHER), "epochs", 1, "loss", value=1.0),
        rf"{OTHER}: epoch 2, loss: expected \d+\.\d+, received 1\.0, ",
    ),
    "damage": (
        lambda made: cut(made / f"models/{FIRST}/decoder.weights.h5"),
        rf"{FIRST}: decoder\.weights\.h5: expected files that can be read, received \S+ is damaged",
    ),
    "seed": (
        lambda made: change(made / history_of(OTHER), "params", "seed", value=3),
        f"{OTHER}: params seed: expected 0, received 3",
    ),
    "split": (
        lambda made: write_bytes(made / "data/processed/splits/fold0-0.npy", b"other"),
        r"arrays and splits: MD5 of data/processed/splits: expected \w+\.dir, received \w+\.dir",
    ),
    "samples": (
        lambda made: write_bytes(made / f"models/{OTHER}/samples.npz", b"others"),
        rf"{OTHER}: MD5 of samples\.npz: expected \w+, received \w+",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_training_makes_otherwise_is_named(run_verify, what):
    breaking, named = BROKEN[what]
    status, out, _ = run_verify(breaking=breaking)
    assert status == 1
    assert re.search(rf"^- {named}", out, re.MULTILINE), out
    assert not certificate()["holds"]


EDITED = {
    "metric": (
        lambda: change(Path(f"reports/paper/runs/{OTHER}/metrics.json"), "test", "elbo", value=-100.0),
        [rf"MD5 of reports/paper/runs/{OTHER}/metrics\.json", rf"{OTHER}: metric test\.elbo: expected -100"],
    ),
    "weight": (
        lambda: change_weight(WEIGHTS),
        [
            rf"committed files: MD5 of {re.escape(str(WEIGHTS))}",
            rf"{FIRST}: encoder\S+ \S+\[1\]: expected 0\.5, received 0\.0",
            rf"committed weights of {FIRST}: metric elbo: expected -\d+\.\d+, received -\d+\.\d+, ",
        ],
    ),
    "damage": (
        lambda: cut(WEIGHTS),
        [
            rf"{FIRST}: encoder\.weights\.h5: expected files that can be read, received reports/\S+ is damaged",
            rf"committed weights of {FIRST}: files: expected weights of this run, received reports/\S+ is damaged",
        ],
    ),
    "no weights": (
        WEIGHTS.unlink,
        [rf"committed weights of {FIRST}: files: expected weights of this run, received reports/\S+ is missing"],
    ),
    "split": (
        lambda: change(Path(history_of("dropout-fold1-0")), "data", "validation", value="f" * 64),
        [r"MD5 of reports/paper/runs/dropout-fold1-0/history\.json"],
    ),
    "beyond": (
        lambda: change(Path(f"reports/beyond/runs/{BEYOND}/metrics.json"), "test", "elbo", value=-100.0),
        [rf"MD5 of reports/beyond/runs/{BEYOND}/metrics\.json"],
    ),
}


@pytest.mark.parametrize("what", EDITED)
def test_what_is_published_otherwise_is_named(run_verify, what):
    edit, named = EDITED[what]
    edit()
    status, out, _ = run_verify(measuring=what in ("weight", "damage", "no weights"))
    assert status == 1
    assert not certificate()["holds"]
    for each in named:
        assert re.search(rf"^- .*{each}", out, re.MULTILINE), out


@pytest.mark.parametrize(("off", "holds"), [(4.0, True), (5.0, False)])
def test_on_another_machine_other_bytes_hold_within_the_tolerances(run_verify, off, holds):
    def elsewhere(made):
        for run in map(Path, CHOSEN):
            folder = made / "reports/paper/runs" / run
            change(folder / "timings.json", "machine", "cpu", value="Another CPU")
            value = json.loads((folder / "history.json").read_text(encoding="utf-8"))["epochs"][2]["loss"] + off
            change(folder / "history.json", "epochs", 2, "loss", value=value)

    status, out, _ = run_verify(breaking=elsewhere)
    assert (status == 0) == holds, out
    assert bool(re.search(rf"^- {OTHER}: epoch 3, loss: .*, 5 apart$", out, re.MULTILINE)) != holds
    assert "byte for byte" not in out


@pytest.mark.parametrize("seen", [True, False])
def test_on_another_processor_with_avx512_bytes_are_demanded_once_they_were_seen_there(run_verify, seen):
    files = [f"reports/paper/runs/{OTHER}/{name}.json" for name in ("timings", "evaluation")]
    for file in files:
        change(Path(file), "machine", "instruction_sets", value=["avx512f"])
    for cpu in ("A CPU", "Another CPU"):
        machine = {"cpu": cpu, "instruction_sets": ["avx512f"]}
        record = {"bytes_seen": seen or cpu == "A CPU", "machine": machine, "operations": {}}
        write_json(Path(f"reports/processors/{cpu}.json"), record)

    write_locks(load_params())
    loss = json.loads(Path(history_of(OTHER)).read_text(encoding="utf-8"))["epochs"][2]["loss"]

    def elsewhere(made):
        for file in files:
            change(made / file, "machine", "instruction_sets", value=["avx512f"])
            change(made / file, "machine", "cpu", value="Another CPU")
        change(made / history_of(OTHER), "epochs", 2, "loss", value=loss + 1)

    status, out, _ = run_verify("--runs", OTHER, breaking=elsewhere)
    assert (status == 0) != seen, out
    assert bool(re.search(rf"^- {OTHER}: MD5 of history", out, re.MULTILINE)) == seen
    assert bool(re.search(r"within tolerances.*; .*Another CPU yet: 1 of 6 files differ", out)) != seen
    assert re.search(rf"^- bytes were seen.*: A CPU{', Another CPU' if seen else ''}$", out, re.MULTILINE)


WIDE = {"cpu": "A CPU", "instruction_sets": ["avx512f"]}


def on_machine(root, changes):
    """All runs below `root` were trained and evaluated on such a machine."""
    for run in runs(load_params()):
        for file in ("timings.json", "evaluation.json"):
            for key, value in changes.items():
                change(root / run.files.reports / file, "machine", key, value=value)


@pytest.mark.parametrize(
    ("here", "listed", "off", "holds", "said"),
    [
        ({"cpu": "Seen"}, ["A CPU", "Seen"], 0.0, True, r"6 files byte for byte"),
        ({"cpu": "Seen"}, ["A CPU", "Seen"], 0.1, False, r"6 files byte for byte"),
        ({"cpu": "New"}, ["A CPU"], 0.0, True, r"within tolerances.*; all bytes of 6 files hold on New too: add this"),
        ({"cpu": "New"}, ["A CPU"], 0.1, True, r"within tolerances.*; nobody saw bytes hold on New yet: 1 of 6 files"),
        ({"cpu": "New"}, ["A CPU"], 1.0, False, r"within tolerances.*; nobody saw bytes hold on New yet: 1 of 6 files"),
        ({"cpu": "New"}, ["New"], 0.1, True, r"within tolerances.*; nobody saw bytes hold on A CPU yet: 1 of 6 files"),
        (
            {"instruction_sets": ["avx2"]},
            ["A CPU"],
            0.1,
            True,
            r"within tolerances.*; .*not compared: other instruction_sets",
        ),
        ({"instruction_sets": ["avx2"]}, ["A CPU"], 1.0, False, r"within tolerances.*; .*not compared: other instruct"),
    ],
)
def test_quick_demands_bytes_where_they_were_seen_and_elsewhere_says_that_tolerances_decide(
    run_verify, here, listed, off, holds, said
):
    for cpu in listed:
        record = {"bytes_seen": True, "machine": WIDE | {"cpu": cpu}, "operations": {}}
        write_json(Path(f"reports/processors/{cpu}.json"), record)
    assert run_verify("--quick", "--record", breaking=lambda made: on_machine(made, WIDE))[0] == 0
    loss = json.loads(Path(history_of(OTHER)).read_text(encoding="utf-8"))["epochs"][2]["loss"]

    def elsewhere(made):
        on_machine(made, WIDE | here)
        change(made / history_of(OTHER), "epochs", 2, "loss", value=loss + off)

    status, out, _ = run_verify("--quick", breaking=elsewhere)
    assert (status == 0) == holds, out
    assert re.search(rf"^\| {OTHER} \| .*{said}", out, re.MULTILINE), out


def test_a_damaged_record_of_a_processor_is_named_before_anything_is_trained(run_verify):
    write_text(Path("reports/processors/a-cpu.json"), "{")
    status, out, asked = run_verify("--runs", OTHER)
    assert (status, asked) == (1, [])
    assert re.search(r"^error: reports/processors/a-cpu\.json is damaged ", out, re.MULTILINE)


def test_quick_holds_the_smoke_graph_against_its_record(run_verify):
    status, out, asked = run_verify("--quick")
    assert (status, asked) == (1, [])
    assert "smoke.json is missing: `make verify QUICK=1 RECORD=1`" in out
    status, out, asked = run_verify("--quick", "--record")
    assert status == 0, out
    assert asked == [["digit_vae", "repro"]]
    assert "recorded 6 runs in reports/smoke.json\n" in out
    write_text(Path("summary.md"), "before\n")
    status, out, _ = run_verify("--quick", "--summary", "summary.md")
    assert status == 0, out
    assert not CERTIFICATE.exists()
    told = Path("summary.md").read_text(encoding="utf-8")
    assert re.match("before\n# Certificate .*Everything holds", told, re.DOTALL)
    assert told.removeprefix("before\n").strip() in out

    status, out, _ = run_verify(
        "--quick", breaking=lambda made: change_weight(made / f"models/{FIRST}/encoder.weights.h5")
    )
    assert status == 1
    assert f"- {FIRST}: MD5 of encoder.weights.h5: " in out


def test_a_summary_that_cannot_be_written_is_said_before_anything_is_trained(run_verify):
    write_text(CERTIFICATE, "of an earlier call")
    status, out, asked = run_verify("--summary", "params.yaml/summary.md")
    assert (status, asked) == (1, [])
    assert "error: params.yaml/summary.md could not be written" in out
    assert CERTIFICATE.exists()


def test_where_the_summary_is_lost_at_the_end_the_certificate_stays(run_verify):
    def leave_no_room(_):
        Path("summary.md").unlink()
        Path("summary.md").mkdir()

    status, out, _ = run_verify("--summary", "summary.md", breaking=leave_no_room)
    assert status == 1
    assert "error: summary.md could not be written" in out
    assert certificate()["holds"]


def test_a_record_of_other_runs_is_refused_before_anything_is_trained(run_verify):
    assert run_verify("--quick", "--record")[0] == 0
    change(SMOKE, "runs", value={})
    status, out, asked = run_verify("--quick")
    assert (status, asked) == (1, [])
    assert "smoke.json has other runs than params.yaml: `make verify QUICK=1 RECORD=1`" in out


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        *((["runs"], 3), (["runs", FIRST], []), (["runs", FIRST, "epochs", 1], None), (["runs", FIRST, "metrics"], [])),
        *((["runs", FIRST, "md5"], {}), (["runs", FIRST, "machine"], None), (["runs", FIRST, "more"], 1)),
        *((["runs", FIRST, "weights"], "a path"), (["arrays"], 3), (["arrays"], {"a": 3})),
    ],
)
def test_a_record_of_another_shape_is_refused_before_anything_is_trained(run_verify, keys, value):
    assert run_verify("--quick", "--record")[0] == 0
    change(SMOKE, *keys, value=value)
    status, out, asked = run_verify("--quick")
    assert (status, asked) == (1, [])
    assert re.search(
        r"^error: \S+ is damaged \([^\n]+\): [^\n]*`make verify QUICK=1 RECORD=1`[^\n]*$", out, re.MULTILINE
    )


def test_each_run_of_a_record_is_held_against_its_own_machine(run_verify):
    def in_another_precision(made):
        change(made / f"reports/paper/runs/{FIRST}/timings.json", "machine", "precision", value="mixed_bfloat16")

    assert run_verify("--quick", "--record", breaking=in_another_precision)[0] == 0
    status, out, _ = run_verify("--quick", breaking=in_another_precision)
    assert status == 0, out
    assert out.count("6 files byte for byte") == 6
    status, out, _ = run_verify("--quick")
    assert out.count("6 files byte for byte") == 5


def test_arguments_that_exclude_each_other_are_refused(run_verify):
    for arguments in (("--quick", "--runs", OTHER), ("--record",)):
        status, out, asked = run_verify(*arguments)
        assert (status, asked) == (1, [])
        assert "--quick" in out


@pytest.mark.parametrize("error", [UserError("the graph did not run through"), KeyboardInterrupt()])
def test_where_it_ends_early_no_certificate_is_left(run_verify, error):
    assert run_verify()[0] == 0
    certificates = [CERTIFICATE, CERTIFICATE.with_suffix(".md")]
    assert all(path.is_file() for path in certificates)

    def end(_):
        raise error

    assert run_verify(breaking=end)[0] != 0
    assert not any(path.exists() for path in certificates)


def test_where_nobody_reads_the_output_the_certificate_is_written_all_the_same(run_verify, monkeypatch):
    def gone(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(verify, "print", gone, raising=False)
    assert run_verify()[0] != 0
    assert certificate()["holds"]


def test_where_the_locks_cannot_be_read_an_earlier_certificate_stays(run_verify):
    assert run_verify()[0] == 0
    write_text(Path("dvc.lock"), "[")
    assert run_verify()[0] == 1
    assert certificate()["holds"]


def test_a_certificate_that_cannot_be_removed_is_named_before_anything_is_trained(run_verify):
    CERTIFICATE.with_suffix(".md").mkdir()
    status, out, asked = run_verify()
    assert (status, asked) == (1, [])
    assert "certificate.md could not be deleted" in out


@pytest.mark.skipif(not (ROOT / "dvc.lock").is_file(), reason="nothing has been made here yet")
def test_the_projects_committed_files_are_those_of_its_locks(monkeypatch):
    monkeypatch.chdir(ROOT)
    params = load_params()
    committed = verify.committed_files(read_locks(params))
    assert verify.compare_files("committed files", Path(), committed).deviations == []
    assert {str(RunFiles("paper", run).history) for run in params.publish.paper} <= committed.keys()
