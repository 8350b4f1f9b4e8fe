"""Pages of the report: a template of templates/, and the values, tables and figures that it shows.

The templates hold every sentence; Python computes what they say. Neither is read to change the other.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from digit_vae.analysis.statistics import LEVEL
from digit_vae.report.figures import Figure
from digit_vae.report.tables import Table, probability, signed, typeset, typeset_cell

TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Page:
    """values: by the names that the template calls them. tables, figures: by their files' names, without suffix."""

    values: Mapping[str, object]
    tables: Mapping[str, Table] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)


def rendered(template: str, page: Page, folder: Path = TEMPLATES, **shared: object) -> str:
    """The page as GitHub Markdown, a line for each paragraph. shared: further values that the template may show.

    folder: of the template, which may use the report's macros wherever it stands.
    """
    loaded = _of_report(folder).get_template(f"{template}.md.j2")
    shown = {**shared, **page.values, "table": lambda name: page.tables[name].markdown(), "tables": page.tables}
    return tidy(loaded.render(shown))


def tidy(text: str) -> str:
    """Joins the lines of each paragraph and of each point of a list; one blank line between blocks."""
    blocks = [block.strip("\n") for block in re.split(r"\n\s*\n", text)]
    return "\n\n".join(_joined(block) for block in blocks if block.strip()) + "\n"


def _joined(block: str) -> str:
    lines: list[str] = []
    for line in block.splitlines():
        starts = re.match(r"\||<|#|- |!\[|```| {4}", line)
        if lines and not starts and not re.match(r"\||<|#|```| {4}", lines[-1]):
            lines[-1] += f" {line.strip()}"
        else:
            lines.append(line.rstrip())
    return "\n".join(lines)


def environment(*folders: Path, html: bool) -> Environment:
    """For the templates in `folders`. A value that is missing is an error, and a line of statements leaves no line.

    html: whether values are escaped.
    """
    return Environment(
        loader=FileSystemLoader(folders, encoding="utf-8"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=html,  # noqa: S701 - Markdown has names and numbers that were checked
    )


def _of_report(folder: Path) -> Environment:
    made = environment(folder, TEMPLATES, html=False)
    made.filters |= {
        "nats": typeset,
        "signed": signed,
        "p": probability,
        "interval": typeset_cell,
        "percent": lambda share: f"{100 * share:.1f} %",
        "code": lambda names: ", ".join(f"`{name}`" for name in names),
        "span": _span,
    }
    made.globals["level"] = LEVEL
    return made


def _span(values: Iterable[Any]) -> str:
    """From the least to the greatest of whole numbers."""
    low, high = min(found := list(values)), max(found)
    return f"{low}" if low == high else f"{low} to {high}"
