"""`make verify` on a small published project; in place of training, a copy of it in which something may be broken."""

import json
import re
import shutil
from pathlib import Path

import h5py
import pytest
import yaml
from synthetic import history, timings

from digit_vae.base.errors import UserError
from digit_vae.evaluation.elbo import encode, measure
from digit_vae.base.files import write_bytes, write_json, write_text
from digit_vae.model.vae import build_vae
from digit_vae.config.params import FULL, Run, find_run, load_params, run_params, runs
from digit_vae.verification.comparison import md5
from pipeline import publish, verify
from digit_vae.verification.smoke import SMALL

VARIANTS = {
    "baseline": {"splits": ["full", "folds"]},
    "beta_2": {"splits": ["folds"], "beta": 2.0, "extended": True},
    "dropout": {"splits": ["folds"], "dropout": 0.2},
    "second_run": {"splits": ["full"], "seed": 1},
}
TO_COME = 4_000_000_000.0  # when its runs are trained: after any verification began
FIRST = "baseline-full"
WEIGHTS = f"models/{FIRST}/model.weights.h5"
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("cpu")


@pytest.fixture(scope="module")
def measured(digits, tmp_path_factory):
    """Weights of an untrained model, and what they are worth on 100 images: bytes and metrics."""
    params = load_params(ROOT / "params.yaml")
    vae = build_vae(run_params(params, Run("baseline", FULL)))
    path = tmp_path_factory.mktemp("weights") / "model.weights.h5"
    vae.save_weights(path)
    encoded = encode(vae, digits[300:], params.evaluate)
    return path.read_bytes(), measure(encoded, params.evaluate.active_unit_variance)


@pytest.fixture
def published(project, measured, digits, cpu, idx_bytes, run_stage):
    """A published project: of plot.first_run weights and metrics are real, all else is made up."""
    content = yaml.safe_load((project / "params.yaml").read_text())
    content |= {"variants": VARIANTS, "plot": {"first_run": FIRST, "second_run": "baseline-0"}}
    content["preprocess"]["folds"] = 2
    (project / "params.yaml").write_text(yaml.safe_dump(content))
    params = load_params()
    for run in runs(params):
        folder = project / run.folder
        settings = vars(run_params(params, run))
        write_json(folder / "history.json", history(run.name) | {"params": settings})
        write_json(folder / "timings.json", timings(run.name, started_at=TO_COME) | {"machine": cpu})
        write_bytes(folder / "model.weights.h5", measured[0])
        write_bytes(folder / "digits.npz", b"digits")
        write_bytes(folder / "samples.npz", b"samples")
        write_json(project / run.metrics, {"validation": measured[1], "test": measured[1]})
    write_json(publish.MANIFEST, {"sha256": {f"folds/{fold}.npy": str(fold) * 64 for fold in (0, 1)}})
    write_json(publish.CLASSIFIER, {"accuracy": 0.99})
    write_bytes(verify.TEST_IMAGES, idx_bytes(digits[300:, ..., 0]))
    write_locks(params)
    assert run_stage(publish.main) == run_stage(publish.main, "--extended") == 0
    return project


def write_locks(params):
    """As the graphs do before they publish."""
    for lock, extended in ((verify.LOCK, False), (verify.EXTENDED_LOCK, True)):
        folders = [run.folder for run in runs(params, extended=extended)]
        files = [path for folder in folders for path in folder.iterdir()]
        if not extended:
            files += [publish.MANIFEST, *(run.metrics for run in runs(params, extended=False))]
        gone = {"outs": [{"path": "reports/metrics/runs/removed-0.json", "md5": "x"}]}
        outs = [{"path": str(path), "md5": md5(path)} for path in files]
        stages = {"everything": {"outs": outs}, "evaluate@removed-0": gone}
        write_text(lock, yaml.safe_dump({"stages": stages}))


