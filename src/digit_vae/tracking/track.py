"""Brings runs into MLflow: every declared run whose files are there and every recorded benchmark, or the runs of a
trainer while they train.

    python -m digit_vae.tracking.track           # what is missing or has changed; a second call changes nothing
    python -m digit_vae.tracking.track --verify  # says what is there and what of it the files do not say; changes nothing
    python -m digit_vae.tracking.track --follow  # from standard input, as digit_vae.tracking.mirror sends it: one JSON object a line

    {"event": "start", "run": NAME, "history": as in history.json so far, "timings": as in timings.json so far}
    {"event": "epoch", "run": NAME, "history": one record of its epochs, "timing": one record of its epochs}
    {"event": "end", "run": NAME}      # its files are complete

The end of the input without an "end" means that the trainer died. A follower never fails for MLflow's sake: what could
not be logged is one warning a run, and the next call without --follow brings it in.
"""

import argparse
import functools
import json
import signal
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from digit_vae.report.report import figures
from digit_vae.speed.records import read_benchmarks, repetitions
from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import read_json, read_npy, read_npz
from digit_vae.config.params import Params, Run, find_run, load_params, runs
from digit_vae.tracking.store import INCOMPLETE, PRESENT, SUPERSEDED, TRAINING, Comparison, Record, Tracker

METRICS = Path("reports/metrics")
REPORT = (("figures", "*.png"), ("tables", "*.csv"))  # of the folder above
BENCHMARKS = Path("reports/benchmarks")
TEST_LABELS = Path("data/processed/test_labels.npy")
TRAINED = ("history.json", "timings.json")
SHOWN = 3  # of what a run lacks
HISTORY = ("run", "variant", "split", "params", "data", "epochs")
TIMINGS = ("started_at", "finished_at", "inputs_sha256", "git_commit", "machine", "epochs")


def drawn(run: Run, name: str) -> dict[str, bytes]:
    """The run's own figures that follow from its file `name`, as PNG by file name."""
    path = run.folder / name
    if name == "history.json":
        curves = figures.loss_curves(read_json(path, made_by=f"train@{run.name}")["epochs"], title=run.name)
        return {"loss_curves.png": figures.png_bytes(curves)}
    if name == "samples.npz":
        samples = read_npz(path, made_by=f"evaluate@{run.name}")
        return {title: figures.png_bytes(figure) for title, figure in sample_figures(run.name, samples).items()}
    return {}


def sample_figures(run: str, samples: Mapping[str, np.ndarray]) -> dict[str, Figure]:
    """What a samples.npz shows; the latent scatter wants the labels of the images that were encoded."""
    shown = {
        "digits.png": figures.digits(samples["originals"], samples["reconstructions"], samples["generated"], title=run)
    }
    labels = read_npy(TEST_LABELS, made_by="preprocess") if TEST_LABELS.is_file() else ()
    if len(labels) == len(samples["z_mean"]):
        shown["latent_scatter.png"] = figures.latent_scatter(samples["z_mean"], labels, title=run)
    if "plane" in samples:
        shown["latent_plane.png"] = figures.latent_plane(samples["plane"], title=run)
        shown["latent_map.png"] = figures.latent_map(samples, title=run)
    return shown


def record(run: Run) -> Record:
    """What the files say of `run`: those of its training, and those of its evaluation where they are there."""
    paths = {name: run.folder / name for name in (*TRAINED, "model.weights.h5", "samples.npz")}
    paths["metrics.json"] = run.metrics
    files = {name: path for name, path in paths.items() if path.is_file()}
    return Record(
        history=read_json(paths["history.json"], made_by=f"train@{run.name}", keys=HISTORY),
        timings=read_json(paths["timings.json"], made_by=f"train@{run.name}", keys=TIMINGS),
        metrics=read_json(files["metrics.json"], made_by=f"evaluate@{run.name}") if "metrics.json" in files else {},
        files=files,
        figures=functools.partial(drawn, run),
    )


def comparisons(params: Params) -> dict[str, Comparison]:
    paths = {variant: METRICS / "variants" / f"{variant}.json" for variant in params.variants}
    return {
        variant: Comparison(read_json(path, made_by="compare"), {"comparison.json": path})
        for variant, path in paths.items()
        if path.is_file()
    }


def recorded() -> tuple[list[Record], dict[str, Comparison]]:
    """The runs of the recorded benchmarks, and what each of these says of its runs, by name."""
    benchmarks = read_benchmarks(BENCHMARKS)
    return (
        [each for name, benchmark in benchmarks.items() for each in repetition_records(name, benchmark)],
        {
            name: Comparison(each["summary"], {"comparison.json": BENCHMARKS / f"{name}.json"})
            for name, each in benchmarks.items()
        },
    )


def repetition_records(name: str, benchmark: Mapping) -> list[Record]:
    """The runs of a benchmark, whose parent in MLflow is the benchmark itself, with its summary."""
    keys = ("setup_seconds", "matrix_gflops", "peak_bytes")
    return [
        Record(history, timings, {key: run[key] for key in keys})
        for run, (history, timings) in zip(benchmark["runs"], repetitions(name, benchmark), strict=True)
    ]


