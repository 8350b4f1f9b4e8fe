"""Whether a run that was trained anew is the one that was published.

On a machine with the same fingerprint every byte has to be the same. On another one the order of sums differs, and with
it the last bits of every step, until the run is as far from the published one as another seed's would be: losses have
to lie within tolerances. What a run was asked to do (params, data, folds) has to be the same everywhere. The health of
an epoch (the units and dimensions that died) only has to be there: on another machine other ones die.
"""

import hashlib
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from digit_vae.base.errors import UserError

FILES = ("digits.npz", "history.json", "metrics.json", "model.weights.h5", "samples.npz")  # of a run

# What h5py raises for bytes that it cannot read.
UNREADABLE = (OSError, KeyError, RuntimeError, ValueError, TypeError, MemoryError, OverflowError)


class Tolerance(NamedTuple):
    """How far a number may be from the published one.

    In nats per image: `epoch` for a loss of any epoch but the last, `loss` for one of the last and in the metrics, and
    for the log-likelihood and its bounds, `kl` for the KL loss of any epoch, in the metrics and what it is made of.
    `share` for what the latent space and the images are worth: of 1, or of the published number where that is larger.
    `rest` for all else: counts of units, the KL of single dimensions, errors of estimates.
    """

    epoch: float
    loss: float
    kl: float
    share: float
    rest: float = math.inf

    def of(self, metric: str, published: object) -> float:
        """That of a metric by its name, "likelihood.grey.iw_bound.k10"."""
        key = metric.rpartition(".")[2]
        if key == "images":  # their count has to be equal everywhere
            return 0
        if key in LOSSES or ".iw_bound." in metric:
            return self.loss
        if key in SHARES:
            return self.share * max(1.0, abs(published) if _is_number(published) else 0.0)
        return self.kl if key in KL_LOSSES else self.rest


EXACT = Tolerance(0, 0, 0, 0, 0)
LOSSES = ("elbo", "reconstruction_loss", "log_likelihood", "inference_gap")
KL_LOSSES = ("kl_loss", "mutual_information", "aggregate_divergence")
SHARES = ("knn_accuracy", "probe_accuracy", "nmi", "silhouette", "confidence", "class_balance", "agreement", "frechet")


class Evidence(NamedTuple):
    """What there is of one run: contents of its JSON files, its machine's fingerprint, and of `FILES` the MD5 of each.

    MD5 is what DVC records: it finds accidents, not forgers. bytes: the size of these files together. weights: None
    where they are not at hand.
    """

    history: Mapping
    metrics: Mapping
    machine: Mapping
    md5: Mapping[str, str | None]
    bytes: int
    weights: Path | None = None


class Deviation(NamedTuple):
    """One thing that is not as published: of which run or file, what, and by how much (None: it is no number)."""

    of: str
    what: str
    expected: object
    received: object
    size: float | None = None

    def __str__(self) -> str:
        size = "" if self.size is None else f", {self.size:.3g} apart"
        return f"{self.of}: {self.what}: expected {self.expected}, received {self.received}{size}"


class Compared(NamedTuple):
    """The outcome for one run, or for one other thing: how it was compared, and what is not as published."""

    of: str
    how: str
    deviations: list[Deviation]


def repeats(published: Mapping, anew: Mapping) -> bool:
    """Whether the two fingerprints promise the same bits: all but the number of cores is the same."""
    return published | {"cores": None} == anew | {"cores": None}


def compare(run: str, published: Evidence, anew: Evidence, tolerance: Tolerance) -> Compared:
    """Holds what was trained anew against what was published."""
    exact = repeats(published.machine, anew.machine)
    allowed = EXACT if exact else tolerance
    deviations = [
        *_settings(run, published.history, anew.history),
        *_first_epoch(run, published.history["epochs"], anew.history["epochs"], allowed),
        *compare_metrics(run, published.metrics, anew.metrics, allowed),
    ]
    if exact:
        deviations += _tensors(run, published.weights, anew.weights)
        deviations += _hashes(run, published.md5, anew.md5)
    metrics = flat(anew.metrics).items()
    held = sum(math.isfinite(allowed.of(*metric)) for metric in metrics)
    counted = f"{len(anew.history['epochs'])} epochs and {held} of {len(metrics)} metrics"
    how = f"{len(FILES)} files byte for byte, {anew.bytes:,} bytes" if exact else f"{counted} within tolerances"
    return Compared(run, how, deviations)