@pytest.fixture
def run_verify(published, tmp_path_factory, monkeypatch, run_stage, capsys):
    """Runs the command; `breaking` changes what training is said to have made. Returns: status, output, what was asked.

    Otherwise that is what is published when the test begins.
    """
    trained = shutil.copytree(published, tmp_path_factory.mktemp("trained"), dirs_exist_ok=True)

    def run(*arguments, breaking=lambda _: None):
        asked = []

        def copy(folder, sections):
            asked.append(sections)
            shutil.copytree(trained, folder, dirs_exist_ok=True)

        def train(folder, module):
            asked.append(module)
            breaking(folder)

        monkeypatch.setattr(verify, "copy_project", copy)
        monkeypatch.setattr(verify, "reproduce", train)
        status = run_stage(verify.main, *arguments)
        return status, "".join(capsys.readouterr()), asked

    return run


def change(path, *keys, value):
    """Replaces one number in a JSON file."""
    content = json.loads(path.read_text())
    inner = content
    for key in keys[:-1]:
        inner = inner[key]
    inner[keys[-1]] = value
    write_json(path, content)


def change_weight(path):
    with h5py.File(path, "a") as file:
        file["encoder/layers/dense_1/vars/1"][1] += 0.5  # z_mean, one of two


def cut(path):
    write_bytes(path, path.read_bytes()[:-1000])


def test_by_default_a_run_of_each_variant_is_trained_but_of_extended_ones_and_a_certificate_is_written(
    published, run_verify, cpu
):
    status, out, asked = run_verify()
    assert status == 0, out
    names = [FIRST, "baseline-0", "dropout-0", "second_run-full"]
    assert asked == [{}, ("digit_vae.driver.scheduler", "--runs", *names)]
    certificate = json.loads((published / "reports/certificate.json").read_text())
    assert certificate["holds"]
    assert certificate["machine"] == cpu
    compared = ["committed files", "arrays and folds", *names, f"published weights of {FIRST}"]
    assert [each["of"] for each in certificate["compared"]] == compared
    text = (published / "reports/certificate.md").read_text()
    assert text in out
    assert f"| {FIRST} | 5 files byte for byte, " in text
    assert "| measured on 100 test images, to 0.001 nats | holds |" in text


def test_runs_are_chosen_by_name_or_all(run_verify):
    every = [
        "baseline-full",
        *(f"{variant}-{fold}" for variant in ("baseline", "beta_2", "dropout") for fold in (0, 1)),
        "second_run-full",
    ]
    assert run_verify("--runs", "all")[2][1] == ("digit_vae.driver.scheduler", "--runs", *every)
    assert run_verify("--runs", "dropout-1", "dropout-1")[2][1] == ("digit_vae.driver.scheduler", "--runs", "dropout-1")
    status, out, asked = run_verify("--runs", "dropout-7")
    assert (status, asked) == (1, [])
    assert "there is no run 'dropout-7'" in out


def test_what_is_not_published_is_named_and_left_out_of_all(published, run_verify):
    (published / "reports/extended/runs/beta_2-0.history.json").unlink()
    _, out, asked = run_verify("--runs", "all")
    assert "not published, and so left out: beta_2-0\n" in out
    assert {"beta_2-0", "beta_2-1"} & set(asked[1]) == {"beta_2-1"}


def test_an_extended_run_is_verified_by_its_name(run_verify):
    status, out, asked = run_verify("--runs", "beta_2-1")
    assert status == 0, out
    assert asked[1] == ("digit_vae.driver.scheduler", "--runs", "beta_2-1")
    metrics = "extended/models/beta_2-1/metrics.json"
    status, out, _ = run_verify(
        "--runs", "beta_2-1", breaking=lambda made: change(made / metrics, "test", "elbo", value=-100.0)
    )
    assert status == 1
    assert "- beta_2-1: metric test.elbo: expected " in out


def test_a_run_that_is_older_than_the_verification_proves_nothing(published, run_verify):
    timings_file = "models/dropout-0/timings.json"
    status, out, _ = run_verify(breaking=lambda made: change(made / timings_file, "started_at", value=1_700_000_000.0))
    assert status == 1
    assert "error: dropout-0 was not trained anew: its training began before this verification" in out
    assert not (published / "reports/certificate.json").exists()


def test_uncommitted_changes_are_said(published, run_verify, monkeypatch):
    monkeypatch.setattr(verify, "git_commit", lambda: "0" * 40 + "-dirty")
    status, out, _ = run_verify("--runs", "dropout-1")
    assert status == 0, out
    assert f"warning: {verify.UNCOMMITTED}\n" in out
    assert f"- note: {verify.UNCOMMITTED}\n" in (published / "reports/certificate.md").read_text()


