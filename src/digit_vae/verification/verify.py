"""`digit-vae verify`: trains runs anew in a temporary copy of this folder, and compares them with the published ones.

    digit-vae verify                   # report.first_run, and the first run of each variant in the paper's studies
    digit-vae verify --runs dropout-fold2-0 improved-full-0
    digit-vae verify --runs all
    digit-vae verify --quick           # the small graph (the paper's studies on few images), against reports/smoke.json
    digit-vae verify --quick --record  # writes reports/smoke.json anew

The published results are dvc.lock, beyond/dvc.lock and the files below reports/. These are compared with each other,
too, and the committed weights are measured once more. Runs that are in no lock are named: nothing vouches for their
bytes. Writes reports/certificate.json and .md (`--quick` only prints it); a call that ends early leaves none. The exit
status is 0 only when everything agrees. digit_vae.verification.comparison says what is compared, and params.yaml how
far the numbers of another machine may be off.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.files import remove, write_json, write_text
from digit_vae.base.paths import CERTIFICATE, RAW, SMOKE, addressed
from digit_vae.base.progress import clock
from digit_vae.base.provenance import git_commit
from digit_vae.config.loading import load_params, read_run_params
from digit_vae.config.runs import Run, find_run, runs
from digit_vae.config.schema import Params
from digit_vae.data.idx import read_images
from digit_vae.data.mnist import MNIST
from digit_vae.evaluation.elbo import encode, load_vae, measure
from digit_vae.model.device import select_device
from digit_vae.speed.processors import machines_with_bytes
from digit_vae.verification.certificate import append_text, certificate, certificate_text
from digit_vae.verification.comparison import (
    Deviation,
    Outcome,
    compare,
    compare_files,
    compare_metrics,
)
from digit_vae.verification.evidence import (
    MAKE_RECORD,
    WEIGHTS,
    Evidence,
    Expected,
    Outputs,
    is_published,
    published,
    read_locks,
    read_record,
    record_json,
    smoke_record,
    trained,
)
from digit_vae.verification.scratch import DRIVER, reproduce, scratch_copy, small
from digit_vae.verification.tolerance import Tolerance, of_run, of_smoke, of_weights

UNCOMMITTED = "the working tree has changes that are not committed: what is verified is not the commit"


def main(arguments: Sequence[str] | None = None) -> None:
    """Raises: UserError when something is not as published, or when the verification itself fails."""
    parsed = parse_arguments(arguments)
    if parsed.summary:
        append_text(parsed.summary, "")  # what cannot be written is said before anything is trained
    params, started = load_params(), time.monotonic()
    chosen = chosen_runs(params, parsed.runs)
    commit = git_commit()  # asked first: the files are copied next
    if uncommitted := bool(commit and commit.endswith("-dirty")):
        print(f"warning: {UNCOMMITTED}", file=sys.stderr)
    locks = read_locks(params)
    what = "the small graph: the paper's studies on few images"
    if not parsed.quick:
        for path in (CERTIFICATE, CERTIFICATE.with_suffix(".md")):
            remove(path)  # one of an earlier call would look like this one's, should this one end early
        what = f"trained anew: {', '.join(run.name for run in chosen)}"
    compared = [
        compare_files("committed files", Path(), committed_files(locks)),
        *(verify_quick(params, locks, recording=parsed.record) if parsed.quick else verify(params, locks, chosen)),
    ]
    note = {"note": UNCOMMITTED} if uncommitted else {}
    said = note | facts(params, locks, what, commit) | {"took": clock(time.monotonic() - started)}
    text = certificate_text(compared, said)
    try:  # written first: nobody may be there any more to read what is printed
        if not parsed.quick:
            write_json(CERTIFICATE, certificate(compared, said))
            write_text(CERTIFICATE.with_suffix(".md"), text)
        if parsed.summary:
            append_text(parsed.summary, text + "\n")
    finally:
        print(text)
    if deviating := [each.of for each in compared if each.deviations]:
        raise UserError(f"not as published (see above): {', '.join(deviating)}")


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = parser_of("verify", __doc__)
    parser.add_argument("--runs", nargs="+", default=(), metavar="RUN", help="runs to train anew, or all")
    parser.add_argument("--quick", action="store_true", help="the small graph: the paper's studies on few images")
    parser.add_argument("--record", action="store_true", help="with --quick: expect from now on what it makes")
    parser.add_argument("--summary", type=Path, metavar="FILE", help="append the certificate to this file")
    parsed = parser.parse_args(arguments)
    if parsed.record and not parsed.quick:
        raise UserError("--record: expected --quick beside it; the published runs are recorded by `make repro`")
    if parsed.quick and parsed.runs:
        raise UserError("--quick (QUICK=1) takes all runs of the small graph: expected no --runs (RUNS) beside it")
    return parsed


def chosen_runs(params: Params, names: Sequence[str]) -> list[Run]:
    """The runs called `names`, or all published ones; without names, those of the first line above."""
    if list(names) == ["all"]:
        if unpublished := [run.name for run in runs(params) if not is_published(run)]:
            print(f"not published, and so left out: {', '.join(unpublished)}")
        return [run for run in runs(params) if is_published(run)]
    if names:
        return [find_run(params, name) for name in dict.fromkeys(names)]
    first: dict[object, Run] = {}
    for run in (find_run(params, params.report.first_run), *runs(params, "paper")):
        first.setdefault((run.study, run.variant), run)
    return list(first.values())


def verify(params: Params, locks: Mapping[str, Outputs], chosen: Sequence[Run]) -> list[Outcome]:
    """Trains `chosen` anew, and compares these runs and the committed weights with what is published."""
    expected = Expected(locks["preprocess"], {run.name: published(run, locks) for run in chosen})
    weights, seen = committed_weights(params, locks), machines_with_bytes()
    with scratch_copy("digit-vae-verify-", params) as folder:
        reproduce(folder, (*DRIVER, "--runs", *expected.runs, "--anew"))
        anew = compare_runs(params, folder, expected, lambda run: of_run(params.verify, run), seen)
        return [*anew, *measure_weights(params, weights, folder)]


def verify_quick(params: Params, locks: Mapping[str, Outputs], *, recording: bool) -> list[Outcome]:
    """The same with the small graph. recording: whether to expect from now on what they make."""
    few, weights, seen = small(params), committed_weights(params, locks), machines_with_bytes()
    if not recording and read_record().runs.keys() != {run.name for run in runs(few)}:
        raise UserError(f"{SMOKE} has other runs than params.yaml: `{MAKE_RECORD}` writes it anew")
    with scratch_copy("digit-vae-verify-", few) as folder:
        reproduce(folder, DRIVER)
        if recording:
            write_json(SMOKE, record_json(smoke_record(folder, few)))
            print(f"recorded {len(runs(few))} runs in {SMOKE}")
        anew = compare_runs(few, folder, read_record(), lambda _: of_smoke(params.verify), seen)
        return [*anew, *measure_weights(params, weights, folder)]


def committed_files(locks: Mapping[str, Outputs]) -> Outputs:
    """The MD5 in the locks of files that git has."""
    return {path: md5 for outs in locks.values() for path, md5 in outs.items() if path.startswith("reports/")}


def compare_runs(
    params: Params,
    folder: Path,
    expected: Expected,
    tolerance: Callable[[Mapping[str, Any]], Tolerance],
    seen: Sequence[Mapping[str, Any]],
) -> list[Outcome]:
    """Compares everything that the copy in `folder` made with what was expected. tolerance: of a run's params."""
    found = [compare_files("arrays and splits", folder, expected.arrays)]
    for name, evidence in expected.runs.items():
        anew = trained(folder, find_run(params, name))
        found.append(compare(name, evidence, anew, tolerance(evidence.params), seen))
    return found


