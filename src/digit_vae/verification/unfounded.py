"""Numbers in git that changed although nothing was run again: edited by hand, left over, or half of a result.

A result is several files. A training writes losses, weights and its timings at once, an evaluation its metrics and the
machine they are of, and DVC the hashes of all of them. Where one of these is another and the rest is as before, no run
made it.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from digit_vae.base.paths import RunFiles
from digit_vae.config.runs import Run
from digit_vae.verification.before import Change
from digit_vae.verification.evidence import Outputs, md5


class Unfounded(NamedTuple):
    """A file whose numbers changed without the run that makes them, and how that is known."""

    path: str
    why: str


Changes = Mapping[str, Change]


def unfounded(runs: Sequence[Run], changes: Changes, before: Outputs, now: Outputs) -> list[Unfounded]:
    """The files whose numbers no run has made. before, now: the MD5 of what the locks name, by path."""
    of_runs = [each for run in runs for each in (*_training(run, changes), *_evaluation(run, changes))]
    return sorted({each.path: each for each in (*of_runs, *_other_than_locked(changes, before, now))}.values())


def _other_than_locked(changes: Changes, before: Outputs, now: Outputs) -> Iterator[Unfounded]:
    for path, locked in now.items():
        if not path.startswith("reports/") or (Path(path).exists() and md5(Path(path)) == locked):
            continue
        lock = "its lock still has the hash of before" if before.get(path) == locked else "its lock has another hash"
        inside = [name for name in changes if name.startswith(f"{path}/")]
        for name in inside or [path]:
            yield Unfounded(name, lock)


def _training(run: Run, changes: Changes) -> Iterator[Unfounded]:
    its = RunFiles(run.graph, run.name)
    path = str(its.history)
    both = _both(changes.get(path))
    if both is None:
        return
    before, now = both
    if _other_losses(before, now) and before.get("weights_sha256") == now.get("weights_sha256"):
        yield Unfounded(path, "its losses are others, its weights are those of before")
    elif str(its.timings) not in changes:
        yield Unfounded(path, f"it is another, {its.timings.name} is that of the training before")


def _evaluation(run: Run, changes: Changes) -> Iterator[Unfounded]:
    its = RunFiles(run.graph, run.name)
    path = str(its.metrics)
    if _both(changes.get(path)) is not None and str(its.evaluation) not in changes:
        yield Unfounded(path, f"its numbers are others, {its.evaluation.name} is that of the evaluation before")


def _both(change: Change | None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The JSON of a file that was there and is there. What is no JSON is held to the lock alone."""
    if change is None or change.before is None or change.now is None:
        return None
    try:
        before, now = json.loads(change.before), json.loads(change.now)
    except ValueError:
        return None
    return (before, now) if isinstance(before, dict) and isinstance(now, dict) else None


def _other_losses(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether a loss of an epoch changed. What is said of an epoch besides, such as of its health, may become more."""
    epochs = [history.get("epochs") or [] for history in (before, now)]
    if len(epochs[0]) != len(epochs[1]):
        return True
    return any(
        old[name] != new[name]
        for old, new in zip(*epochs, strict=True)
        for name in old.keys() & new.keys()
        if name != "health"
    )
