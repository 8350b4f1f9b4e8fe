"""`make verify`: trains runs anew in a temporary copy of this folder, and holds them against what is published.

    python -m digit_vae.verification.verify                              # plot.first_run, and a run of each variant not extended
    python -m digit_vae.verification.verify --runs dropout-2 improved-0
    python -m digit_vae.verification.verify --runs all
    python -m digit_vae.verification.verify --quick                      # all runs at smoke size, against reports/smoke.json
    python -m digit_vae.verification.verify --quick --record             # writes reports/smoke.json anew

Published are dvc.lock and the files below reports/: these two are held against each other, too, and the published
weights are measured once more. Writes reports/certificate.json and .md, of which none is left where it ends early
(`--quick` only prints it); the exit status is 0 only when all holds. digit_vae.verification.comparison says what is compared,
params.yaml how far another machine may be off.
"""

import argparse
import json
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from digit_vae.data import sources as mnist
from digit_vae.base.provenance import git_commit
from digit_vae.base.errors import UserError, exit_status
from digit_vae.evaluation.elbo import encode, load_vae, measure
from digit_vae.base.files import read_json, write_json, write_text
from digit_vae.model.device import select_device
from digit_vae.config.params import FOLDS, Params, Run, find_run, load_params, read_run_params, runs
from digit_vae.base.progress import clock
from digit_vae.verification.comparison import (
    EXACT,
    FILES,
    Compared,
    Deviation,
    Evidence,
    Tolerance,
    certificate,
    certificate_text,
    compare,
    compare_arrays,
    compare_committed,
    compare_metrics,
    md5,
)
from digit_vae.analysis.publish import MANIFEST, METRICS, PUBLISHED, copy_of, extended_originals, originals
from digit_vae.verification.smoke import DRIVER, SMALL, copy_project, reproduce

LOCK, EXTENDED_LOCK = Path("dvc.lock"), Path("extended/dvc.lock")
CERTIFICATE = Path("reports/certificate.json")
SMOKE = Path("reports/smoke.json")
UNCOMMITTED = "the working tree has changes that are not committed: what is verified is not the commit"
TEST_IMAGES = Path("data/raw") / mnist.TEST_IMAGES.name


def chosen_runs(params: Params, names: Sequence[str]) -> list[Run]:
    """The runs called `names`, or all that are published; where none is named, plot.first_run and the first fold of
    each variant that is not extended, or the one run of those without folds.
    """
    if list(names) == ["all"]:
        unpublished = [run for run in runs(params, extended=True) if not copy_of(run, "history.json").is_file()]
        if unpublished:
            print(f"not published, and so left out: {', '.join(run.name for run in unpublished)}")
        return [run for run in runs(params) if run not in unpublished]
    if names:
        return [find_run(params, name) for name in dict.fromkeys(names)]
    unfolded = {name for name, variant in params.variants.items() if FOLDS not in variant.splits}
    default = runs(params, extended=False)
    return [run for run in default if run.name == params.plot.first_run or run.split == "0" or run.variant in unfolded]


@contextmanager
def refusing_damage(what: object, remedy: str) -> Iterator[None]:
    """Files that are no YAML or JSON, or of another shape than the stages write. Raises: UserError that says so."""
    try:
        yield
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = textwrap.shorten(f"{type(error).__name__}: {error}", 200, placeholder=" ...")
        raise UserError(f"{what} is damaged ({reason}): {remedy}") from error


def outputs(params: Params) -> dict[str, str]:
    """The MD5 of each output by its path, as both locks have them; they may also have runs that there are no longer."""
    found = {}
    for lock, extended in {LOCK: False, EXTENDED_LOCK: True}.items():
        declared = {run.name for run in runs(params, extended=extended)}
        for name, outs in locked_stages(lock).items():
            found |= outs if "@" not in name or name.split("@")[1] in declared else {}
    return found


def locked_stages(lock: Path) -> dict[str, dict[str, str]]:
    """Of each stage in a dvc.lock the MD5 of each output by its path; before `make extended` there are none of its."""
    if lock == EXTENDED_LOCK and not lock.exists():
        return {}
    if not lock.is_file():
        raise UserError(f"{lock} is missing: `make repro` makes it")
    with refusing_damage(lock, f"`git checkout {lock}` brings the committed one back"):
        stages = yaml.safe_load(lock.read_text())["stages"].items()
        return {str(name): {str(out["path"]): out["md5"] for out in stage.get("outs", ())} for name, stage in stages}


def committed(params: Params, locked: Mapping[str, str]) -> dict[str, str | None]:
    """The MD5 that each committed file or folder has to have: its own in dvc.lock, or that of what it is a copy of."""
    published = originals(params) | extended_originals(params)
    copies = {str(copy): locked.get(str(path)) for copy, (path, _) in published.items()}
    return {path: digest for path, digest in locked.items() if path.startswith("reports/")} | copies


def files_of(run: Run) -> dict[str, Path]:
    return {name: run.metrics if name == "metrics.json" else run.folder / name for name in FILES}


