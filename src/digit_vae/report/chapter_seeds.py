"""Page `seeds`: how far apart runs end that differ in their seed alone, and the paper's two runs among them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digit_vae.analysis.power import Share, share
from digit_vae.analysis.results import FEWEST_SEEDS, Json, Results, RunResult
from digit_vae.analysis.statistics import Placed, Tested, chance_of_more, corrected_t_test, placed, spread, trend
from digit_vae.base.paths import BENCHMARKS
from digit_vae.config.schema import BASELINE
from digit_vae.model.units import UNITS
from digit_vae.report import figures
from digit_vae.report.chapter_full import collapsed_share
from digit_vae.report.origins import origins
from digit_vae.report.pages import Page
from digit_vae.report.paper import TABLE_1, paper_losses
from digit_vae.report.tables import Table
from digit_vae.speed.records import machine_name, read_benchmarks, value_range

STUDY = "seeds"
RECIPE = "recipe"  # the study whose runs the figure shows beside


class Point(NamedTuple):
    """A run's dead units in the hidden layer and its loss, -ELBO, both on the test images."""

    dead_units: int
    loss: float


@dataclass(frozen=True)
class PaperRun:
    """One of the paper's two runs among ours. kl: of its last training loss, nats."""

    label: str
    loss: float
    place: Placed
    kl: float

    @property
    def inside(self) -> bool:
        """Whether another seed of ours is expected to end where it did."""
        return self.place.low <= self.loss <= self.place.high


@dataclass(frozen=True)
class TrainingKl:
    """KL in the last training loss: of runs that use all latent dimensions, and by name of those that do not, with
    beta 1 and no penalty, so that their loss has no term but reconstruction loss and KL, as the paper's. others: the
    runs with another beta or a penalty that ended with a collapsed dimension.
    """

    awake: list[float]
    asleep: dict[str, float]
    others: list[str]


@dataclass(frozen=True)
class Pair:
    """A seed of the baseline on a CPU, and on a GPU: a repetition of a benchmark there, called by `machine`."""

    cpu: RunResult
    gpu: Json
    machine: str

    @property
    def losses(self) -> tuple[float, float]:
        """On the test images after the last epoch, of both."""
        return self.cpu.loss, float(self.gpu["epochs"][-1]["val_loss"])

    @property
    def kls(self) -> tuple[float, float]:
        """In the last training loss, of both."""
        return float(self.cpu.epochs[-1]["kl_loss"]), float(self.gpu["epochs"][-1]["kl_loss"])

    @property
    def collapsed(self) -> tuple[int, int]:
        """Latent dimensions, of both."""
        return self.cpu.collapsed, int(self.gpu["epochs"][-1]["health"]["collapsed_dimensions"])


@dataclass(frozen=True)
class Device:
    """The same seeds on a CPU and on a GPU.

    tested: the loss on the GPU less that on the CPU, by the paired t-test, from two pairs on; awake: the same of the
    pairs without a collapsed dimension.
    """

    pairs: list[Pair]
    tested: Tested | None
    awake: Tested | None

    @property
    def collapsed(self) -> list[Pair]:
        """Those that lost a dimension on the GPU, and not on the CPU."""
        return [pair for pair in self.pairs if pair.collapsed[1] > pair.collapsed[0]]

    @property
    def share(self) -> Share:
        """How many of the seeds ended with a collapsed dimension on the GPU."""
        return share(sum(pair.collapsed[1] > 0 for pair in self.pairs), len(self.pairs))


@dataclass(frozen=True)
class Collapses:
    """How often a latent dimension of the baseline stays collapsed, and what such runs end at.

    seeds: of its runs on all training images; all: of those on folds, too. ends: by name of each run of beta 1 without
    penalty that ended so, of whatever variant, its loss on its validation images. chance: that a seed which uses all
    dimensions ends at the paper's GPU loss or above.
    """

    seeds: Share
    all: Share
    ends: dict[str, float]
    chance: float


def page(results: Results) -> Page:
    """Without figures and tables where the study is left out, or has too few seeds to say something."""
    runs = baseline_seeds(results)
    if len(runs) < FEWEST_SEEDS:
        return Page({"runs": [], "fewest": FEWEST_SEEDS, "left_out": results.left_out.get(STUDY)})
    losses = [each.loss for each in runs]
    found, benchmarks = points(runs), read_benchmarks(BENCHMARKS)
    device = on_both_devices(runs, benchmarks.values())
    values = {
        "runs": runs,
        "losses": losses,
        "spread": spread(losses),
        "paper": among(losses),
        "devices": sorted({each.history["params"]["device"].upper() for each in runs}),
        "kl": training_kl(results.runs.values()),
        "collapses": collapses(results, runs),
        "trend": trend([point.dead_units for point in found], [point.loss for point in found]),
        "units": UNITS["hidden"],
        "device": device,
        "origins": origins(runs),
        "left_out": None,
    }
    tables = {"seeds": seeds(runs), "dead_units": dead_units(found)}
    if device.pairs:
        tables["devices"] = devices(device.pairs)
    return Page(values, tables, {"seeds": _figure(results, runs)})


def baseline_seeds(results: Results) -> list[RunResult]:
    """The baseline's runs on all training images; none where the study of seeds is left out."""
    return results.on_full(STUDY).get(BASELINE, []) if STUDY in results.studies("beyond") else []


def recipe_runs(results: Results) -> dict[str, list[RunResult]]:
    """The recipes' runs on all training images, by variant; none where its study is left out."""
    if RECIPE not in results.studies("beyond"):
        return {}
    full = results.on_full(RECIPE)
    return {name: full[name] for name in results.params.studies[RECIPE].variants if name in full}


