"""A section about a study on all training images: each variant beside the seeds of the one it is compared with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from digit_vae.analysis.power import Share, share
from digit_vae.analysis.results import FEWEST_SEEDS, Results, RunResult
from digit_vae.analysis.statistics import Placed, Spread, placed, spread
from digit_vae.model.units import UNITS
from digit_vae.report.origins import Origins, origins
from digit_vae.report.tables import Cell, Nats, Table


@dataclass(frozen=True)
class Reading:
    """Where the first run of a variant stands among the seeds that it is compared with.

    like: other variants of which another seed may end where it does. dead: its dead hidden units.
    """

    run: str
    loss: float
    place: Placed
    like: list[str]
    dead: int
    asleep: int

    @property
    def better(self) -> bool:
        return self.loss < self.place.low

    @property
    def worse(self) -> bool:
        return self.loss > self.place.high


@dataclass(frozen=True)
class FullSection:
    """What the templates say of a study. dead: the least and the greatest number of dead hidden units of the seeds."""

    name: str
    question: str
    against: str
    seeds: int
    dead: tuple[int, int]
    units: int
    readings: list[Reading]
    origins: Origins


def full_section(results: Results, study: str) -> FullSection | None:
    """None where the study compares nothing on all training images, or with too few seeds."""
    full, against = _ordered(results, study), results.params.studies[study].against
    if against is None or len(full.get(against, [])) < FEWEST_SEEDS or len(full) < 2:
        return None
    units = [each.dead_units for each in full[against]]
    return FullSection(
        name=study,
        question=results.params.studies[study].question,
        against=against,
        seeds=len(full[against]),
        dead=(min(units), max(units)),
        units=UNITS["hidden"],
        readings=[_reading(full, name, against) for name in full if name != against],
        origins=origins(each for runs in full.values() for each in runs),
    )


def beside_seeds(results: Results, study: str) -> Table:
    """A row for each variant: mean ± standard deviation over its seeds where there are several."""
    full, against = _ordered(results, study), str(results.params.studies[study].against)
    losses = [each.loss for each in full[against]]
    rows = []
    for name, runs in full.items():
        place = placed(runs[0].loss, losses) if len(runs) == 1 else None
        rows.append(
            (
                name,
                ", ".join(f"{key} {value}" for key, value in results.params.variants[name].items()),
                len(runs),
                over_runs([each.loss for each in runs]),
                *((place.deviations, place.below) if place else (None, None)),
                *(over_runs([getattr(each, key) for each in runs]) for key in ("dead_units", "collapsed")),
                _likelihood(runs, "grey", "elbo"),
                _likelihood(runs, "binarised", "log_likelihood"),
            )
        )
    header = ("Variant", "Changed", "Runs", "Test loss", f"Deviations from the mean of {against}", "Seeds below it")
    further = ("Dead hidden units", "Collapsed dimensions", "ELBO (grey)", "log p(x) (binarised)")
    return Table((*header, *further), tuple(rows))


def over_runs(values: Sequence[float]) -> Spread:
    """Mean and deviation; of a single run its value alone."""
    return spread(values) if len(values) > 1 else Spread(values[0], None)


def collapsed_share(runs: Collection[RunResult]) -> Share:
    """The share of runs that ended with a collapsed latent dimension."""
    return share(sum(each.collapsed > 0 for each in runs), len(runs))


def _ordered(results: Results, study: str) -> dict[str, list[RunResult]]:
    """The runs on all training images by variant: the one that is compared with, the study's own, then the others."""
    full, its = results.on_full(study), results.params.studies[study]
    names = dict.fromkeys(name for name in (its.against, *its.variants, *full) if name in full)
    return {str(name): full[str(name)] for name in names}


def _reading(full: dict[str, list[RunResult]], name: str, against: str) -> Reading:
    run = full[name][0]
    like = []
    for other, runs in full.items():
        if other not in (name, against) and len(runs) >= FEWEST_SEEDS:
            place = placed(run.loss, [each.loss for each in runs])
            like += [other] if place.low <= run.loss <= place.high else []
    theirs = placed(run.loss, [each.loss for each in full[against]])
    return Reading(run.name, run.loss, theirs, like, run.dead_units, run.epochs_asleep)


def _likelihood(runs: Sequence[RunResult], protocol: str, key: str) -> Cell:
    """None where it is not known of other latent dimensions than two."""
    values = [each.metrics["likelihood"][protocol].get(key) for each in runs]
    return None if None in values else Nats(*over_runs(values), protocol)