HISTORY = "reports/published/dropout-0.history.json"


@pytest.mark.parametrize(
    ("file", "keys", "value"),
    [
        (HISTORY, ["params"], []),
        (HISTORY, ["data"], None),
        (HISTORY, ["epochs"], 3),
        (HISTORY, ["epochs"], "abc"),
        (HISTORY, ["epochs", 1], {}),
        (HISTORY, ["epochs", 1], 7),
        (f"reports/published/{FIRST}.history.json", ["params"], 3),
        ("reports/published/dropout-0.timings.json", ["machine"], []),
        ("reports/metrics/runs/dropout-0.json", ["test"], 3),
        ("reports/published/manifest.json", ["sha256"], 3),
    ],
)
def test_a_published_file_of_another_shape_is_refused_before_anything_is_trained(
    published, run_verify, file, keys, value
):
    change(published / file, *keys, value=value)
    status, out, asked = run_verify()
    assert (status, asked) == (1, [])
    assert re.search(r"^error: [^\n]+ is damaged \([^\n]+\): `git checkout reports", out, re.MULTILINE), out


@pytest.mark.parametrize(
    ("breaking", "named"),
    [
        (
            lambda made: change_weight(made / WEIGHTS),
            rf"{FIRST}: tensor \S+dense_1\S+\[1\]: expected 0\.0, received 0\.5, 0\.5 apart",
        ),
        (
            lambda made: change(made / "models/dropout-0/history.json", "epochs", 1, "loss", value=1.0),
            r"dropout-0: epoch 2, loss: expected \d+\.\d+, received 1\.0, ",
        ),
        (
            lambda made: write_text(
                made / "models/dropout-0/history.json",
                re.sub(
                    r'"kl_loss": \d.*', '"kl_loss": NaN,', (made / "models/dropout-0/history.json").read_text(), count=1
                ),
            ),
            r"dropout-0: epoch 1, kl_loss: expected \d+\.\d+, received nan, nan apart",
        ),
        (
            lambda made: cut(made / WEIGHTS),
            rf"{FIRST}: weights as trained anew: expected a file that can be read, received \S+ is damaged",
        ),
        (
            lambda made: change(made / "models/dropout-0/history.json", "params", "seed", value=3),
            "dropout-0: params seed: expected 0, received 3",
        ),
        (
            lambda made: change(made / "data/processed/manifest.json", "sha256", "folds/1.npy", value="0" * 64),
            r"preprocess: SHA-256 of folds/1\.npy: expected 1{64}, received 0{64}",
        ),
        (
            lambda made: write_bytes(made / "models/dropout-0/samples.npz", b"others"),
            r"dropout-0: MD5 of samples\.npz: expected \w+, received \w+",
        ),
    ],
    ids=["weight", "epoch", "no number", "damage", "seed", "fold", "samples"],
)
def test_what_training_makes_otherwise_is_named(published, run_verify, breaking, named):
    status, out, _ = run_verify(breaking=breaking)
    assert status == 1
    assert re.search(rf"^- {named}", out, re.MULTILINE)
    assert "error: not as published (see above): " in out
    assert not json.loads((published / "reports/certificate.json").read_text())["holds"]


