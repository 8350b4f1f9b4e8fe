"""A table of the report: cells of numbers in, CSV and GitHub Markdown out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from digit_vae.analysis.statistics import LEVEL, Difference, Spread
from digit_vae.base.files import csv_bytes
from digit_vae.speed.records import Range


class Nats(NamedTuple):
    """A number in nats with its deviation (None: unknown), and the protocol by which the pixels were scored."""

    value: float
    deviation: float | None
    protocol: str


class Interval(NamedTuple):
    """The ends of an interval."""

    low: float
    high: float


class Probability(float):
    """A p-value, shown with three decimals."""


SEVERAL = (Spread, Difference, Range, Nats, Interval)  # cells of several numbers
Cell = str | int | float | Spread | Difference | Range | Nats | Interval | Probability | None


@dataclass(frozen=True)
class Table:
    """A header and rows of cells. In CSV a cell of several numbers takes one column for each. digits: of Markdown.

    Raises: ValueError where a column holds likelihoods of different protocols, which measure different things, or
    likelihoods and other numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    digits: int = 2

    def __post_init__(self) -> None:
        for title, column in zip(self.header, zip(*self.rows, strict=True), strict=True):
            protocols = {cell.protocol if isinstance(cell, Nats) else "none" for cell in column if cell is not None}
            if len(protocols) > 1:
                raise ValueError(f"column {title!r}: expected one protocol. Received: {sorted(protocols)}")

    def csv(self) -> bytes:
        """Every number in full, for programs; an empty cell where there is none."""
        columns = zip(*self.rows, strict=True)
        parts = [next((cell._fields for cell in column if isinstance(cell, SEVERAL)), ()) for column in columns]
        header = [
            f"{name} {part}".strip() for name, its in zip(self.header, parts, strict=True) for part in its or [""]
        ]
        return csv_bytes(header, [_flat(row, [max(len(its), 1) for its in parts]) for row in self.rows])

    def shown(self) -> list[list[str]]:
        """The cells of each row, rounded for readers."""
        return [[typeset_cell(cell, self.digits) for cell in row] for row in self.rows]

    def numeric(self) -> list[bool]:
        """Whether each column holds numbers, which are aligned right."""
        return [not isinstance(column[0], str) for column in zip(*self.rows, strict=True)]

    def markdown(self) -> str:
        """Rounded, for readers; columns of numbers are aligned right."""
        aligned = ["---:" if each else "---" for each in self.numeric()]
        lines = [self.header, aligned, *([cell.replace("|", "\\|") for cell in row] for row in self.shown())]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def difference_of(metric: Mapping[str, Any]) -> Difference:
    """The difference of a number in a comparison."""
    return Difference(metric["difference"], metric["difference_low"], metric["difference_high"])


def spread_of(metric: Mapping[str, Any]) -> Spread:
    """Mean and standard deviation of a number in a comparison."""
    return Spread(metric["mean"], metric["std"])


def tests_of(metric: Mapping[str, Any]) -> tuple[Probability, Probability, float | None]:
    """p of a number's difference, p by Holm's method, and Hedges' g."""
    return Probability(metric["p"]), Probability(metric["p_holm"]), metric.get("hedges_g")


def bootstrap_of(metric: Mapping[str, Any]) -> Interval:
    """The interval of a number's difference over resampled folds."""
    return Interval(metric["bootstrap_low"], metric["bootstrap_high"])


def difference_tests(metrics: Mapping[str, Mapping[str, Mapping[str, Any]]], digits: int = 2) -> Table:
    """A row for each number and variant: its difference over the folds, and the tests of that.

    metrics: by the number's title and by variant, what stage `compare` wrote of it.
    """
    rows = tuple(
        (title, name, difference_of(its), *tests_of(its), bootstrap_of(its))
        for title, variants in metrics.items()
        for name, its in variants.items()
    )
    return Table(("Metric", "Variant", "Difference", "p", "p (Holm)", "Hedges' g", "Bootstrap"), rows, digits)


def _flat(row: Sequence[Cell], widths: Sequence[int]) -> list[object]:
    """The row with each cell spread over as many columns as it takes."""
    cells = [cell if isinstance(cell, tuple) else [cell] * width for cell, width in zip(row, widths, strict=True)]
    return [value for cell in cells for value in cell]


def typeset_cell(cell: Cell, digits: int = 2) -> str:
    """The cell rounded for readers."""
    match cell:
        case None:
            return ""
        case Spread(value, None) | Nats(value, None):
            return typeset_cell(value, digits)
        case Range(value, low, high) if low == high:
            return typeset(value, digits)
        case Spread(value, float(deviation)) | Nats(value, float(deviation)):
            return f"{typeset(value, digits)} ± {typeset(deviation, digits)}"
        case Difference():
            return f"{signed(cell.mean, digits)} [{signed(cell.low, digits)}, {signed(cell.high, digits)}]"
        case Range():
            return f"{typeset(cell.median, digits)} [{typeset(cell.low, digits)}, {typeset(cell.high, digits)}]"
        case Interval():
            return f"[{signed(cell.low, digits)}, {signed(cell.high, digits)}]"
        case Probability():
            return probability(cell)
        case float():
            return typeset(cell, digits)
        case _:
            return str(cell)


def typeset(value: float, digits: int = 2, sign: str = "-") -> str:
    """Rounded, with a minus sign instead of a hyphen, at which lines do not break."""
    return f"{value:{sign}.{digits}f}".replace("-", "\u2212")


def signed(value: float, digits: int = 2) -> str:
    """Rounded, and always with a sign."""
    return typeset(value, digits, "+")


def probability(p: float) -> str:
    """Three decimals, more where these would be on the other side of the level; less than they can say is said so."""
    shown = (f"{p:.{digits}f}" for digits in range(3, 17))
    return "<0.001" if p < 0.001 else next((text for text in shown if (float(text) < LEVEL) == (p < LEVEL)), repr(p))
