"""Page `runs`: every run of a graph in one table, how healthy the trainings were, and which machines made them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, median_low

from digit_vae.analysis.results import Results, RunResult
from digit_vae.config.runs import Graph
from digit_vae.config.schema import BASELINE, FULL
from digit_vae.model.units import UNITS
from digit_vae.report import figures
from digit_vae.report.origins import letter, machines, machines_table, origins
from digit_vae.report.pages import Page
from digit_vae.report.paper import paper_curves
from digit_vae.report.tables import Cell, Table
from digit_vae.speed.records import Range
from digit_vae.training.health import COLLAPSED_NATS

LINES = 3  # colours of the figure of health


@dataclass(frozen=True)
class Worst:
    """The run with the worst ELBO on the test images, of those with the baseline's beta: another one costs ELBO.

    median: of the losses (-ELBO) of all these; complaints: what is beyond the thresholds. siblings: the other runs of
    its variant; the ends of their losses and dead hidden units, and the most epochs that one was asleep.
    """

    result: RunResult
    loss: float
    median: float
    complaints: list[str]
    siblings: int
    losses: tuple[float, float] | None
    dead: list[int]
    asleep: int


def page(results: Results, graph: Graph) -> Page:
    """Of all runs of `results`, those beyond the paper with the paper's. Without values where `graph` has no runs."""
    runs = list(results.runs.values())
    if not results.in_graph(graph):
        return Page({"values": None})
    elbos = sorted((each.number("test", "elbo"), each.name) for each in runs)
    lines = seed_lines(results, graph)
    worst = worst_run(results, runs)
    values = {
        "runs": len(runs),
        "best": elbos[-1],
        "lowest": elbos[0],
        "on_full": list(lines),
        "worst": worst,
        "warned": [each.name for each in runs if results.complaints(each)],
        "dead": {name: int(median_low([each.dead_units for each in its])) for name, its in by_variant(runs).items()},
        "limits": results.params.health,
        "units": UNITS["hidden"],
        "collapsed_nats": COLLAPSED_NATS,
        "origins": origins(runs),
    }
    made = {"runs": all_runs(runs), "health": health(results, runs), "health_runs": health_runs(results, runs)}
    return Page({"values": values}, made | {"machines": machines_table(runs)}, {"health": _figure(lines, worst.result)})


def all_runs(runs: Sequence[RunResult]) -> Table:
    """Every run on its validation images and on the test images, with the seconds of its training steps."""
    keys = ("reconstruction_loss", "kl_loss", "elbo", "active_units", "dead_units")
    titles = ("recon. loss", "KL", "ELBO", "active units", "dead units")
    known = machines(runs)
    rows: list[tuple[Cell, ...]] = []
    for each in runs:
        numbers = (each.metrics[images][key] for images in ("validation", "test") for key in keys)
        machines_of = (letter(content["machine"], known) for content in (each.timings, each.evaluation))
        # Without labels there is no classifier.
        judge = each.evaluation["classifier_sha256"][:8] if "quality" in each.metrics else ""
        rows.append((each.name, *numbers, seconds(each), *machines_of, judge))
    header = (*(f"Val {title}" for title in titles), *(f"Test {title}" for title in titles))
    return Table(("Run", *header, "Training (s)", "Trained on", "Evaluated on", "Classifier"), tuple(rows))


def seconds(result: RunResult) -> float:
    """Seconds of all training steps, without set-up and validation."""
    return sum(float(epoch["train_seconds"]) for epoch in result.timings["epochs"])


def health(results: Results, runs: Iterable[RunResult]) -> Table:
    """Dead units after the last epoch, median [least, greatest] over the runs of a variant."""
    rows: list[tuple[Cell, ...]] = []
    for variant, its in by_variant(runs).items():
        dead = {layer: [each.health["dead_units"][layer] for each in its] for layer in UNITS}
        ranges = (Range(median_low(dead[layer]), min(dead[layer]), max(dead[layer])) for layer in UNITS)
        collapsed = sum(each.collapsed > 0 for each in its)
        warned = sum(bool(results.complaints(each)) for each in its)
        rows.append((variant, len(its), *ranges, collapsed, warned))
    layers = (f"{layer} (of {units})" for layer, units in UNITS.items())
    header = ("Variant", "Runs", *layers, "Runs with a collapsed dimension", "Runs with a warning")
    return Table(header, tuple(rows), digits=0)


def health_runs(results: Results, runs: Iterable[RunResult]) -> Table:
    """A row for each run: its health after the last epoch, and what is beyond the thresholds."""
    rows = []
    for each in runs:
        last = each.epochs[-1]
        loss = last["val_reconstruction_loss"] + last["val_kl_loss"]
        dead = (each.health["dead_units"][layer] for layer in UNITS)
        least = min(each.health["kl_per_dimension"].values())
        rows.append((each.name, loss, *dead, each.collapsed, least, "; ".join(results.complaints(each))))
    further = ("Collapsed dimensions", "Least KL of a dimension", "Beyond the thresholds")
    return Table(("Run", "-ELBO, validation", *UNITS, *further), tuple(rows))


def by_variant(runs: Iterable[RunResult]) -> dict[str, list[RunResult]]:
    found: dict[str, list[RunResult]] = {}
    for each in runs:
        found.setdefault(each.run.variant, []).append(each)
    return found


def worst_run(results: Results, runs: Iterable[RunResult]) -> Worst:
    like = [each for each in runs if each.history["params"]["beta"] == results.params.train.beta]
    losses = {each.name: -each.number("test", "elbo") for each in like}
    found = max(like, key=lambda each: losses[each.name])
    siblings = [each for each in like if each.run.variant == found.run.variant and each is not found]
    ends = sorted(losses[each.name] for each in siblings)
    return Worst(
        result=found,
        loss=losses[found.name],
        median=median(losses.values()),
        complaints=results.complaints(found),
        siblings=len(siblings),
        losses=(ends[0], ends[-1]) if ends else None,
        dead=[each.dead_units for each in siblings],
        asleep=max((each.epochs_asleep for each in siblings), default=0),
    )


def seed_lines(results: Results, graph: Graph) -> dict[str, list[RunResult]]:
    """Of each graph the variants with several seeds on all training images, two at most, the baseline first."""
    full = by_variant(each for each in results.runs.values() if each.run.split == FULL)
    several = {name: its for name, its in full.items() if len(its) > 1 or name == BASELINE}
    names = [name for name in several if name == BASELINE or graph == "beyond"]
    return {name: several[name] for name in names[: LINES - 1]}


def _figure(lines: Mapping[str, Sequence[RunResult]], worst: RunResult) -> figures.Figure:
    curves = {name: [each.epochs for each in its] for name, its in lines.items()}
    if worst.name not in [each.name for its in lines.values() for each in its]:
        curves[worst.name] = [worst.epochs]
    return figures.health(curves, paper_curves(), units=UNITS["hidden"])