def among(losses: Sequence[float]) -> list[PaperRun]:
    """The paper's two runs among ours."""
    ends = {label: epochs[-1] for label, epochs in TABLE_1.items()}
    return [
        PaperRun(label, end.val_loss, placed(end.val_loss, losses), end.loss - end.reconstruction_loss)
        for label, end in ends.items()
    ]


def training_kl(results: Iterable[RunResult]) -> TrainingKl:
    awake, asleep, others = list[float](), dict[str, float](), list[str]()
    for each in results:
        params, kl = each.history["params"], each.epochs[-1]["kl_loss"]
        if params["beta"] == 1 and not params["kernel_l1"] + params["kernel_l2"]:
            if each.collapsed:
                asleep[each.name] = kl
            else:
                awake.append(kl)
        elif each.collapsed:
            others.append(each.name)
    return TrainingKl(awake, asleep, others)


def collapses(results: Results, seeds: Sequence[RunResult]) -> Collapses:
    """seeds: the baseline's runs on all training images."""
    everywhere = [each for each in results.runs.values() if each.run.variant == BASELINE]
    awake = [each.loss for each in seeds if not each.collapsed]
    return Collapses(
        seeds=collapsed_share(seeds),
        all=collapsed_share(everywhere),
        ends={name: results.runs[name].loss for name in training_kl(results.runs.values()).asleep},
        chance=chance_of_more(paper_losses()["GPU"], awake),
    )


def on_both_devices(runs: Iterable[RunResult], benchmarks: Iterable[Json]) -> Device:
    """Pairs of these runs with repetitions of float32 benchmarks on a GPU: equal seed, data and number of epochs."""
    seeds = {each.run.seed: each for each in runs if each.history["params"]["device"] == "cpu"}
    pairs = [
        Pair(seeds[repetition["seed"]], repetition, machine_name(benchmark["machine"]))
        for benchmark in benchmarks
        if (benchmark["machine"]["device"], benchmark["machine"]["precision"]) == ("gpu", "float32")
        for repetition in benchmark["runs"]
        if repetition["seed"] in seeds and _same_task(benchmark, seeds[repetition["seed"]])
    ]
    awake = [pair for pair in pairs if not any(pair.collapsed)]
    return Device(pairs, _paired(pairs), _paired(awake))


def _same_task(benchmark: Json, run: RunResult) -> bool:
    return (benchmark["data"], benchmark["params"]["epochs"]) == (run.history["data"], len(run.epochs))


def _paired(pairs: Sequence[Pair]) -> Tested | None:
    """Runs of different seeds share no images that are left out: the correction of the t-test is none."""
    differences = [gpu - cpu for cpu, gpu in (pair.losses for pair in pairs)]
    return corrected_t_test(differences, test_to_train=0) if len(differences) > 1 else None


def devices(pairs: Iterable[Pair]) -> Table:
    """A row a pair: loss on the test images, KL in the training loss and collapsed dimensions, on both devices."""
    header = ("Seed", "GPU", "Loss, CPU", "Loss, GPU", "GPU - CPU", "KL, CPU", "KL, GPU")
    rows = tuple(
        (each.cpu.run.seed, each.machine, *each.losses, each.losses[1] - each.losses[0], *each.kls, *each.collapsed)
        for each in sorted(pairs, key=lambda pair: (pair.machine, pair.cpu.run.seed))
    )
    return Table((*header, "Collapsed, CPU", "Collapsed, GPU"), rows)


def points(runs: Iterable[RunResult]) -> list[Point]:
    return [Point(int(each.number("test", "dead_units")), -each.number("test", "elbo")) for each in runs]


def seeds(runs: Sequence[RunResult]) -> Table:
    """The baseline's seeds and the paper's two runs, by rising loss on the test images after the last epoch."""
    losses = [each.loss for each in runs]
    rows: list[tuple[float, str, int | None, tuple[int | None, int | None]]] = [
        (each.loss, each.name, each.run.seed, (each.dead_units, each.collapsed)) for each in runs
    ]
    rows += [(loss, f"paper, {label}", None, (None, None)) for label, loss in paper_losses().items()]
    header = (
        "Run",
        "Seed",
        "Test loss",
        "Standard deviations from our mean",
        "Dead hidden units",
        "Collapsed dimensions",
    )
    return Table(
        header,
        tuple(
            (name, seed, loss, placed(loss, losses).deviations, *health)
            for loss, name, seed, health in sorted(rows, key=lambda row: row[0])
        ),
    )


def dead_units(found: Iterable[Point]) -> Table:
    """-ELBO on the test images by the number of dead hidden units."""
    losses: dict[int, list[float]] = {}
    for point in sorted(found):
        losses.setdefault(point.dead_units, []).append(point.loss)
    rows = tuple((dead, len(each), value_range(each)) for dead, each in losses.items())
    return Table(("Dead hidden units", "Runs", "-ELBO, test images: median [least, greatest]"), rows)


def _figure(results: Results, runs: Sequence[RunResult]) -> figures.Figure:
    losses = [each.loss for each in runs]
    place = placed(paper_losses()["CPU"], losses)
    shown = {BASELINE: runs, **recipe_runs(results)}
    rows = {name: [each.loss for each in its] for name, its in shown.items()}
    return figures.seeds(rows, (place.low, place.high), paper_losses(), points(runs), units=UNITS["hidden"])
