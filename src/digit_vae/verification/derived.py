"""Files that follow from others, and no longer do: tables, figures, comparisons, and what reports/smoke.json holds."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from digit_vae.base.files import json_bytes
from digit_vae.verification.evidence import SmokeRun, Stage, md5

DERIVED = ("compare", "draw", "power", "report")  # the stages that measure nothing: same inputs, same bytes
REQUIREMENTS = "requirements.lock"  # another Matplotlib draws other bytes


def forged_smoke(before: Mapping[str, SmokeRun], now: Mapping[str, SmokeRun]) -> Iterator[str]:
    """The runs whose metrics are not those of the file with the recorded hash, or whose losses changed without it."""
    for name, run in now.items():
        old = before.get(name)
        if old is None or run == old:
            continue
        metrics = hashlib.md5(json_bytes(run.metrics), usedforsecurity=False).hexdigest()
        losses = run.epochs != old.epochs and run.md5.get("history.json") == old.md5.get("history.json")
        if losses or metrics != run.md5.get("metrics.json"):
            yield name


def other_outputs(before: Mapping[str, Stage], now: Mapping[str, Stage]) -> Iterator[tuple[str, str]]:
    """Outputs below reports/ that changed though their stage computes from files alone and had no others; and why.

    before, now: the stages of one lock.
    """
    for name in DERIVED:
        old, new = before.get(name), now.get(name)
        if old is None or new is None:
            continue
        changed = [path for path, digest in new.outputs.items() if old.outputs.get(path, digest) != digest]
        if old[:2] == new[:2]:
            yield from ((path, f"stage {name} has the inputs of before") for path in changed)
        elif other := next((path for path, digest in new.deps.items() if _is_other(path, digest)), None):
            yield from ((path, f"stage {name} tells of another {other} than is here") for path in changed)


def _is_other(path: str, digest: str) -> bool:
    """Whether a file that git has is not the one with that hash. Folders of code hold more than DVC counts."""
    return path.startswith("reports/") and Path(path).exists() and md5(Path(path)) != digest
