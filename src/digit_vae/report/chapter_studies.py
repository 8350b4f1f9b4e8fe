"""Page `studies`: every question beyond the paper, and the studies that have no other page."""

from collections.abc import Mapping
from typing import NamedTuple

from digit_vae.analysis import repetitions
from digit_vae.analysis.results import LeftOut, Results
from digit_vae.config.runs import study_runs
from digit_vae.report import chapter_beta, chapter_folds, chapter_longer, chapter_recipe, chapter_seeds, figures
from digit_vae.report.chapter_full import beside_seeds, full_section
from digit_vae.report.pages import Page
from digit_vae.report.tables import Table
from digit_vae.report.verdicts import Compared

PAGES = {
    chapter_seeds.STUDY: "seeds",
    **dict.fromkeys((chapter_recipe.STUDY, chapter_recipe.CURES, chapter_recipe.FOLDS), "recipe"),
    **dict.fromkeys((chapter_beta.STUDY, chapter_beta.FULL_STUDY), "beta"),
    repetitions.STUDY: "repetitions",
    **dict.fromkeys((chapter_longer.STUDY, chapter_longer.IMPROVED), "longer"),
}


class Study(NamedTuple):
    """A study beyond the paper. page: where its answer stands. left_out: why it is not reported (None: it is).
    partial: what it lacks, where it is reported without that.
    """

    name: str
    question: str
    runs: int
    page: str
    left_out: LeftOut | None
    partial: LeftOut | None


def studies(results: Results) -> list[Study]:
    """The studies beyond the paper, in the order of params.yaml."""
    params = results.params
    return [
        Study(
            name=name,
            question=its.question,
            runs=len(study_runs(params, name)),
            page=PAGES.get(name, "studies"),
            left_out=results.left_out.get(name),
            partial=results.partial.get(name),
        )
        for name, its in params.studies.items()
        if its.beyond
    ]


def page(results: Results, compared: Mapping[str, Compared]) -> Page:
    known = studies(results)
    others = [each.name for each in known if each.page == "studies" and each.left_out is None]
    folds = [compared[name] for name in others if name in compared]
    full = [section for name in others if (section := full_section(results, name)) is not None]
    tables: dict[str, Table] = {section.name + "_full": beside_seeds(results, section.name) for section in full}
    drawn: dict[str, figures.Figure] = chapter_folds.pictures(folds)
    values = {"studies": known, "folds": folds, "full": full}
    return Page(values, tables | chapter_folds.tables(folds), drawn)
