"""Page `repetitions`: the folds drawn and trained again with other seeds, by the runs that there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import stdev
from types import NoneType
from typing import Any

from digit_vae.analysis.power import Share
from digit_vae.analysis.repetitions import STUDY
from digit_vae.analysis.results import Results
from digit_vae.analysis.statistics import LEVEL, Tested, corrected_t_test
from digit_vae.base.files import damaged, read_json
from digit_vae.base.paths import POWER, addressed
from digit_vae.base.shapes import NUMBER, All, Every
from digit_vae.config.runs import Run, study_runs
from digit_vae.report import chapter_folds
from digit_vae.report.chapter_full import collapsed_share
from digit_vae.report.chapter_recipe import in_words
from digit_vae.report.pages import Page
from digit_vae.report.tables import Interval, Probability, Table
from digit_vae.report.verdicts import Compared, Verdict

ELBO = ("validation", "elbo")
WISHED = dict.fromkeys(("corrected", "independent"), (int, NoneType))
TOLD = {"difference": NUMBER, "margin": NUMBER}
PLANNED = {"folds": int, "std": NUMBER, "repetitions": All(Every(TOLD), {"1": TOLD}), "repetitions_for_wished": WISHED}
PLAN = dict.fromkeys(("draws", "level", "power", "wished"), NUMBER) | {"variants": Every(PLANNED)}


@dataclass(frozen=True)
class Repeated:
    """What the repetitions say of a variant's ELBO.

    std: of its differences over all folds, in nats. without: on the folds where neither run has a collapsed dimension,
    None where there are none such, fewer than two, or no others.
    """

    verdict: Verdict
    folds: int
    std: float
    collapsed: Share
    without: Tested | None
    without_folds: int | None


def page(results: Results, compared: Compared | None) -> Page:
    """Without the comparison where no repetition has results. Raises: UserError where there is no plan."""
    if STUDY not in results.params.studies:
        return Page({"declared": 0})
    declared = study_runs(results.params, STUDY)
    planned = read_plan()
    values: dict[str, object] = {
        "plan": planned,
        "settings": results.params.compare,
        "declared": len(declared),
        "trained": sum(run.name in results.runs for run in declared),
        "study": compared,
    }
    tables = {"trained": trained_table(results, declared)}
    tables |= {"power": plan_table(planned)} if planned["variants"] else {}
    if compared is None:
        return Page(values, tables)
    found = [repeated(compared, each) for each in compared.verdicts(*ELBO)]
    chose = results.params.compare.chose
    values |= {
        "variants": found,
        "against": collapses(compared, compared.against),
        "level": LEVEL,
        "chosen": {name: [in_words(fold) for fold in chose[name]] for name in compared.others if name in chose},
    }
    tables |= {"repeated": table(found), **chapter_folds.tables([compared])}
    return Page(values, tables, chapter_folds.pictures([compared]))


def read_plan() -> dict[str, Any]:
    """What stage `power` wrote. Raises: UserError when it is missing or damaged."""
    stage = addressed("power", "beyond")
    content = read_json(POWER, made_by=stage, keys=PLAN)
    if len({tuple(its["repetitions"]) for its in content["variants"].values()}) > 1:
        raise damaged(POWER, stage, "variants: expected the same repetitions of each; received others")
    return content


def repeated(compared: Compared, verdict: Verdict) -> Repeated:
    rest = compared.study.without_collapsed(verdict.variant)
    kept = rest.differences if rest else []
    return Repeated(
        verdict=verdict,
        folds=len(compared.study.pairs(verdict.variant)),
        std=stdev(compared.study.differences(verdict.variant, *ELBO)),
        collapsed=collapses(compared, verdict.variant),
        without=corrected_t_test(kept, compared.study.test_to_train) if len(kept) > 1 else None,
        without_folds=len(kept) if rest else None,
    )


def collapses(compared: Compared, variant: str) -> Share:
    """Of the variant's runs over the folds."""
    return collapsed_share(compared.study.runs[variant].values())


def table(found: list[Repeated]) -> Table:
    rows = []
    for each in found:
        verdict, ill = each.verdict, each.collapsed
        tests = (
            Probability(verdict.p),
            verdict.detectable,
            None if verdict.equivalence_p is None else Probability(verdict.equivalence_p),
        )
        ends = (f"{ill.found} of {ill.of}", Interval(100 * ill.low, 100 * ill.high))
        without = each.without.difference if each.without else None
        rows.append((verdict.variant, each.folds, verdict.difference, *tests, *ends, each.without_folds, without))
    header = (
        "Variant",
        "Folds",
        "ELBO, difference",
        "p (Holm)",
        "Smallest detectable",
        "p of equivalence, later folds",
    )
    return Table(
        (*header, "Collapsed runs", "Share, %", "Folds without a collapse", "ELBO, difference on these"), tuple(rows)
    )


def trained_table(results: Results, declared: Sequence[Run]) -> Table:
    """Which of the declared runs have results: the folds, by variant and repetition."""
    there: dict[tuple[str, int], list[str]] = {(run.variant, run.seed): [] for run in declared}
    for run in declared:
        there[run.variant, run.seed] += [run.split] if run.name in results.runs else []
    seeds = list(dict.fromkeys(run.seed for run in declared))
    variants = dict.fromkeys(run.variant for run in declared)
    rows = tuple((name, *(", ".join(there[name, seed]) or "none" for seed in seeds)) for name in variants)
    return Table(("Variant", *(f"Repetition {seed}" for seed in seeds)), rows)


def plan_table(planned: Mapping[str, Any]) -> Table:
    """What one and all repetitions tell of each variant."""
    rows = []
    for name, its in planned["variants"].items():
        numbers = [its["repetitions"][count][key] for key in ("difference", "margin") for count in its["repetitions"]]
        wished = its["repetitions_for_wished"]
        rows.append((name, its["folds"], its["std"], *numbers, *(wished[key] for key in ("corrected", "independent"))))
    counts = next(iter(planned["variants"].values()))["repetitions"]
    seen = [f"{what}, {count} rep." for what in ("Smallest detectable", "Margin shown") for count in counts]
    wished = f"Repetitions to see {planned['wished']:g} nat"
    return Table(("Variant", "Folds", "Std", *seen, wished, f"{wished}, if independent"), tuple(rows))
