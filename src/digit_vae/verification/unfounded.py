"""Numbers in git that changed although nothing was run again: edited by hand, left over, or half of a result.

A result is several files. A training writes losses, weights and its timings at once, an evaluation its metrics and the
machine they are of, and DVC the hashes of all of them. Where one of these is another and the rest is as before, no run
made it.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from digit_vae.base.files import parse_json, sha256
from digit_vae.base.paths import BENCHMARKS, CERTIFICATE, PROCESSORS, REPORTS, SEARCH, SMOKE, RunFiles
from digit_vae.base.shapes import misfits
from digit_vae.config.runs import Run
from digit_vae.verification.before import Change
from digit_vae.verification.evidence import Outputs, md5
from digit_vae.verification.tolerance import is_number

EPOCHS = {"epochs?": [dict]}
RECORDS = (BENCHMARKS, CERTIFICATE, PROCESSORS, SEARCH, SMOKE)  # what no stage makes


class Unfounded(NamedTuple):
    """A file whose numbers changed without the run that makes them, and how that is known."""

    path: str
    why: str


Changes = Mapping[str, Change]


def unfounded(runs: Sequence[Run], changes: Changes, before: Outputs, now: Outputs) -> list[Unfounded]:
    """The files whose numbers no run has made. before, now: the MD5 of what the locks name, by path."""
    of_runs = [each for run in runs for each in (*_training(run, changes, before, now), *_evaluation(run, changes))]
    of_locks = (*_other_than_locked(changes, before, now), *_no_longer_locked(changes, before, now))
    found = (*of_runs, *of_locks, *_measured(changes))
    return sorted({each.path: each for each in found}.values())


def _other_than_locked(changes: Changes, before: Outputs, now: Outputs) -> Iterator[Unfounded]:
    for path, locked in now.items():
        if not path.startswith("reports/") or (Path(path).exists() and md5(Path(path)) == locked):
            continue
        lock = "its lock still has the hash of before" if before.get(path) == locked else "its lock has another hash"
        for name in _inside(path, changes) or [path]:
            yield Unfounded(name, lock)


def _no_longer_locked(changes: Changes, before: Outputs, now: Outputs) -> Iterator[Unfounded]:
    """Whoever takes a stage out of a lock takes its hashes out, too; what it made is held to a hash all the same."""
    left = [path for path in before.keys() - now.keys() if path.startswith("reports/")]
    gone = {name for path in left for name in _inside(path, changes)}
    for name, change in changes.items():
        path = Path(name)
        asked = name in gone or (change.before is not None and _is_made(path))
        if asked and change.now is not None and not any(str(each) in now for each in (path, *path.parents)):
            yield Unfounded(name, "no lock has its hash")


def _is_made(path: Path) -> bool:
    """Whether a stage makes that file: all below reports/ is, but for pages and what is measured outside the graphs."""
    return path.is_relative_to(REPORTS) and path.suffix != ".md" and not any(map(path.is_relative_to, RECORDS))


def _measured(changes: Changes) -> Iterator[Unfounded]:
    """Benchmarks, which are in no lock."""
    for path, change in changes.items():
        if Path(path).is_relative_to(BENCHMARKS) and _both(change) is not None and not _begun_anew(change):
            yield Unfounded(path, "its numbers are others, it began when the one before did")


def _inside(path: str, changes: Changes) -> list[str]:
    """The changed files that an output, a file or a folder, is or has."""
    return [name for name in changes if name == path or name.startswith(f"{path}/")]


def _training(run: Run, changes: Changes, before: Outputs, now: Outputs) -> Iterator[Unfounded]:
    its = run.files
    path = str(its.history)
    both = _both(changes.get(path))
    if both is None or any(any(misfits(each, EPOCHS)) for each in both):
        return
    weights = [str(each) for each in (its.encoder, its.decoder)]
    locked = any(each in before and before[each] == now.get(each) for each in weights)
    if _other_losses(*both) and (locked or both[0].get("weights_sha256") == both[1].get("weights_sha256")):
        yield Unfounded(path, "its losses are others, its weights are those of before")
    elif other := _other_weights(its, both[1]):
        yield Unfounded(path, f"it is another, {other} has not the weights it tells of")
    elif not _begun_anew(changes.get(str(its.timings))):
        yield Unfounded(path, f"it is another, {its.timings.name} is that of the training before")


def _other_weights(its: RunFiles, history: Mapping[str, Any]) -> Path | None:
    """The committed weights, if there are any, that have another hash than the history says."""
    told = history.get("weights_sha256")
    digests = told if isinstance(told, dict) else {}
    committed = {part: its.published / f"{part}.weights.h5" for part in ("encoder", "decoder")}
    return next(
        (path for part, path in committed.items() if path.is_file() and sha256(path) != digests.get(part)), None
    )


def _evaluation(run: Run, changes: Changes) -> Iterator[Unfounded]:
    its = run.files
    path = str(its.metrics)
    if _both(changes.get(path)) is not None and not _begun_anew(changes.get(str(its.evaluation))):
        yield Unfounded(path, f"its numbers are others, {its.evaluation.name} is that of the evaluation before")


def _begun_anew(change: Change | None) -> bool:
    """Whether a file that tells when its run began tells of another run than before, or is new."""
    if change is not None and change.before is None:
        return True
    both = _both(change)
    if both is None:
        return False
    before, now = (each.get("started_at") for each in both)
    return is_number(now) and now != before


def _both(change: Change | None) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """The JSON of a file that was there and is there. What is no such JSON is held to the lock alone."""
    if change is None or change.before is None or change.now is None:
        return None
    try:
        before, now = parse_json(change.before), parse_json(change.now)
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