@pytest.mark.parametrize(
    ("breaking", "named"),
    [
        (
            lambda: change(Path("reports/metrics/runs/dropout-0.json"), "test", "elbo", value=-100.0),
            [r"reports/metrics/runs/dropout-0\.json: MD5 in dvc\.lock", r"dropout-0: metric test\.elbo: expected -100"],
        ),
        (
            lambda: change_weight(publish.PUBLISHED / f"{FIRST}.model.weights.h5"),
            [
                rf"reports/published/{FIRST}\.model\.weights\.h5: MD5 in dvc\.lock",
                rf"{FIRST}: tensor \S+dense_1\S+\[1\]: expected 0\.5, received 0\.0",
                rf"published weights of {FIRST}: metric elbo: expected -\d+\.\d+, received -\d+\.\d+, ",
            ],
        ),
        (
            lambda: cut(publish.PUBLISHED / f"{FIRST}.model.weights.h5"),
            [
                rf"{FIRST}: weights as published: expected a file that can be read, received {FIRST}\S+ is damaged",
                rf"published weights of {FIRST}: file: expected weights of this run, received reports/\S+ is damaged",
            ],
        ),
        (
            (publish.PUBLISHED / f"{FIRST}.model.weights.h5").unlink,
            [rf"published weights of {FIRST}: file: expected weights of this run, received reports/\S+ is missing"],
        ),
        (
            lambda: change(publish.PUBLISHED / "dropout-1.history.json", "data", "validation", value="f" * 64),
            [r"reports/published/dropout-1\.history\.json: MD5 in dvc\.lock"],
        ),
        (
            lambda: change(publish.METRICS / "beta_2-1.json", "test", "elbo", value=-100.0),
            [r"reports/metrics/runs/beta_2-1\.json: MD5 in dvc\.lock"],
        ),
    ],
    ids=["metric", "weight", "damage", "no weights", "fold", "extended"],
)
def test_what_is_published_otherwise_is_named(published, run_verify, breaking, named):
    breaking()
    status, out, _ = run_verify()
    assert status == 1
    assert not json.loads((published / "reports/certificate.json").read_text())["holds"]
    for each in named:
        assert re.search(rf"^- {each}", out, re.MULTILINE), out


def test_on_another_machine_other_bytes_hold_within_the_tolerances(run_verify):
    def elsewhere(off):
        def breaking(made):
            for run in runs(load_params()):
                change(made / run.folder / "timings.json", "machine", "cpu", value="Another CPU")
                value = json.loads((made / run.folder / "history.json").read_text())["epochs"][2]["loss"] + off
                change(made / run.folder / "history.json", "epochs", 2, "loss", value=value)

        return breaking

    status, out, _ = run_verify(breaking=elsewhere(11.0))
    assert status == 0, out
    assert "3 epochs and 8 of 16 metrics within tolerances | holds |" in out
    status, out, _ = run_verify(breaking=elsewhere(13.0))
    assert status == 1
    assert re.search(r"^- dropout-0: epoch 3, loss: .*, 13 apart$", out, re.MULTILINE)


@pytest.mark.usefixtures("published")
def test_local_weights_serve_where_they_are_those_of_the_lock():
    locked = verify.outputs(load_params())
    for run in (Run("dropout", "0"), Run("beta_2", "0", extended=True)):
        local = run.folder / "model.weights.h5"
        assert verify.published(run, locked).weights == local
        change_weight(local)
        assert verify.published(run, locked).weights is None


@pytest.mark.usefixtures("published")
def test_before_the_extended_runs_are_trained_they_have_no_lock():
    with_them = verify.outputs(load_params())
    verify.EXTENDED_LOCK.unlink()
    without = verify.outputs(load_params())
    assert with_them.keys() - without.keys() == {
        str(path) for fold in (0, 1) for path in Run("beta_2", str(fold), extended=True).folder.iterdir()
    }


def test_quick_holds_the_smoke_graph_against_its_record(published, run_verify):
    status, out, _ = run_verify("--quick")
    assert status == 1
    assert "reports/smoke.json is missing: `make verify QUICK=1 RECORD=1` makes it" in out
    status, out, asked = run_verify("--quick", "--record")
    assert status == 0, out
    assert asked == [SMALL, ("digit_vae.driver.scheduler",)]
    assert "recorded 6 runs and 2 arrays in reports/smoke.json\n" in out
    assert run_verify("--quick")[0] == 0, out
    assert not (published / "reports/certificate.json").exists()

    status, out, _ = run_verify(
        "--quick", breaking=lambda made: change_weight(made / "models/dropout-1/model.weights.h5")
    )
    assert status == 1
    assert "- dropout-1: MD5 of model.weights.h5: " in out