def compare_metrics(of: str, published: Mapping, anew: Mapping, allowed: Tolerance) -> Iterator[Deviation]:
    """The numbers of a metrics.json, nested as there."""
    expected, received = flat(published), flat(anew)
    for name in sorted(expected.keys() | received.keys()):
        values = expected.get(name), received.get(name)
        yield from _apart(of, f"metric {name}", *values, allowed.of(name, values[0]))


def compare_arrays(published: Mapping[str, str], anew: Mapping[str, str]) -> Iterator[Deviation]:
    """The SHA-256 of each array of stage `preprocess` by name: the same on every machine."""
    for name in sorted(published.keys() | anew.keys()):
        yield from _apart("preprocess", f"SHA-256 of {name}", published.get(name), anew.get(name), 0)


def compare_committed(root: Path, outputs: Mapping[str, str | None]) -> Iterator[Deviation]:
    """Holds files and folders below `root` against the MD5 that dvc.lock has of each."""
    for name, expected in outputs.items():
        received = md5(root / name) if (root / name).exists() else None
        yield from _apart(name, "MD5 in dvc.lock", expected, received, 0)


def md5(path: Path) -> str:
    """The MD5 of a file or a folder, as DVC computes it: a folder's is that of the list of its files.

    As for DVC (.dvcignore), what a killed process left half-written under a temporary name is none of them.
    """
    if path.is_file():
        return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    files = sorted(file for file in path.rglob("*") if file.is_file() and not file.match(".*.tmp.*"))
    entries = [{"md5": md5(file), "relpath": file.relative_to(path).as_posix()} for file in files]
    return hashlib.md5(json.dumps(entries, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def tensors(weights: Path) -> dict[str, np.ndarray]:
    """Every tensor of a `.weights.h5` file by its path in it. Raises: UserError when the file is damaged."""
    found = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()])
            if found[name].dtype.kind not in "biuf":
                raise TypeError(f"{name} holds no numbers, but {found[name].dtype}")

    try:
        with h5py.File(weights) as opened:
            opened.visititems(collect)
    except UNREADABLE as error:
        raise UserError(f"{weights.name} is damaged ({' '.join(str(error).split())})") from error
    return found


def flat(values: Mapping, prefix: str = "") -> dict[str, object]:
    """{"test": {"elbo": -150.2}} -> {"test.elbo": -150.2}"""
    result = {}
    for name, value in values.items():
        result |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return result


def certificate(compared: Sequence[Compared], facts: Mapping[str, object]) -> dict:
    """What was compared and on what, for a machine to read. facts: what else it says.

    NaN and infinities, for which JSON has no number, stand in it as the texts "NaN", "Infinity" and "-Infinity".
    """
    found = [deviation for each in compared for deviation in each.deviations]
    outcomes = [
        {"of": each.of, "how": each.how, "deviations": [deviation._asdict() for deviation in each.deviations]}
        for each in compared
    ]
    content = dict(facts) | {"holds": not found, "deviations": len(found), "compared": outcomes}
    return json.loads(json.dumps(content), parse_constant=str)


def certificate_text(compared: Sequence[Compared], facts: Mapping[str, object]) -> str:
    """The same for a person, in Markdown."""
    found = [deviation for each in compared for deviation in each.deviations]
    lines = [
        "# Certificate of reproduction",
        f"**{'Everything holds.' if not found else f'Does not hold: {_count(found)}.'}**",
        "\n".join(f"- {name}: {value}" for name, value in flat(facts).items()),
        "\n".join(["| Compared | How | Outcome |", "| --- | --- | --- |", *map(_row, compared)]),
        "\n".join(f"- {deviation}" for deviation in found),
    ]
    return "\n\n".join(line for line in lines if line) + "\n"


