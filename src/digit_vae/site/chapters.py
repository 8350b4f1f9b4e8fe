"""What the page of comparisons shows: a chapter is a question, sentences, charts, and the numbers as tables.

To add one: a function that returns a list of chapters (none where its study is not reported), its place in
`comparisons.CHAPTERS`, and its sentences in templates/sentences/, as Markdown, which may use the report's macros.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup

from digit_vae.base.paths import tables
from digit_vae.report.pages import Page, rendered
from digit_vae.report.tables import Table
from digit_vae.site.charts import Chart
from digit_vae.site.pages import TEMPLATES

PER_CENT = re.compile(r"(\d)\s+%")
SENTENCES = TEMPLATES / "sentences"


@dataclass(frozen=True)
class Numbers:
    """A table of the report, which the repository has as reports/<graph>/tables/<name>.csv."""

    graph: str
    name: str
    caption: str
    table: Table

    @property
    def committed(self) -> Path:
        return tables(self.graph) / f"{self.name}.csv"

    @property
    def file(self) -> str:
        """Where the site has it."""
        return f"data/tables/{self.graph}/{self.name}.csv"


@dataclass(frozen=True)
class Chapter:
    """name: of its address on the page. short: its title in the list of chapters. charts: by their names on the page,
    with a caption each. sources: the committed files that its numbers come from.
    """

    name: str
    short: str
    title: str
    text: Markup
    charts: Mapping[str, tuple[str, Chart]]
    numbers: Sequence[Numbers]
    sources: Sequence[Path] = field(default_factory=tuple)


def sentences(name: str, **values: object) -> Markup:
    """The Markdown template `name` of sentences/ as HTML."""
    return html_of(rendered(name, Page(values), SENTENCES))


def html_of(markdown: str) -> Markup:
    """Markdown of the project's own templates as HTML; no line ends between a number and its per cent sign."""
    return Markup(MarkdownIt("commonmark").render(PER_CENT.sub("\\1\u00a0%", markdown)))  # noqa: S704 - of templates and checked names
