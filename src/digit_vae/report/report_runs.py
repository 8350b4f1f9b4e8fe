"""What single runs do that differ in nothing but their seed, and why, in tables and words: seeds and health."""

from collections.abc import Mapping
from statistics import median_low
from typing import NamedTuple

import numpy as np

from digit_vae.speed.records import Range, value_range
from digit_vae.training.health import COLLAPSED_NATS, UNITS
from digit_vae.report.paper import TABLE_1
from digit_vae.config.params import BASELINE, FULL, HealthParams
from digit_vae.analysis.results import FEWEST_SEEDS, IMPROVED, Results
from digit_vae.analysis.statistics import Placed, placed, spread, trend
from digit_vae.report.tables import Table, probability, signed, typeset
from digit_vae.report.wording import HISTORIES, count, folded, image, quoted, span, table_files


class Point(NamedTuple):
    """A run's dead units in the hidden layer and its loss, -ELBO, both on the test images."""

    dead_units: int
    loss: float


def tables(results: Results) -> dict[str, Table]:
    """The tables by file name, as far as there is something in them."""
    made = {"health": health(results), "health_runs": health_runs(results)}
    if len(results.seeds(BASELINE)) >= FEWEST_SEEDS:
        made |= {"seeds": seeds(results), "dead_units": dead_units(results)}
    return made


def sections(results: Results, made: Mapping[str, Table]) -> list[list[str]]:
    """Their text."""
    return [_seeds(results, made), _health(results, made)]


def seeds(results: Results) -> Table:
    """The baseline's seeds and the paper's two runs, by rising loss on the test images after the last epoch."""
    runs = results.seeds(BASELINE)
    losses = results.last_losses(runs)
    others = list(losses.values())
    rows = [
        (name, seed, losses[name], placed(losses[name], others).deviations, *_health_cells(results, name))
        for name, seed in runs.items()
    ]
    rows += [
        (f"paper, {label}", None, loss, placed(loss, others).deviations, None, None)
        for label, loss in published().items()
    ]
    header = ("Run", "Seed", "Test loss", "Deviations from our mean", "Dead hidden units", "Collapsed dimensions")
    return Table(header, tuple(sorted(rows, key=lambda row: row[2])))


def dead_units(results: Results) -> Table:
    """-ELBO on the test images by the number of dead hidden units, over the baseline's seeds."""
    losses: dict[int, list[float]] = {}
    for point in sorted(points(results)):
        losses.setdefault(point.dead_units, []).append(point.loss)
    rows = [(dead, len(each), value_range(each)) for dead, each in losses.items()]
    return Table(("Dead hidden units", "Runs", "-ELBO, test images: median [least, greatest]"), tuple(rows))


def health(results: Results) -> Table:
    """Dead units after the last epoch, median [least, greatest] over the runs of a variant and of its other seeds."""
    rows = []
    for variant in families(results):
        runs = [name for member in results.varied(variant, "seed") for name in results.runs_of(member)]
        dead = {layer: [results.last_health(name)["dead_units"][layer] for name in runs] for layer in UNITS}
        collapsed = sum(results.last_health(name)["collapsed_dimensions"] > 0 for name in runs)
        warned = sum(bool(results.complaints(name)) for name in runs)
        rows.append(
            (
                variant,
                len(runs),
                *(Range(median_low(dead[layer]), min(dead[layer]), max(dead[layer])) for layer in UNITS),
                collapsed,
                warned,
            )
        )
    layers = (f"{layer} (of {units})" for layer, units in UNITS.items())
    return Table(
        ("Variant", "Runs", *layers, "Runs with a collapsed dimension", "Runs with a warning"), tuple(rows), digits=0
    )


def families(results: Results) -> list[str]:
    """The variants but those that are another seed of one before them."""
    seeds: set[str] = set()
    found = []
    for variant in results.params.variants:
        if variant not in seeds:
            found.append(variant)
            seeds |= results.varied(variant, "seed").keys()
    return found


def health_runs(results: Results) -> Table:
    """A row for each run: its health after the last epoch, and what is beyond the thresholds."""
    rows = []
    for name, history in results.histories.items():
        last = results.last_health(name)
        dead = (last["dead_units"][layer] for layer in UNITS)
        kl = last["kl_per_dimension"].values()
        said = "; ".join(results.complaints(name))
        last_epoch = history["epochs"][-1]
        loss = last_epoch["val_reconstruction_loss"] + last_epoch["val_kl_loss"]
        rows.append((name, loss, *dead, last["collapsed_dimensions"], min(kl), said))
    further = ("Collapsed dimensions", "Least KL of a dimension", "Beyond the thresholds")
    return Table(("Run", "-ELBO, validation", *UNITS, *further), tuple(rows))


def points(results: Results) -> list[Point]:
    """The baseline's seeds, which have all learnt from the same images."""
    test = [results.metrics[name]["test"] for name in results.seeds(BASELINE)]
    return [Point(each["dead_units"], -each["elbo"]) for each in test]