def test_a_record_of_other_runs_is_refused_before_anything_is_trained(published, run_verify):
    assert run_verify("--quick", "--record")[0] == 0
    change(published / "reports/smoke.json", "runs", value={})
    status, out, asked = run_verify("--quick")
    assert (status, asked) == (1, [SMALL])
    assert "reports/smoke.json has other runs than params.yaml: `make verify QUICK=1 RECORD=1` writes it anew" in out


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (["runs"], 3),
        (["runs", "dropout-0"], []),
        (["runs", "dropout-0", "history"], {}),
        (["runs", "dropout-0", "history", "epochs", 1], None),
        (["runs", "dropout-0", "metrics"], []),
        (["runs", "dropout-0", "md5"], {}),
        (["runs", "dropout-0", "machine"], None),
        (["runs", "dropout-0", "weights"], "a path"),
        (["arrays"], 3),
    ],
)
def test_a_record_of_another_shape_is_refused_before_anything_is_trained(published, run_verify, keys, value):
    write_json(verify.SMOKE, verify.smoke_record(published, load_params()))
    change(verify.SMOKE, *keys, value=value)
    status, out, asked = run_verify("--quick")
    assert (status, asked) == (1, [SMALL])
    assert re.search(
        r"^error: \S+ is damaged \([^\n]+\): `make verify QUICK=1 RECORD=1` writes it anew$", out, re.MULTILINE
    )


def test_each_run_of_a_record_is_held_against_its_own_machine(run_verify):
    def in_another_precision(made):
        change(made / "models/dropout-1/timings.json", "machine", "precision", value="mixed_bfloat16")

    assert run_verify("--quick", "--record", breaking=in_another_precision)[0] == 0
    status, out, _ = run_verify("--quick", breaking=in_another_precision)
    assert status == 0, out
    assert out.count("5 files byte for byte") == 6


def test_all_runs_at_smoke_size_and_chosen_ones_exclude_each_other(run_verify):
    status, out, asked = run_verify("--quick", "--runs", "dropout-1")
    assert (status, asked) == (1, [])
    assert "--quick (QUICK=1) takes all runs at smoke size: expected no --runs (RUNS) beside it" in out


@pytest.mark.parametrize("error", [UserError("the graph did not run through"), OSError(28, "No space left", "copy/x")])
def test_where_it_ends_early_no_certificate_is_left(published, run_verify, error):
    assert run_verify()[0] == 0
    certificates = [published / f"reports/certificate.{kind}" for kind in ("json", "md")]
    assert all(path.is_file() for path in certificates)

    def end(_):
        raise error

    status, out, _ = run_verify(breaking=end)
    assert status == 1
    assert "error: the graph did not run" in out or "error: copy/x could not be read or written: No space left" in out
    assert not any(path.exists() for path in certificates)


def test_a_certificate_that_cannot_be_removed_is_named_before_anything_is_trained(published, run_verify):
    (published / "reports/certificate.md").mkdir()
    status, out, asked = run_verify()
    assert (status, asked) == (1, [])
    assert "error: reports/certificate.md could not be removed: " in out


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"stages: [",
        b"stages: 3",
        b"{}",
        b"<<<<<<< HEAD\nschema: '2.0'\n=======\n",
        b"stages: {a: {outs: [{path: x}]}}",
        b"stages: {a: {outs: 3}}",
        b"stages: {a: }",
    ],
)
def test_a_damaged_lock_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "dvc.lock").write_bytes(content)
    with pytest.raises(UserError, match=r"^\S+/dvc\.lock is damaged \([^\n]+\): `git checkout \S+` brings [^\n]+$"):
        verify.locked_stages(tmp_path / "dvc.lock")


def test_without_a_lock_there_is_nothing_to_hold_against(published, run_verify):
    (published / "dvc.lock").unlink()
    status, out, _ = run_verify()
    assert status == 1
    assert "error: dvc.lock is missing: `make repro` makes it" in out


def test_the_committed_files_are_those_of_the_lock(monkeypatch):
    monkeypatch.chdir(ROOT)
    compared = verify.verify_committed(load_params(), verify.outputs(load_params()))
    assert compared.deviations == []
    assert int(re.search(r"\d+(?= in dvc)", compared.how)[0]) > 2 * len(runs(load_params(), extended=False))


if (ROOT / verify.TEST_IMAGES).is_file():  # a fresh clone has none: there `make verify QUICK=1` does this, also in CI

    def test_the_published_weights_give_the_published_losses(monkeypatch):
        monkeypatch.chdir(ROOT)
        params = load_params()
        first = verify.published(find_run(params, params.plot.first_run), {})
        compared = verify.compare_weights(params, first, verify.TEST_IMAGES)
        assert compared.deviations == []
        assert compared.how.startswith("measured on 10,000 test images")
