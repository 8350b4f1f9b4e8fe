"""Page `recipe`: parts of a recipe alone, the search of a better one, and whole recipes on seeds and on folds."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digit_vae.analysis.results import FEWEST_SEEDS, Results, RunResult, at
from digit_vae.analysis.statistics import LEVEL, Difference, Spread, Tested, corrected_t_test, placed, spread, welch
from digit_vae.model.units import UNITS
from digit_vae.report import chapter_folds, chapter_search, figures
from digit_vae.report.chapter_full import FullSection, beside_seeds, full_section
from digit_vae.report.pages import Page
from digit_vae.report.tables import Probability, Table, difference_of
from digit_vae.report.verdicts import Compared

STUDY, CURES, FOLDS = "recipe", "cures", "recipe_folds"
TARGET = 145.0  # nats: the -ELBO that the better recipe is to reach or undercut on every seed
BY_HAND = {"hidden_bias": 1.0, "warmup_steps": 500, "final_learning_rate": 0.0, "learning_rate": 0.003}
MEASURES = {  # of the test images, where folds and seeds can be told beside each other
    "ELBO (nats)": ("test", "elbo"),
    "kNN accuracy": ("latent", "knn_accuracy"),
    "Probe accuracy": ("latent", "probe_accuracy"),
    "Mutual information (nats)": ("latent", "mutual_information"),
    "Aggregate divergence (nats)": ("latent", "aggregate_divergence"),
    "Agreement of reconstructions": ("quality", "reconstructions", "agreement"),
    "Class balance of samples": ("quality", "samples", "class_balance"),
    "Frechet distance of samples": ("quality", "samples", "frechet"),
}


@dataclass(frozen=True)
class Recipe:
    """What the template says of a recipe's seeds.

    options: what it changes, from what to what. by_hand: whether these were chosen by hand, on folds that params name.
    chosen_on: the folds whose images chose it, in words. test: against the seeds of the baseline, where there are
    enough of both. without: the test of the ELBO over the folds that did not choose it.
    """

    name: str
    against: str
    epochs: int
    options: dict[str, tuple[object, object]]
    by_hand: bool
    chosen_on: list[str]
    reached: int
    runs: int
    worst: float
    others: int
    test: Tested | None
    without: Tested | None


class OldAndNew(NamedTuple):
    """One number of the baseline's seeds and of the recipe's, and the tests of it over seeds and over folds."""

    old: Spread
    new: Spread
    over_seeds: Tested
    over_folds: Tested


def page(results: Results, compared: Mapping[str, Compared]) -> Page:
    """What is there of the three studies; of those that are left out the template says why."""
    reported = results.studies("beyond")
    tables: dict[str, Table] = {}
    drawn: dict[str, figures.Figure] = {}
    values: dict[str, object] = dict.fromkeys(("search", "cures", "recipes", "folds", "agreement"))
    chose = dict(results.params.compare.chose)
    if (search := chapter_search.section(results.params)) is not None:
        values["search"], of_search, pictures = search
        tables |= of_search
        drawn |= pictures
        if found := search[0].variant:
            chose[found] = tuple(dict.fromkeys([*chose.get(found, ()), f"{search[0].fold}-{search[0].seed}"]))
    if CURES in reported and (section := full_section(results, CURES)) is not None:
        values["cures"] = section
        tables[CURES] = beside_seeds(results, CURES)
        drawn["recipes"] = _figure(results, section)
    folds = compared.get(FOLDS)
    if STUDY in reported:
        values["recipes"] = [
            recipe(results, name, chose.get(name, ()), folds) for name in results.params.studies[STUDY].variants
        ]
        tables["recipe_seeds"] = seeds(results)
    if folds:
        values["folds"] = folds
        tables |= chapter_folds.tables([folds])
        drawn |= chapter_folds.pictures([folds])
    if folds and STUDY in reported and min(map(len, _both(results))) >= FEWEST_SEEDS:
        tables["recipe_measures"] = measures(results, folds)
        values |= {"agreement": agreement(measured(results, folds)), "better": better(results)}
    fixed = {"target": TARGET, "units": UNITS["hidden"], "left_out": results.left_out, "fewest": FEWEST_SEEDS}
    return Page(values | fixed, tables, drawn)


def better(results: Results) -> str:
    """The recipe that stands for all where one is shown: the study's first."""
    return results.params.studies[STUDY].variants[0]