def published() -> dict[str, float]:
    """The paper's losses on the test images after its last epoch, by device."""
    return {label: epochs[-1].val_loss for label, epochs in TABLE_1.items()}


def _seeds(results: Results, made: Mapping[str, Table]) -> list[str]:
    title = "## Seeds: the paper's two runs among ours"
    if "seeds" not in made:
        return [title, f"Fewer than {FEWEST_SEEDS} runs differ from `{BASELINE}-{FULL}` in their seed alone."]
    losses = list(results.last_losses(results.seeds(BASELINE)).values())
    mean, std = spread(losses)
    places = {label: placed(loss, losses) for label, loss in published().items()}
    some = next(iter(places.values()))
    return [
        title,
        made["seeds"].markdown(),
        image("seeds", "Loss on the test images by seed, the paper's two runs, and loss against dead units"),
        f"{len(losses)} runs of the paper's model on all training images, which differ in their seed alone, end "
        f"between {min(losses):.2f} and {max(losses):.2f} nats on the test images: {mean:.2f} ± {std:.2f}. One more "
        f"such run is expected between {some.low:.2f} and {some.high:.2f} (95 %, if they are normally distributed).",
        "\n".join(f"- {_placed(label, place, len(losses))}" for label, place in places.items()),
        _cpu_against_gpu(results, places),
        _kl_in_training(results),
        *_dead_units(results, made),
        f"Numbers: {HISTORIES}, `val_loss` of the last epoch, and `test` in `reports/metrics/runs/<run>.json`; the "
        f"paper's: its Table I; as tables: {table_files('seeds', 'dead_units')}.",
    ]


def _placed(label: str, place: Placed, runs: int) -> str:
    loss = published()[label]
    inside = "inside" if place.low <= loss <= place.high else "outside"
    away = "" if place.deviations is None else f" {signed(place.deviations, 1)} standard deviations from their mean,"
    above = f"above {place.below} of our {count(runs, 'run')}"
    return f"The paper's {label} run, {loss:.2f}: {above},{away} {inside} that interval."


def _cpu_against_gpu(results: Results, places: Mapping[str, Placed]) -> str:
    """What the placing shows and what it does not."""
    within = {label: place.low <= published()[label] <= place.high for label, place in places.items()}
    apart = abs(published()["GPU"] - published()["CPU"])
    shown = [
        f"the {label} run is {'inside' if inside else 'outside'} of what another seed of our implementation is "
        "expected to give"
        for label, inside in within.items()
    ]
    devices = sorted({results.histories[name]["params"]["device"].upper() for name in results.seeds(BASELINE)})
    return (
        f"Shown: {'; '.join(shown)}. Not shown: that the device made the {apart:.2f} nats between them. The paper "
        "ran its model once on each and names no seed; a difference between its code and ours would look the same, "
        f"and all runs here were on a {' or '.join(devices)}. To show an effect of the device takes several seeds on "
        "both, with the same code."
    )


def _kl_in_training(results: Results) -> str:
    """The KL in the last training loss, which follows from the paper's Table I: loss less reconstruction loss.

    Beside it that of our runs with beta 1 and no penalty, whose loss has no further term.
    """
    theirs = {label: epochs[-1].loss - epochs[-1].reconstruction_loss for label, epochs in TABLE_1.items()}
    awake, asleep = [], []
    for name, history in results.histories.items():
        params, kl = history["params"], history["epochs"][-1]["kl_loss"]
        if params["beta"] == 1 and not params["kernel_l1"] + params["kernel_l2"]:
            if results.last_health(name)["collapsed_dimensions"]:
                asleep.append(f"{kl:.2f} in `{name}`")
            else:
                awake.append(kl)
    of_paper = " and ".join(f"{kl:.2f} nats in its {label} run" for label, kl in theirs.items())
    said = f"What may have gone differently: of the paper's last training loss the KL is {of_paper}"
    if not awake:
        return f"{said}."
    said += (
        f"; in our {count(len(awake), 'run')} that use all latent dimensions it is {min(awake):.2f} to {max(awake):.2f}"
    )
    if not asleep:
        return f"{said}. None of our runs ended with a collapsed dimension."
    said += f", with a collapsed one {', '.join(asleep)}"
    fits = theirs["GPU"] < min(awake)
    return said + (". A GPU run that used one of its dimensions alone would fit; that is no proof." if fits else ".")


def _dead_units(results: Results, made: Mapping[str, Table]) -> list[str]:
    found = points(results)
    line = trend([point.dead_units for point in found], [point.loss for point in found])
    if line is None:
        return [made["dead_units"].markdown()]
    return [
        made["dead_units"].markdown(),
        f"Dead units and loss: over these {len(found)} runs each further dead unit in the encoder's hidden layer of "
        f"{UNITS['hidden']} comes with {signed(line.slope)} nats [{signed(line.low)}, {signed(line.high)}] of loss "
        f"(-ELBO; rank correlation {typeset(line.correlation)}, p {probability(line.p)}; loss and dead units by stage "
        "`evaluate`, over all test images). That is a relation among trained runs, not an experiment: it does not show "
        "that the dead units cause the loss.",
    ]


