"""Compares a run that was trained anew with the published one.

On a machine with the same fingerprint every byte has to be the same. So it has in float32 on another processor with
AVX-512 and the same versions, if it is one on which bytes were seen to hold (reports/processors); on one where nobody
has looked yet they are compared and reported, and tolerances decide. Elsewhere the order of sums differs, and with it
the last bits of every step, until the run is as far from the published one as another seed's would be: losses have to
lie within tolerances. What a run was asked to do (params, data, folds) has to be the same everywhere. The health of
an epoch (the units and dimensions that died) only has to be there: on another machine other ones die.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from digit_vae.base.errors import UserError
from digit_vae.base.files import readable
from digit_vae.base.nested import flat
from digit_vae.model.weights import UNREADABLE
from digit_vae.verification.evidence import EVALUATED_FILES, TRAINED_FILES, WEIGHTS, Evidence, md5
from digit_vae.verification.fingerprints import Bytes, is_seen, repeats
from digit_vae.verification.tolerance import EXACT, Tolerance, is_number

Tensor = np.ndarray[Any, np.dtype[Any]]


class Deviation(NamedTuple):
    """One deviation: the run or file, what deviates in it, and by how much (None: it is no number)."""

    of: str
    what: str
    expected: object
    received: object
    size: float | None = None

    def __str__(self) -> str:
        size = "" if self.size is None else f", {self.size:.3g} apart"
        return f"{self.of}: {self.what}: expected {self.expected}, received {self.received}{size}"


class Outcome(NamedTuple):
    """The outcome for one run or file: how it was compared, and what deviates."""

    of: str
    how: str
    deviations: list[Deviation]


def compare(
    run: str, published: Evidence, anew: Evidence, tolerance: Tolerance, seen: Sequence[Mapping[str, Any]] = ()
) -> Outcome:
    """Compares what was trained anew with what was published. seen: see `repeats`.

    An evaluation has to repeat its bytes if both it and the training were on a machine with the published fingerprint.
    """
    training = repeats(published.machine, anew.machine, seen)
    evaluation = min(training, repeats(published.evaluated_on, anew.evaluated_on, seen))
    trains, evaluates = (each is Bytes.DEMANDED for each in (training, evaluation))
    of_training, of_evaluation = (EXACT if exact else tolerance for exact in (trains, evaluates))
    files = [*(TRAINED_FILES if trains else ()), *(EVALUATED_FILES if evaluates else ())]
    locked = {name: digest for name, digest in published.md5.items() if name in files}
    deviations = [
        *compare_values(run, "params", published.params, anew.params),
        *compare_values(run, "data", published.data, anew.data),
        *compare_losses(run, published.epochs, anew.epochs, of_training),
        *compare_metrics(run, published.metrics, anew.metrics, of_evaluation),
        *(_weights(run, published.weights, anew.weights) if trains else ()),
        *(_apart(run, "classifier", published.classifier_sha256, anew.classifier_sha256) if evaluates else ()),
        *compare_values(run, "MD5 of", locked, {name: anew.md5[name] for name in locked}),
    ]
    how = _how(files, locked, published, anew, of_evaluation) + _open(published, anew, (training, evaluation), seen)
    return Outcome(run, how, deviations)


def _open(published: Evidence, anew: Evidence, asked: tuple[Bytes, Bytes], seen: Sequence[Mapping[str, Any]]) -> str:
    """What is to be said of the bytes of training and evaluation that are not demanded."""
    expected = [
        name
        for part, names in zip(asked, (TRAINED_FILES, EVALUATED_FILES), strict=True)
        if part is Bytes.EXPECTED
        for name in names
    ]
    if expected := [name for name in expected if name in published.md5]:
        return _unseen(expected, published, anew, seen)
    if asked[0] is Bytes.OPEN:
        other = [
            name for name, value in published.machine.items() if name != "cores" and anew.machine.get(name) != value
        ]
        return f"; bytes are not compared: other {', '.join(sorted(other)) or 'fingerprint'}"
    return ""


def _unseen(files: Sequence[str], published: Evidence, anew: Evidence, seen: Sequence[Mapping[str, Any]]) -> str:
    """Of files whose bytes should be equal, but were not yet seen to be on both processors: how many are."""
    unlisted = {str(machine["cpu"]) for machine in (published.machine, anew.machine) if not is_seen(machine, seen)}
    where = " and ".join(sorted(unlisted)) or "the evaluation's processor"
    if differing := [name for name in files if published.md5[name] != anew.md5[name]]:
        return f"; nobody saw bytes hold on {where} yet: {len(differing)} of {len(files)} files differ"
    return f"; all bytes of {len(files)} files hold on {where} too: add this processor"


def _how(
    files: Sequence[str], locked: Mapping[str, str], published: Evidence, anew: Evidence, evaluation: Tolerance
) -> str:
    metrics = flat(anew.metrics).items()
    held = sum(math.isfinite(evaluation.of_metric(*metric)) for metric in metrics)
    numbers = f"{len(anew.epochs)} epochs and {held} of {len(metrics)} metrics"
    if not files:
        return f"{numbers} within tolerances{_farthest(published.epochs, anew.epochs)}"
    exact = f"{len(locked)} files byte for byte" if locked else "no bytes, for which no lock vouches"
    return exact if len(locked) == len(TRAINED_FILES) + len(EVALUATED_FILES) else f"{numbers}, {exact}"


def _farthest(published: Sequence[Mapping[str, Any]], anew: Sequence[Mapping[str, Any]]) -> str:
    """How far the losses of two trainings are apart at most."""
    apart = [
        (abs(anew_value - value), name, number)
        for number, (expected, received) in enumerate(zip(published, anew, strict=False), 1)
        for name, value in expected.items()
        if is_number(value) and is_number(anew_value := received.get(name))
    ]
    if not apart:
        return ""
    size, name, number = max(apart)
    return f", losses at most {size:.3g} nats apart ({name} of epoch {number})"


def compare_values(
    of: str, what: str, expected: Mapping[str, object], received: Mapping[str, object]
) -> Iterator[Deviation]:
    """Compares values by name that have to be equal on every machine."""
    for name in sorted(expected.keys() | received.keys()):
        if expected.get(name) != received.get(name):
            yield Deviation(of, f"{what} {name}", expected.get(name), received.get(name))


def compare_metrics(
    of: str, published: Mapping[str, object], anew: Mapping[str, object], allowed: Tolerance
) -> Iterator[Deviation]:
    """The numbers of a metrics.json, nested as there."""
    expected, received = flat(published), flat(anew)
    for name in sorted(expected.keys() | received.keys()):
        values = expected.get(name), received.get(name)
        yield from _apart(of, f"metric {name}", *values, allowed.of_metric(name, values[0]))


def compare_files(of: str, root: Path, expected: Mapping[str, str]) -> Outcome:
    """Files and folders below `root`, against the MD5 that is expected of each."""
    received = {name: md5(root / name) for name in expected if (root / name).exists()}
    return Outcome(of, f"MD5 of {len(expected)}", list(compare_values(of, "MD5 of", expected, received)))


def compare_losses(
    run: str, published: Sequence[Mapping[str, Any]], anew: Sequence[Mapping[str, Any]], allowed: Tolerance
) -> Iterator[Deviation]:
    """The first epoch that deviates, with its loss that deviates most, or else its health."""
    yield from _apart(run, "number of epochs", len(published), len(anew))
    for number, (expected, received) in enumerate(zip(map(flat, published), map(flat, anew), strict=False), 1):
        found = []
        for name in sorted(expected.keys() | received.keys()):
            limit = allowed.of_loss(name, number, len(published))
            deviations = _apart(run, f"epoch {number}, {name}", expected.get(name), received.get(name), limit)
            found += [(not name.startswith("health."), _size(each), each) for each in deviations]
        if found:
            yield max(found, key=lambda each: each[:2])[2]
            return


def _size(deviation: Deviation) -> float:
    """The size of a deviation; what is missing or no number counts as the largest."""
    return math.inf if deviation.size is None or math.isnan(deviation.size) else deviation.size


def _weights(run: str, published: Mapping[str, Path], anew: Mapping[str, Path]) -> Iterator[Deviation]:
    """The tensors that deviate, each with its largest difference, in the files that both have."""
    for name in WEIGHTS:
        if name not in published or name not in anew:
            continue
        try:
            expected, received = tensors(published[name]), tensors(anew[name])
        except UserError as error:
            yield Deviation(run, name, "files that can be read", str(error))
            continue
        for tensor in sorted(expected.keys() | received.keys()):
            yield from _tensor(run, f"{name} {tensor}", expected.get(tensor), received.get(tensor))


def tensors(weights: Path) -> dict[str, Tensor]:
    """Every tensor of a `.weights.h5` file by its path in it. Raises: UserError when the file is damaged."""
    found: dict[str, Tensor] = {}

    def collect(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item[()])
            if found[name].dtype.kind not in "biuf":
                raise TypeError(f"{name} holds no numbers, but {found[name].dtype}")

    try:
        with h5py.File(readable(weights)) as opened:
            opened.visititems(collect)
    except UNREADABLE as error:
        raise UserError(f"{weights} is damaged ({' '.join(str(error).split())})") from error
    return found


def _tensor(run: str, what: str, expected: Tensor | None, received: Tensor | None) -> Iterator[Deviation]:
    if expected is None or received is None or expected.shape != received.shape or expected.dtype != received.dtype:
        old, new = ("nothing" if each is None else f"{each.dtype} {each.shape}" for each in (expected, received))
        yield Deviation(run, what, old, new)
        return
    with np.errstate(invalid="ignore"):  # of infinities the difference is NaN, which argmax takes for the largest
        same = (expected == received) | (np.isnan(expected) & np.isnan(received))
        sizes = np.where(same, 0, np.abs(received.astype(np.float64) - expected))
    if not same.all():
        place = np.unravel_index(sizes.argmax(), sizes.shape)
        where = [int(index) for index in place]
        yield Deviation(run, f"{what}{where}", *(float(each[place]) for each in (expected, received, sizes)))


def _apart(of: str, what: str, expected: object, received: object, limit: float = 0) -> Iterator[Deviation]:
    """The deviation, if there is one: numbers further apart than `limit`, or other values that are not equal."""
    if is_number(expected) and is_number(received):
        if not abs(received - expected) <= limit:  # NaN is within no limit
            yield Deviation(of, what, expected, received, abs(received - expected))
    elif expected != received:
        yield Deviation(of, what, expected, received)