def published(run: Run, locked: Mapping[str, str]) -> Evidence:
    """What dvc.lock and the committed reports say of `run`; its weights where they are at hand."""
    digests = {name: locked.get(str(path)) for name, path in files_of(run).items()}
    weights, local = copy_of(run, "model.weights.h5"), run.folder / "model.weights.h5"
    if not weights.is_file():
        weights = local if local.is_file() and md5(local) == digests[local.name] else None
    publisher = "extended/dvc.yaml:publish" if run.extended else "publish"
    measurer = publisher if run.extended else f"evaluate@{run.name}"
    evidence = Evidence(
        history=read_json(copy_of(run, "history.json"), made_by=publisher, keys=("params", "data", "epochs")),
        metrics=read_json(METRICS / f"{run.name}.json", made_by=measurer, keys=("test",)),
        machine=read_json(copy_of(run, "timings.json"), made_by=publisher, keys=("machine",))["machine"],
        md5=digests,
        bytes=0,
        weights=weights,
    )
    with refusing_damage(f"what reports/ has of {run.name}", "`git checkout reports` brings the committed files back"):
        check_shape(evidence)
    return evidence


def check_shape(evidence: Evidence) -> None:
    """Raises: AttributeError, KeyError or TypeError for what cannot be held even against itself."""
    compare("", evidence._replace(weights=None), evidence, EXACT)
    evidence.metrics["test"].keys()


def trained(folder: Path, run: Run) -> Evidence:
    """What the copy in `folder` made of `run`. Raises: UserError when it is older than the copy, and so no proof."""
    paths = {name: folder / path for name, path in files_of(run).items()}
    timings = read_json(
        folder / run.folder / "timings.json", made_by=f"train@{run.name}", keys=("machine", "started_at")
    )
    if timings["started_at"] < (folder / "params.yaml").stat().st_mtime:  # written when the copy was made
        raise UserError(f"{run.name} was not trained anew: its training began before this verification")
    return Evidence(
        history=read_json(paths["history.json"], made_by=f"train@{run.name}", keys=("params", "data", "epochs")),
        metrics=read_json(paths["metrics.json"], made_by=f"evaluate@{run.name}"),
        machine=timings["machine"],
        md5={name: md5(path) for name, path in paths.items()},
        bytes=sum(path.stat().st_size for path in paths.values()),
        weights=paths["model.weights.h5"],
    )


def arrays(manifest: Path) -> dict[str, str]:
    with refusing_damage(manifest, f"`git checkout {manifest}` brings the committed one back"):
        return dict(read_json(manifest, made_by="preprocess", keys=("sha256",))["sha256"])


def smoke_record(folder: Path, params: Params) -> dict:
    """What reports/smoke.json keeps of the smoke-size graph in `folder`."""
    made = {run.name: trained(folder, run) for run in runs(params, extended=False)}
    kept = ("history", "metrics", "machine", "md5")
    entries = {run: {key: getattr(each, key) for key in kept} for run, each in made.items()}
    return {"arrays": arrays(folder / MANIFEST), "runs": entries}


def recorded() -> tuple[dict[str, str], dict[str, Evidence]]:
    """The arrays and the runs of reports/smoke.json."""
    if not SMOKE.is_file():
        raise UserError(f"{SMOKE} is missing: `make verify QUICK=1 RECORD=1` makes it")
    with refusing_damage(SMOKE, "`make verify QUICK=1 RECORD=1` writes it anew"):
        content = json.loads(SMOKE.read_text())
        entries = {run: Evidence(bytes=0, weights=None, **entry) for run, entry in content["runs"].items()}
        for evidence in entries.values():
            check_shape(evidence)
        return dict(content["arrays"]), entries


def compare_weights(params: Params, expected: Evidence, images_file: Path) -> Compared:
    """Measures the published weights on all test images once more. expected: of plot.first_run, whose they are."""
    run = params.plot.first_run
    name = f"published weights of {run}"
    select_device("cpu")
    weights = PUBLISHED / f"{run}.model.weights.h5"
    try:
        vae = load_vae(read_run_params(expected.history["params"], f"params of {run}"), weights, made_by="publish")
    except UserError as error:
        return Compared(name, "not measured", [Deviation(name, "file", "weights of this run", str(error))])
    encoded = encode(vae, mnist.read_images(images_file), params.evaluate)
    limit = params.verify.weights_nats
    allowed = EXACT._replace(loss=limit, kl=limit, rest=limit)
    measured = measure(encoded, params.evaluate.active_unit_variance)
    how = f"measured on {len(encoded.kl):,} test images, to {limit} nats"
    return Compared(name, how, list(compare_metrics(name, expected.metrics["test"], measured, allowed)))


def compare_runs(
    params: Params,
    folder: Path,
    expected: Mapping[str, Evidence],
    expected_arrays: Mapping[str, str],
    tolerance: Tolerance,
) -> Iterator[Compared]:
    """Everything that the copy in `folder` made, against what was expected of it."""
    made = arrays(folder / MANIFEST)
    yield Compared("arrays and folds", f"SHA-256 of {len(made)}", list(compare_arrays(expected_arrays, made)))
    for name, evidence in expected.items():
        yield compare(name, evidence, trained(folder, find_run(params, name)), tolerance)


