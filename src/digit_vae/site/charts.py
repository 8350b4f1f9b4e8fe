"""Descriptions of charts: plain values that assets/charts.js draws. Every point says its numbers in words."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple

from digit_vae.base.files import json_bytes

Shape = Literal["disc", "ring", "diamond"]
Style = Literal["dot", "line", "guide"]  # a guide is a line that says nothing, behind the others


class Point(NamedTuple):
    """A place, and what a reader sees there. low, high: ends of an interval along x; None where there is none."""

    x: float
    y: float
    says: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Points of one look. colour: of the style sheet's series, from 1; 0 is grey. legend: "" for none."""

    points: Sequence[Point]
    colour: int = 1
    style: Style = "dot"
    shape: Shape = "disc"
    legend: str = ""
    dashed: bool = False
    size: float | None = None


class Axis(NamedTuple):
    """names: of the rows of an axis of categories, the first from 0 to 1, the next from 1 to 2, downwards. whole: of
    counts.
    """

    title: str
    names: Sequence[str] | None = None
    whole: bool = False


class Rule(NamedTuple):
    """A line across the panel at one x."""

    at: float
    label: str = ""


class Band(NamedTuple):
    """A range of x."""

    low: float
    high: float
    says: str


@dataclass(frozen=True)
class Panel:
    """says: what it shows, for those who do not see it. guide: the legend of lines of style guide."""

    says: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    title: str = ""
    rules: Sequence[Rule] = field(default_factory=tuple)
    band: Band | None = None
    guide: str = ""


@dataclass(frozen=True)
class Chart:
    panels: Sequence[Panel]


def charts_json(charts: Mapping[str, Chart]) -> bytes:
    """The charts by name, as the scripts read them; what is None or empty is left out."""
    return json_bytes({name: _plain(chart) for name, chart in charts.items()})


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a dataclass holds
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(value, "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in asdict(value)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items() if each is not None and each != ""}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value
