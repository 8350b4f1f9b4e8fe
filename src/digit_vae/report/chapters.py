"""The pages of each graph of stages. Those of the paper's graph read nothing that goes beyond the paper."""

from collections.abc import Mapping

from digit_vae.analysis import repetitions
from digit_vae.analysis.fold_comparison import fold_studies
from digit_vae.analysis.results import Results, read_results
from digit_vae.base.files import write_folder, write_text
from digit_vae.base.paths import REPORTS, figures, tables
from digit_vae.config.runs import Graph
from digit_vae.config.schema import Params
from digit_vae.report import (
    chapter_beta,
    chapter_folds,
    chapter_latent,
    chapter_likelihood,
    chapter_longer,
    chapter_paper,
    chapter_recipe,
    chapter_repetitions,
    chapter_runs,
    chapter_seeds,
    chapter_speed,
    chapter_studies,
)
from digit_vae.report.figures import png_bytes
from digit_vae.report.pages import Page, rendered
from digit_vae.report.verdicts import Compared, read_compared


def pages(results: Results, graph: Graph) -> dict[str, Page]:
    """By name of file and template, which are the same."""
    compared = {each.name: read_compared(each, graph) for each in fold_studies(results, graph)}
    own = _of_paper(results, compared) if graph == "paper" else _beyond(results, compared)
    known = list(compared.values())
    return own | {
        "likelihood": chapter_likelihood.page(results, known),
        "latent": chapter_latent.page(results, graph, known),
        "runs": chapter_runs.page(results, graph),
    }


def write_report(params: Params, graph: Graph) -> None:
    """Writes the pages of `graph` with their tables and figures. Raises: UserError where a result is missing."""
    made = pages(read_results(params, graph), graph)
    drawn = {f"{name}.png": png_bytes(each) for page in made.values() for name, each in page.figures.items()}
    tabled = {name: each for page in made.values() for name, each in page.tables.items()}
    write_folder(figures(graph), drawn)
    write_folder(tables(graph), {f"{name}.csv": each.csv() for name, each in tabled.items()})
    for name, page in made.items():
        write_text(REPORTS / graph / f"{name}.md", rendered(name, page, graph=graph))


def _of_paper(results: Results, compared: Mapping[str, Compared]) -> dict[str, Page]:
    return {
        "paper": chapter_paper.page(results),
        "speed": chapter_speed.page(results),
        "ablation": chapter_folds.page(list(compared.values())),
    }


def _beyond(results: Results, compared: Mapping[str, Compared]) -> dict[str, Page]:
    return {
        "studies": chapter_studies.page(results, compared),
        "seeds": chapter_seeds.page(results),
        "recipe": chapter_recipe.page(results, compared),
        "beta": chapter_beta.page(results, compared.get(chapter_beta.STUDY)),
        "repetitions": chapter_repetitions.page(results, compared.get(repetitions.STUDY)),
        "longer": chapter_longer.page(results),
    }
