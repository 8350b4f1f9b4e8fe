"""What a page of the site is made of: values for its template, files beside it, and committed files that it links.

Python computes plain values, templates hold the words, scripts draw from JSON. A page links and loads by relative paths
alone, so that the site works below any path.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from digit_vae.analysis.results import Json, Results, at, read_results
from digit_vae.config.loading import load_params
from digit_vae.config.runs import Graph
from digit_vae.config.schema import Params
from digit_vae.report.pages import environment
from digit_vae.report.verdicts import Compared, compared_studies

TEMPLATES = Path(__file__).parent / "templates"
COPIES = "files"  # the folder of the site with the committed files that it links


@dataclass(frozen=True)
class Project:
    """What every page is made of. compared: the studies on folds of each graph, with what stage `compare` wrote."""

    params: Params
    results: Results
    compared: Mapping[Graph, Sequence[Compared]]


@dataclass(frozen=True)
class SitePage:
    """values: by the names that the page's template calls them. files: further contents by their paths in the site.
    copies: files of the project that the page links, which the site has below `files/`.
    """

    values: Mapping[str, object]
    files: Mapping[str, bytes] = field(default_factory=dict)
    copies: Sequence[Path] = ()


def read_project() -> Project:
    """The committed results in the working folder. Raises: UserError where one of the paper's is missing."""
    params = load_params()
    results = read_results(params, "beyond")
    return Project(params, results, compared_studies(results))


def fold_studies(project: Project) -> Iterator[tuple[Graph, Compared]]:
    """Every reported study on folds, with its graph."""
    for graph, studies in project.compared.items():
        for each in studies:
            yield graph, each


def by_variant(studies: Iterable[tuple[Graph, Compared]], *path: str) -> dict[str, Json]:
    """What stage `compare` wrote of each variant at `path`, from the first of the studies that has it."""
    found: dict[str, Json] = {}
    for _, study in studies:
        for name, variant in study.variants.items():
            found.setdefault(name, at(variant, path))
    return found


def copied(path: Path) -> str:
    """Where the site has a copy of a file of the project: what a page links."""
    return f"{COPIES}/{path.as_posix()}"


def html(name: str, values: Mapping[str, object]) -> bytes:
    """The page that the template `name` makes of `values`."""
    made = environment(TEMPLATES, html=True)
    made.filters["copied"] = copied
    return made.get_template(f"{name}.html.j2").render(values).encode()
