"""Which machines trained and evaluated runs, and which classifiers judged them: what numbers may differ by."""

from collections.abc import Iterable
from dataclasses import dataclass
from string import ascii_uppercase

from digit_vae.analysis.results import Json, RunResult
from digit_vae.report.tables import Table
from digit_vae.speed.records import machine_name

LEFT_OUT = ("device", "precision", "python", "h5py", "scipy", "scikit-learn")


@dataclass(frozen=True)
class Origins:
    """How many machines trained the runs, how many evaluated them, and how many classifiers judged."""

    trained_on: int
    evaluated_on: int
    classifiers: int

    @property
    def several(self) -> bool:
        return max(self.trained_on, self.evaluated_on, self.classifiers) > 1


def origins(results: Iterable[RunResult]) -> Origins:
    found = list(results)
    return Origins(
        len(_distinct(each.timings["machine"] for each in found)),
        len(_distinct(each.evaluation["machine"] for each in found)),
        len({each.evaluation["classifier_sha256"] for each in found}),
    )


def machines(results: Iterable[RunResult]) -> list[Json]:
    """The machines of all runs, none twice, in the order of the runs."""
    found = list(results)
    return _distinct(content["machine"] for each in found for content in (each.timings, each.evaluation))


def letter(machine: Json, known: list[Json]) -> str:
    """What the tables call a machine: A, B, ..."""
    place = known.index(_fingerprint(machine))
    return ascii_uppercase[place % 26] + (str(place // 26) if place >= 26 else "")


def machines_table(results: Iterable[RunResult]) -> Table:
    """A row for each machine: what it is, and how many runs it trained and evaluated."""
    found = list(results)
    known = machines(found)
    trained = [letter(each.timings["machine"], known) for each in found]
    evaluated = [letter(each.evaluation["machine"], known) for each in found]
    rows = []
    for machine in known:
        name = letter(machine, known)
        software = f"TensorFlow {machine.get('tensorflow', '?')}, Keras {machine.get('keras', '?')}"
        switches = ", ".join(f"{key}={value}" for key, value in machine.get("switches", {}).items())
        what = (machine_name(machine), machine["platform"], software, switches)
        rows.append((name, *what, trained.count(name), evaluated.count(name)))
    return Table(("", "Machine", "Platform", "Software", "Switches", "Runs trained", "Runs evaluated"), tuple(rows))


def _distinct(fingerprints: Iterable[Json]) -> list[Json]:
    found: list[Json] = []
    for each in map(_fingerprint, fingerprints):
        if each not in found:
            found.append(each)
    return found


def _fingerprint(machine: Json) -> Json:
    """A machine's fingerprint without what the params of a run decide, without what changes no number, and without
    what only evaluations record.
    """
    return {key: value for key, value in machine.items() if key not in LEFT_OUT}