def committed_weights(params: Params, locks: Mapping[str, Outputs]) -> dict[Run, Evidence]:
    """What is published of the runs whose weights are committed, if they are published."""
    names = (*params.publish.paper, *params.publish.beyond)
    return {run: published(run, locks) for run in runs(params) if run.name in names and is_published(run)}


def measure_weights(params: Params, expected: Mapping[Run, Evidence], folder: Path) -> Iterator[Outcome]:
    """Measures the committed weights once more, on the test images that stage preprocess keeps of those in `folder`."""
    select_device("cpu")
    allowed = of_weights(params.verify)
    images = read_images(folder / RAW / MNIST.test_images.name)[: params.preprocess.test_images]
    for run, evidence in expected.items():
        name, where = f"committed weights of {run.name}", run.files.published
        settings = read_run_params(evidence.params, f"params of {run.name}")
        try:
            made_by = addressed(f"publish@{run.name}", run.graph)
            vae = load_vae(settings, *(where / each for each in WEIGHTS), made_by=made_by)
        except UserError as error:
            yield Outcome(name, "not measured", [Deviation(name, "files", "weights of this run", str(error))])
            continue
        measured = measure(encode(vae, images, params.evaluate), params.evaluate.active_unit_variance)
        how = f"measured on {len(images):,} test images, to {allowed.last} nats"
        yield Outcome(name, how, list(compare_metrics(name, evidence.metrics["test"], measured, allowed)))


def facts(params: Params, locks: Mapping[str, Outputs], what: str, commit: str | None) -> dict[str, Any]:
    known = [run for run in runs(params) if is_published(run)]
    unvouched = [run.name for run in known if not all(stage in locks for stage in run.stages)]
    return {
        "what": what,
        "in no lock, and so not vouched for": ", ".join(unvouched) or "no run",
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "commit": commit,
        "machine": select_device("cpu"),
        "bytes were seen to hold on": ", ".join(each["cpu"] for each in machines_with_bytes()) or "no processor",
        "tolerances on another machine": asdict(params.verify),
    }