def _health(results: Results, made: Mapping[str, Table]) -> list[str]:
    warned = [name for name in results.histories if results.complaints(name)]
    return [
        "## Health of the trainings",
        made["health"].markdown(),
        image("health", "Validation loss, dead hidden units and KL of the least used dimension by epoch"),
        "After the last epoch: median [least, greatest] over the runs of a variant, other seeds included, of the units "
        "of each layer that are positive in none of the first 2,000 validation images; a latent dimension has "
        f"collapsed below {COLLAPSED_NATS:g} nats of KL. In the figure a line is a seed of `{BASELINE}` or "
        f"`{IMPROVED}` on `{FULL}`; the worst run with their beta, `{worst(results)}`, is among or beside them.",
        f"{_thresholds(results.params.health)} {len(warned)} of {count(len(results.histories), 'run')} have one"
        + (f": {quoted(warned)}." if warned else "."),
        f"{_hidden_units(results)} {_bad_run(results)}",
        folded("Every run", made["health_runs"]),
        f"Numbers: `health` in {HISTORIES}, by epoch; as tables: {table_files('health', 'health_runs')}.",
    ]


def _thresholds(limits: HealthParams) -> str:
    said = {
        "gets a warning": (limits.warn_dead_share, limits.warn_collapsed),
        "is stopped": (limits.fail_dead_share, limits.fail_collapsed),
    }
    parts = []
    for what, (share, collapsed) in said.items():
        reasons = [] if share is None else [f"{100 * share:g} % of a layer's units are dead"]
        reasons += [] if collapsed is None else [f"{count(collapsed, 'latent dimension')} collapsed"]
        parts.append(f"{what} {'when ' + ' or '.join(reasons) if reasons else 'never'}")
    return f"From epoch {limits.epochs} on a run {', and '.join(parts)} (`health` in params.yaml)."


def _hidden_units(results: Results) -> str:
    """The layer that the paper's model loses most of, and what the better recipe makes of it."""
    rows = {row[0]: row[2 + list(UNITS).index("hidden")] for row in health(results).rows}
    said = [f"{rows[name].median} in the median run of `{name}`" for name in (BASELINE, IMPROVED) if name in rows]
    return f"Of the {UNITS['hidden']} units of the encoder's hidden layer there are dead: {', '.join(said)}."


def _bad_run(results: Results) -> str:
    """What the health of the worst run has to say of it."""
    losses, name = _test_losses(results), worst(results)
    epochs = count(len(results.histories[name]["epochs"]), "epoch")
    said = results.complaints(name)
    why = f"after its last epoch {'; '.join(said)}" if said else "nothing in its health is beyond the thresholds"
    return (
        f"The worst run with the beta of `{BASELINE}` is `{name}`, {losses[name]:.2f} nats (-ELBO) on the test images, "
        f"where their median is {np.median(list(losses.values())):.2f}: {why}; a dimension was collapsed after "
        f"{results.epochs_asleep(name)} of its {epochs}.{_siblings(results, name, losses)}"
    )


def worst(results: Results) -> str:
    """The run with the worst ELBO on the test images, of those with the baseline's beta: another one costs ELBO."""
    losses = _test_losses(results)
    return max(losses, key=losses.get)


def _test_losses(results: Results) -> dict[str, float]:
    """-ELBO on the test images by run, of those with the baseline's beta."""
    betas = {name: history["params"]["beta"] for name, history in results.histories.items()}
    beta = results.settings(BASELINE).beta
    return {name: -results.metrics[name]["test"]["elbo"] for name in betas if betas[name] == beta}


def _siblings(results: Results, name: str, losses: Mapping[str, float]) -> str:
    """How the other runs of the same variant end, and how many of their units are dead."""
    others = [each for each in results.runs_of(name.rsplit("-", 1)[0]) if each != name]
    if not others:
        return ""
    dead = [results.last_health(each)["dead_units"]["hidden"] for each in others]
    ends = [losses[each] for each in others]
    asleep = max(map(results.epochs_asleep, others))
    slept = f"{count(asleep, 'epoch')} at most" if asleep else "no epoch"
    return (
        f" The other runs of its variant end between {min(ends):.2f} and {max(ends):.2f}, with {span(dead)} of "
        f"{UNITS['hidden']} hidden units dead, and a dimension collapsed after "
        f"{slept}."
    )


def _health_cells(results: Results, name: str) -> tuple[int, int]:
    last = results.last_health(name)
    return last["dead_units"]["hidden"], last["collapsed_dimensions"]