def verify_committed(params: Params, locked: Mapping[str, str]) -> Compared:
    """dvc.lock and the committed files, against each other."""
    digests = committed(params, locked)
    count = sum(digest is not None for digest in digests.values())  # None: not made yet, and so not to be there
    return Compared("committed files", f"MD5 of {count} in dvc.lock", list(compare_committed(Path(), digests)))


def verify_quick(params: Params, folder: Path, recording: bool) -> list[Compared]:
    copy_project(folder, SMALL)
    small = load_params(folder / "params.yaml")
    if not recording and recorded()[1].keys() != {run.name for run in runs(small, extended=False)}:
        raise UserError(f"{SMOKE} has other runs than params.yaml: `make verify QUICK=1 RECORD=1` writes it anew")
    reproduce(folder, DRIVER)
    if recording:
        record = smoke_record(folder, small)
        write_json(SMOKE, record)
        print(f"recorded {len(record['runs'])} runs and {len(record['arrays'])} arrays in {SMOKE}")
    expected_arrays, expected = recorded()
    tolerance = Tolerance(*[params.verify.smoke_nats] * 3, params.verify.share)
    return list(compare_runs(small, folder, expected, expected_arrays, tolerance))


def verify_full(params: Params, folder: Path, expected: Mapping[str, Evidence]) -> list[Compared]:
    expected_arrays = arrays(PUBLISHED / MANIFEST.name)
    copy_project(folder, {})
    reproduce(folder, (*DRIVER, "--runs", *expected))
    limits = params.verify
    tolerance = Tolerance(limits.epoch_nats, limits.loss_nats, limits.kl_nats, limits.share)
    return list(compare_runs(params, folder, expected, expected_arrays, tolerance))


def verify(params: Params, chosen: Sequence[Run], *, quick: bool, recording: bool) -> list[Compared]:
    """Raises: UserError also where the temporary copy finds no room."""
    try:
        with tempfile.TemporaryDirectory(prefix="digit-vae-verify-") as name:
            folder, locked = Path(name).resolve(), outputs(params)
            committed_files = verify_committed(params, locked)
            first = published(find_run(params, params.plot.first_run), locked)
            if quick:
                anew = verify_quick(params, folder, recording)
            else:
                anew = verify_full(params, folder, {run.name: published(run, locked) for run in chosen})
            return [committed_files, *anew, compare_weights(params, first, folder / TEST_IMAGES)]
    except OSError as error:
        where = error.filename or tempfile.gettempdir()
        raise UserError(f"{where} could not be read or written: {error.strerror or error}") from error


def remove_certificate() -> None:
    """One of an earlier call would look like this one's, should this one end early."""
    try:
        for path in (CERTIFICATE, CERTIFICATE.with_suffix(".md")):
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{path} could not be removed: {error.strerror}") from error


def facts(params: Params, what: str, commit: str | None, seconds: float) -> dict:
    return {
        "what": what,
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "took": clock(seconds),
        "commit": commit,
        "machine": select_device("cpu"),
        "tolerances on another machine": vars(params.verify),
    }


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", nargs="+", default=(), metavar="RUN", help="runs to train anew, or all")
    parser.add_argument("--quick", action="store_true", help="all runs at smoke size")
    parser.add_argument("--record", action="store_true", help="with --quick: expect from now on what it makes")
    arguments = parser.parse_args()
    if arguments.record and not arguments.quick:
        raise UserError("--record: expected --quick beside it; the published runs are recorded by `make repro`")
    if arguments.quick and arguments.runs:
        raise UserError("--quick (QUICK=1) takes all runs at smoke size: expected no --runs (RUNS) beside it")
    return arguments


def main() -> None:
    arguments = parse_arguments()
    params, started = load_params(), time.monotonic()
    chosen = chosen_runs(params, arguments.runs)
    commit = git_commit()  # asked first: the files are copied next
    note = {"note": UNCOMMITTED} if commit and commit.endswith("-dirty") else {}
    if note:
        print(f"warning: {UNCOMMITTED}", file=sys.stderr)
    if not arguments.quick:
        remove_certificate()
    compared = verify(params, chosen, quick=arguments.quick, recording=arguments.record)
    what = "every run at smoke size" if arguments.quick else f"trained anew: {', '.join(run.name for run in chosen)}"
    said = note | facts(params, what, commit, time.monotonic() - started)
    print(certificate_text(compared, said))
    if not arguments.quick:
        write_json(CERTIFICATE, certificate(compared, said))
        write_text(CERTIFICATE.with_suffix(".md"), certificate_text(compared, said))
    if deviating := [each.of for each in compared if each.deviations]:
        raise UserError(f"not as published (see above): {', '.join(deviating)}")


if __name__ == "__main__":
    sys.exit(exit_status(main))
