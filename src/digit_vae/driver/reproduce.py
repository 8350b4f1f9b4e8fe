"""The work of `dvc repro`, with the runs side by side: DVC decides what is out of date and keeps the record."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from digit_vae.base.cores import usable_cores
from digit_vae.base.errors import UserError
from digit_vae.config.runs import GRAPHS, Run
from digit_vae.config.schema import Params
from digit_vae.driver.ledger import Job, Ledger, opened

DVC = Path(".dvc")
LOCK = DVC / "tmp/repro.lock"


def reproduce(
    params: Params,
    chosen: Sequence[Run],
    *,
    whole: bool = True,
    anew: bool = False,
    jobs: int | None = None,
    address: str | None = None,
) -> None:
    """Makes the chosen runs of the project in the current folder and what they need; then brings MLflow up to date.

    whole: also the rest of their graphs, such as the report. anew: also what is not here, though git's results of it
    fit. jobs: how many runs at once (None: one a core). address: the Ray cluster to use.
    Raises: UserError that names the runs that failed, after all other runs.
    """
    prepare_environment(os.environ)
    graphs = [graph for graph in GRAPHS if any(run.graph == graph for run in chosen)]
    with alone():
        with opened(graphs, anew=anew) as ledger:
            ledger.prepare(chosen)
            _run_outdated(ledger, params, chosen, jobs, address)
            if whole and not ledger.is_up_to_date:
                for stage, absent in ledger.finish().items():
                    advice = "what git has of it stays; `make repro ANEW=1` makes what it needs"
                    print(f"{stage} was left out, since {', '.join(absent)} is not here: {advice}", flush=True)
        track = [sys.executable, "-m", "digit_vae", "track"]
        paths = os.environ | {"PYTHONPATH": str(Path("src").resolve())}
        if subprocess.run(track, env=paths, check=False).returncode:
            raise UserError("the runs could not be brought into MLflow (see above); `make track` tries again")


def prepare_environment(environment: MutableMapping[str, str]) -> None:
    """Changes the variables so that the stages' commands find their `python`, which is this one, and their modules."""
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment.pop("PYTHONSAFEPATH", None)  # with it, `python -m pipeline.train` finds no `pipeline` in its folder


def _run_outdated(ledger: Ledger, params: Params, chosen: Sequence[Run], jobs: int | None, address: str | None) -> None:
    planned, failures = _planned(ledger, chosen)
    print(f"{len(chosen) - len(planned) - len(failures)} of {len(chosen)} runs are up to date", flush=True)
    if planned:
        from digit_vae.driver.cluster import cluster  # Ray takes a second to import
        from digit_vae.driver.scheduler import Scheduler

        with cluster(address, jobs or usable_cores()):
            failures |= Scheduler(ledger, planned, params, jobs).run()
    if failures:
        reasons = "; ".join(f"{name} ({reason})" for name, reason in failures.items())
        raise UserError(f"{len(failures)} of {len(chosen)} runs failed, all others are kept: {reasons}")
    if absent := [run for run in chosen if not run.files.encoder.is_file()]:
        advice = "their results in git fit; `make repro ANEW=1` trains them here"
        print(f"the models of {len(absent)} runs are not here: {advice}", flush=True)


def _planned(ledger: Ledger, chosen: Sequence[Run]) -> tuple[list[Job], dict[str, str]]:
    """The first job of each run that is out of date, and why runs cannot be run, by name."""
    planned, failures = [], {}
    for run in filter(ledger.is_outdated, chosen):
        try:
            if job := ledger.plan(run):
                planned.append(job)
        except UserError as error:
            failures[run.name] = str(error)
    return planned, failures


@contextmanager
def alone() -> Iterator[None]:
    """Holds the project's lock. Raises: UserError when another driver holds it, or there is no place for it."""
    if not DVC.is_dir():  # DVC would go on with settings of its own
        raise UserError(f"{DVC} is missing, which has DVC's settings: `git checkout HEAD -- {DVC}` brings it back")
    try:
        LOCK.parent.mkdir(exist_ok=True)
        lock = LOCK.open("w", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{LOCK} could not be written: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(
                "another `make repro` works in this folder, or a `make search`: wait for its end, or stop it"
            ) from error
        yield