def overview(params: Params, records: Iterable[Record]) -> Record | None:
    """The report's figures and tables, and the classifier that judges all runs; None before there are any of these.

    Its times are those of the runs, which the same files give again.
    """
    reports, judge = METRICS.parent, METRICS / "classifier.json"
    files = {path.name: path for folder, kind in REPORT for path in sorted((reports / folder).glob(kind))}
    metrics = {}
    if judge.is_file():
        files[judge.name] = judge
        metrics = {"classifier": read_json(judge, made_by="classifier")}
    timings = [each.timings for each in records]
    if not (files and timings):
        return None
    ends = {key: end(each[key] for each in timings) for key, end in (("started_at", min), ("finished_at", max))}
    settings = {f"classifier.{name}": value for name, value in asdict(params.classifier).items()}
    return Record({"run": "report", "variant": "report", "params": settings}, ends, metrics, files)


def trained(params: Params) -> tuple[list[Run], list[Run]]:
    """The declared runs that have files of their training, and the others; of extended runs only the former."""
    there = [run for run in runs(params) if all((run.folder / file).is_file() for file in TRAINED)]
    return there, [run for run in runs(params, extended=False) if run not in there]


def track() -> None:
    """Makes MLflow agree with the files, and says in one line what that took."""
    params = load_params()
    there, missing = trained(params)
    measured, summaries = recorded()
    records = [record(run) for run in there] + measured
    synced = Tracker(Path()).sync(records, comparisons(params) | summaries, overview(params, records))
    of = f"{len(there)} of {len(there) + len(missing)} runs and {len(measured)} of benchmarks"
    parts = [f"MLflow has {of}, {len(synced.brought)} of them brought in just now"]
    if synced.killed:
        parts.append(f"closed as killed: {', '.join(synced.killed)}")
    if missing:
        parts.append(f"not trained yet: {', '.join(run.name for run in missing)}")
    print("; ".join(parts))


def verify() -> None:
    """Says what each run in MLflow is to the present files. Raises: UserError when one claims what these do not say."""
    params = load_params()
    there, _ = trained(params)
    measured, summaries = recorded()
    records = [record(run) for run in there] + measured
    audited = Tracker(Path()).audit(records, comparisons(params) | summaries, overview(params, records))
    for state in (PRESENT, INCOMPLETE, SUPERSEDED, TRAINING):
        of_state = [f"{each.run} ({each.run_id[:8]})" for each in audited if each.state == state]
        print(f"{len(of_state)} {state}{': ' if of_state else ''}{', '.join(of_state)}")
    held = {each.run for each in audited if each.state in (PRESENT, INCOMPLETE)}
    absent = sorted({each.name for each in (*there, *measured)} - held)
    print(f"{len(absent)} not there{', `make track` brings them in: ' if absent else ''}{', '.join(absent)}")
    for each in audited:
        if each.lacking:
            more = f" and {len(each.lacking) - SHOWN} more" if len(each.lacking) > SHOWN else ""
            lacking = f"{', '.join(each.lacking[:SHOWN])}{more}"
            print(f"{each.run} ({each.run_id}) lacks {lacking}: `make track` completes it")
    false = [each for each in audited if each.false_claims]
    for each in false:
        print(*(f"{each.run} ({each.run_id}) claims {claim}" for claim in each.false_claims), sep="\n")
    if false:
        raise UserError(
            f"{len(false)} of {len(audited)} runs in MLflow claim what the files do not say (see above): `make track` "
            "marks and closes those that are stale; delete the others in MLflow, and it brings them in anew"
        )


class Follower:
    """Logs the events of trainers as they come. What fails is given up until the run's end, when its files have all."""

    def __init__(self) -> None:
        self._tracker: Tracker | None = None
        self._given_up: set[str] = set()

    def take(self, event: Mapping) -> None:
        run, kind = event["run"], event["event"]
        if kind == "epoch" and run in self._given_up:
            return
        try:
            self._tracker = self._tracker or Tracker(Path())
            if kind == "start":
                self._tracker.start(Record(event["history"], event["timings"]))
            elif kind == "epoch":
                self._tracker.epoch(run, event["history"], event["timing"])
            else:
                self._tracker.end(record(find_run(load_params(), run)))
        except UserError as error:
            since = f"epoch {event['history']['epoch']}" if kind == "epoch" else f"its {kind}"
            self._give_up(run, since, error)

    def close(self) -> None:
        for run in self._tracker.live if self._tracker else ():
            try:
                self._tracker.kill(run)
            except UserError as error:
                self._give_up(run, "its end", error)

    def _give_up(self, run: str, since: str, error: UserError) -> None:
        if run not in self._given_up:
            self._given_up.add(run)
            message = f"{run} is not logged from {since} on; `make track` brings it in later ({error})"
            print(f"warning: {message}", file=sys.stderr, flush=True)


def follow(lines: Iterable[str]) -> None:
    """Takes one event a line until the lines end; a last line that was cut off is none."""
    follower = Follower()
    for line in lines:
        if line.endswith("\n"):
            follower.take(json.loads(line))
    follower.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--verify", action="store_true", help="hold what is there against the files")
    parser.add_argument("--follow", action="store_true", help="log events from standard input until it ends")
    arguments = parser.parse_args()
    if arguments.follow:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the trainer decides when it is over
        follow(sys.stdin)
    elif arguments.verify:
        verify()
    else:
        track()


if __name__ == "__main__":
    sys.exit(exit_status(main))