def recipe(results: Results, name: str, chose: Collection[str] = (), folds: Compared | None = None) -> Recipe:
    """What is told of the seeds of variant `name`, and of its folds where these are there.

    chose: the folds whose images chose it, as <fold>-<seed>.
    """
    theirs, ours = _both(results, name)
    losses, others = map(_negative_elbos, (ours, theirs))
    old = theirs[0].history["params"]
    options = results.params.variants[name]
    return Recipe(
        name=name,
        against=theirs[0].run.variant,
        epochs=len(ours[0].epochs),
        options={key: (old[key], value) for key, value in options.items()},
        by_hand=bool(chose) and dict(options) == BY_HAND,
        chosen_on=[in_words(each) for each in chose],
        reached=sum(loss <= TARGET for loss in losses),
        runs=len(losses),
        worst=max(losses),
        others=len(others),
        test=welch(losses, others) if min(len(losses), len(others)) >= FEWEST_SEEDS else None,
        without=without(folds, name, chose) if folds and name in folds.others and chose else None,
    )


def seeds(results: Results) -> Table:
    """The seeds of each recipe beside the target."""
    runs = [each for name in results.params.studies[STUDY].variants for each in results.on_full(STUDY)[name]]
    rows = tuple(
        (each.name, each.run.seed, loss, loss - TARGET, each.dead_units, each.collapsed)
        for each, loss in zip(runs, _negative_elbos(runs), strict=True)
    )
    header = ("Run", "Seed", "-ELBO, test", f"Above {TARGET:g} by", "Dead hidden units", "Collapsed dimensions")
    return Table(header, rows)


def measured(results: Results, folds: Compared) -> dict[str, OldAndNew]:
    """What the better recipe changes on the test images, by title."""
    theirs, ours = _both(results)
    found = {}
    for title, path in MEASURES.items():
        if path[0] not in theirs[0].metrics or path[1] not in theirs[0].metrics[path[0]]:
            continue  # without labels there is none
        old, new = ([each.number(*path) for each in runs] for runs in (theirs, ours))
        of_folds = at(folds.others[better(results)], path)
        over_folds = Tested(difference_of(of_folds), of_folds["p"])
        found[title] = OldAndNew(spread(old), spread(new), welch(new, old), over_folds)
    return found


def measures(results: Results, folds: Compared) -> Table:
    """What the better recipe changes: over seeds on all training images, beside over folds."""
    theirs, ours = _both(results)
    rows = tuple(
        (title, each.old, each.new, *_tested(each.over_seeds), *_tested(each.over_folds))
        for title, each in measured(results, folds).items()
    )
    names = (f"{runs[0].run.variant}, seeds" for runs in (theirs, ours))
    tests = (f"{title} over {what}" for what in ("seeds", "folds") for title in ("Difference", "Unadjusted p"))
    header = ("On the test images", *names, *tests)
    return Table(header, rows, digits=3)


def _tested(test: Tested) -> tuple[Difference, Probability]:
    return test.difference, Probability(test.p)


def agreement(measured: Mapping[str, OldAndNew]) -> dict[str, list[str]]:
    """The titles of the numbers by where they differ: "both", "seeds", "folds", "neither". p is not adjusted."""
    found: dict[str, list[str]] = {"both": [], "seeds": [], "folds": [], "neither": []}
    names = {(True, True): "both", (True, False): "seeds", (False, True): "folds", (False, False): "neither"}
    for title, each in measured.items():
        found[names[each.over_seeds.p < LEVEL, each.over_folds.p < LEVEL]].append(title)
    return found


def without(folds: Compared, name: str, chose: Collection[str]) -> Tested | None:
    """The test of the ELBO without the folds that chose the recipe; None where there are fewer than two others."""
    pairs = zip(folds.study.pairs(name), folds.study.differences(name, "validation", "elbo"), strict=True)
    rest = [difference for (fold, seed), difference in pairs if f"{fold}-{seed}" not in chose]
    return corrected_t_test(rest, folds.study.test_to_train) if len(rest) > 1 else None


def _both(results: Results, name: str | None = None) -> tuple[Sequence[RunResult], Sequence[RunResult]]:
    """The baseline's runs on all training images, and those of the recipe, without a name of the better one."""
    full = results.on_full(STUDY)
    return full[str(results.params.studies[STUDY].against)], full[name or better(results)]


def _negative_elbos(runs: Iterable[RunResult]) -> list[float]:
    """Of the test images, as stage `evaluate` measured them."""
    return [-each.number("test", "elbo") for each in runs]


def in_words(fold: str) -> str:
    number, seed = fold.removeprefix("fold").split("-")
    return f"fold {number} of seed {seed}"


def _figure(results: Results, section: FullSection) -> figures.Figure:
    full = results.on_full(CURES)
    runs = {
        name: list(zip(_negative_elbos(its), (each.dead_units for each in its), strict=True))
        for name, its in full.items()
    }
    order = [section.against, *results.params.studies[CURES].variants, *runs]
    place = placed(0.0, _negative_elbos(full[section.against]))
    shown = {name: runs[name] for name in dict.fromkeys(order)}
    return figures.recipes(shown, (place.low, place.high), TARGET, UNITS["hidden"])
