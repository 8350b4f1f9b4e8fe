"""Page `index`: what was asked, what came out, Table I beside the paper's, and whether anybody verified it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from digit_vae.analysis.results import Json, LeftOut, RunResult
from digit_vae.base.files import json_bytes, read_json
from digit_vae.base.paths import BENCHMARKS, CERTIFICATE, pictures
from digit_vae.base.shapes import CERTIFIED
from digit_vae.config.schema import BASELINE
from digit_vae.report import chapter_beta, chapter_longer, chapter_paper, chapter_recipe, chapter_seeds
from digit_vae.report.paper import paper_curves
from digit_vae.report.summary import page as summary
from digit_vae.report.tables import Table, typeset
from digit_vae.site import runs
from digit_vae.site.chapters import Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series, charts_json
from digit_vae.site.pages import Project, SitePage, fold_studies
from digit_vae.speed.records import read_benchmarks

DATA, CHARTS = "data/table_1.json", "data/overview.json"
MOST_CURVES = 6  # that the page of runs tells apart by colour
PLANE = pictures("paper") / "latent_plane.png"
WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


class Answer(NamedTuple):
    """What came out of a question. more: where its numbers are. lacking: how many runs it still waits for."""

    question: str
    text: Markup
    more: str
    lacking: int


def page(project: Project) -> SitePage:
    shown = shown_runs(project)
    known = chapter_paper.sources(shown, read_benchmarks(BENCHMARKS))
    numbers = Numbers("paper", "table_1", "Table I, epoch by epoch", chapter_paper.table_1(known))
    epochs = by_epoch(numbers.table)
    certificate = read_certificate()
    sources = [each.run.files.history for each in shown] + sorted(BENCHMARKS.glob("*.json"))
    values = {
        "found": summary(project.results).values,
        "squeezed": in_words(project.params.train.latent_dim),
        "answers": list(answers(project)),
        "open": open_questions(project),
        "header": numbers.table.header[4:],
        "epochs": epochs,
        "numbers": numbers,
        "certificate": certificate,
        "certificate_file": CERTIFICATE,
        "plane": PLANE if PLANE.is_file() else None,
        "sources": sources,
    }
    files = {
        DATA: json_bytes(epochs),
        CHARTS: charts_json({"table_1": losses(shown)}),
        numbers.file: numbers.table.csv(),
    }
    return SitePage(values, files, [*sources, *(path for path in (PLANE, CERTIFICATE) if path.is_file())])


def in_words(numbers: int) -> str:
    """How many numbers a picture is squeezed into: "one number", "two numbers", "17 numbers"."""
    return f"{dict(enumerate(WORDS, 1)).get(numbers, numbers)} number{'' if numbers == 1 else 's'}"


def shown_runs(project: Project) -> list[RunResult]:
    """Our two runs that stand for the paper's two."""
    report = project.params.report
    return [project.results.runs[name] for name in (report.first_run, report.second_run)]


def by_epoch(table: Table) -> dict[str, list[list[str]]]:
    """The rows of Table I as shown, by the number of their epoch: the run, its device and precision, the numbers."""
    found: dict[str, list[list[str]]] = {}
    for epoch, run, device, precision, *numbers in table.shown():
        found.setdefault(epoch, []).append([run, f"{device}, {precision}", *numbers])
    return found


def losses(shown: list[RunResult]) -> Chart:
    """Validation loss by epoch of our two runs and of the paper's."""
    ours = [
        _line(each.name, [epoch["val_loss"] for epoch in each.epochs], Series([], colour=number))
        for number, each in enumerate(shown, start=1)
    ]
    paper = [
        _line(
            f"paper, {label}",
            values,
            Series([], colour=number, dashed=True, shape="ring"),
        )
        for number, (label, values) in enumerate(paper_curves().items(), start=1)
    ]
    lines = [*ours, *paper]
    says = f"Validation loss by epoch of {', '.join(each.legend for each in lines)}"
    return Chart([Panel(says, Axis("epoch", whole=True), Axis("validation loss (nats)"), lines)])


def _line(name: str, values: list[float], look: Series) -> Series:
    points = [
        Point(epoch, value, f"{name}, epoch {epoch}: {typeset(value)} nats")
        for epoch, value in enumerate(values, start=1)
    ]
    return Series(points, look.colour, "line", look.shape, name, look.dashed)


def answers(project: Project) -> Iterator[Answer]:
    """Of the reported studies, in the order of params.yaml."""
    found = summary(project.results).values
    reported = {*project.results.studies("paper"), *project.results.studies("beyond")}
    for name, study in project.params.studies.items():
        if name in reported:
            lacking = sum(map(len, project.results.partial.get(name, ())))
            yield Answer(study.question, *_answer(project, name, found), lacking)


def _answer(project: Project, name: str, found: Mapping[str, Any]) -> tuple[Markup, str]:
    """What is said of a study, and where its numbers are."""
    folds = {each.name: each for _, each in fold_studies(project)}
    short = {"paper": True, chapter_seeds.STUDY: found["seeds"], chapter_recipe.STUDY: found["recipe"]}
    if name in folds:
        beta = found["beta"] if name == chapter_beta.STUDY else None
        return sentences("answer_folds", study=folds[name], beta=beta), f"comparisons.html#{name}"
    if short.get(name):
        chapter = f"comparisons.html#{chapter_seeds.STUDY}" if found["seeds"] else "runs.html?study=paper"
        return sentences(f"answer_{name}", **found), chapter
    its = [each for each in project.results.of(name) if each.run.study == name]
    beside = compared_with(project, its)
    shown = ",".join(each.name for each in (*its, *beside)[:MOST_CURVES])
    said = sentences("answer_runs", runs=its, beside=beside)
    if name in (chapter_longer.STUDY, chapter_longer.IMPROVED):
        return said, f"comparisons.html#{chapter_longer.STUDY}"
    return said, f"runs.html?study={name}&runs={shown}#{runs.TABLE}"


def compared_with(project: Project, its: Sequence[RunResult]) -> list[RunResult]:
    """Of each of these the run that differs in the number of epochs alone, or else the baseline's with its split and
    seed; only reported ones, and none of these.
    """
    known, own = project.results.runs, {each.name for each in its}
    found = {}
    for each in its:
        short = chapter_longer.short_run(project.results, each)
        name = f"{BASELINE}-{each.run.split}-{each.run.seed}" if short is None or short.name in own else short.name
        if name in known and name not in own:
            found[name] = known[name]
    return list(found.values())


def open_questions(project: Project) -> list[tuple[str, LeftOut]]:
    """The question of each study that is left out, and why."""
    return [(project.params.studies[name].question, why) for name, why in project.results.left_out.items()]


def read_certificate() -> Json | None:
    """What `make verify` wrote; None where the repository has no certificate of these results."""
    return read_json(CERTIFICATE, made_by="make verify", keys=CERTIFIED) if CERTIFICATE.is_file() else None