def _row(compared: Compared) -> str:
    outcome = f"**{_count(compared.deviations)}**" if compared.deviations else "holds"
    return f"| {compared.of} | {compared.how} | {outcome} |"


def _count(deviations: Sequence[Deviation]) -> str:
    return f"{len(deviations)} deviation{'' if len(deviations) == 1 else 's'}"


def _settings(run: str, published: Mapping, anew: Mapping) -> Iterator[Deviation]:
    for part in ("params", "data"):
        for key in sorted(published[part].keys() | anew[part].keys()):
            yield from _apart(run, f"{part} {key}", published[part].get(key), anew[part].get(key), 0, sized=False)


def _first_epoch(
    run: str, published: Sequence[Mapping], anew: Sequence[Mapping], allowed: Tolerance
) -> Iterator[Deviation]:
    """The first epoch that deviates, with the loss of it that deviates most, or else what it says of its health."""
    yield from _apart(run, "number of epochs", len(published), len(anew), 0)
    for expected, received in zip(map(flat, published), map(flat, anew), strict=False):
        number = expected["epoch"]
        names = sorted(expected.keys() | received.keys())
        losses = allowed.loss if number == len(published) else allowed.epoch
        limits = {name: allowed.kl if name.endswith("kl_loss") else losses for name in names}
        limits |= {name: allowed.rest for name in names if name.startswith("health.")}
        for is_health in (False, True):
            found = [
                deviation
                for name, limit in limits.items()
                if name.startswith("health.") == is_health
                for deviation in _apart(run, f"epoch {number}, {name}", expected.get(name), received.get(name), limit)
            ]
            if found:
                yield max(found, key=_size)
                return


def _size(deviation: Deviation) -> float:
    """By how much, where what is missing or no number counts as most."""
    return math.inf if deviation.size is None or math.isnan(deviation.size) else deviation.size


def _tensors(run: str, published: Path | None, anew: Path | None) -> Iterator[Deviation]:
    """The tensors that deviate, each with its largest difference, where both files are at hand."""
    if published is None or anew is None:
        return
    found = []
    for origin, path in (("published", published), ("trained anew", anew)):
        try:
            found.append(tensors(path))
        except UserError as error:
            yield Deviation(run, f"weights as {origin}", "a file that can be read", str(error))
    if len(found) == 2:
        yield from _different_tensors(run, *found)


def _different_tensors(
    run: str, expected: Mapping[str, np.ndarray], received: Mapping[str, np.ndarray]
) -> Iterator[Deviation]:
    for name in sorted(expected.keys() | received.keys()):
        old, new = expected.get(name), received.get(name)
        kinds = ["nothing" if array is None else f"{array.dtype} {array.shape}" for array in (old, new)]
        if kinds[0] != kinds[1]:
            yield Deviation(run, f"tensor {name}", *kinds)
            continue
        with np.errstate(invalid="ignore"):  # of infinities the difference is NaN, which argmax takes for the largest
            same = (old == new) | (np.isnan(old) & np.isnan(new))
            sizes = np.where(same, 0, np.abs(new.astype(np.float64) - old))
        if not same.all():
            place = np.unravel_index(sizes.argmax(), old.shape)
            where = [int(index) for index in place]
            yield Deviation(run, f"tensor {name}{where}", *(float(each[place]) for each in (old, new, sizes)))


def _hashes(run: str, published: Mapping[str, str | None], anew: Mapping[str, str | None]) -> Iterator[Deviation]:
    for name in FILES:
        yield from _apart(run, f"MD5 of {name}", published[name], anew[name], 0)


def _apart(
    of: str, what: str, expected: object, received: object, limit: float, *, sized: bool = True
) -> Iterator[Deviation]:
    """The deviation, where there is one: numbers further apart than `limit`, or other values that are not equal."""
    if sized and all(map(_is_number, (expected, received))):
        if not abs(received - expected) <= limit:  # NaN is within no limit
            yield Deviation(of, what, expected, received, abs(received - expected))
    elif expected != received:
        yield Deviation(of, what, expected, received)


def _is_number(value: object) -> bool:
    """Whether differences can be taken: JSON may also hold whole numbers beyond what a float does."""
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < sys.float_info.max / 2)
