"""Page `runs`: every declared run, those without results too; curves of chosen ones, their params, metrics, figures."""

import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from digit_vae.analysis.results import RunResult, read_run
from digit_vae.base.files import json_bytes
from digit_vae.base.nested import flat
from digit_vae.base.paths import pictures
from digit_vae.base.tiles import tiled
from digit_vae.config.runs import Run, runs
from digit_vae.config.schema import Params
from digit_vae.report.chapter_runs import seconds
from digit_vae.report.paper import TABLE_1
from digit_vae.report.sample_figures import filled, read_digits
from digit_vae.site.pages import Project, SitePage, copied

DATA = "data/runs.json"
TABLE = "table"  # its place in the page's address
# The curves that the page offers, and where an epoch of history.json has them.
CURVES = {
    "val_loss": "Validation loss",
    "loss": "Training loss",
    "val_reconstruction_loss": "Validation reconstruction loss",
    "val_kl_loss": "Validation KL",
    "dead_units": "Dead hidden units",
    "least_kl": "KL of the least used dimension",
}
OF_PAPER = ("val_loss", "loss")  # the curves that the paper's Table I has
# Committed figures of the two runs that the report shows, by the place of the run there.
SHOWN = (
    {"figure_3_latent": "Latent means of the test images", "latent_plane": "{nouns} over the latent plane"},
    {"figure_4_latent": "Latent means of the test images"},
)


@dataclass(frozen=True)
class Row:
    """A declared run. state: "reported", "missing", or "left out" with its study. result: None where it is missing."""

    run: Run
    state: str
    result: RunResult | None

    @property
    def seconds(self) -> float | None:
        return None if self.result is None else seconds(self.result)


class Figure(NamedTuple):
    """A picture in the site, and what it shows."""

    file: str
    says: str


def page(project: Project) -> SitePage:
    rows = declared(project)
    there = [row.result for row in rows if row.result is not None]
    strips = {strip_file(each): strip(each) for each in there if each.run.files.digits.is_file()}
    nouns = project.results.dataset.nouns
    shown = shown_pictures(project.params, nouns)
    runs_content = {each.name: content(project, each, list(figures(each, strips, shown, nouns))) for each in there}
    values = {
        "rows": rows,
        "curves": CURVES,
        "first": [project.params.report.first_run, project.params.report.second_run],
        "counts": Counter(row.state for row in rows),
    }
    data = {"curves": CURVES, "paper": paper_curves(), "runs": runs_content}
    copies = [path for each in there for path in sources(each)] + [path for its in shown.values() for path in its]
    return SitePage(values, {DATA: json_bytes(data), **strips}, copies)


def declared(project: Project) -> list[Row]:
    """The runs of params.yaml in its order."""
    rows = []
    for run in runs(project.params):
        result = project.results.runs.get(run.name) or read_run(run, required=False)
        state = "missing" if result is None else "reported" if run.name in project.results.runs else "left out"
        rows.append(Row(run, state, result))
    return rows


def content(project: Project, result: RunResult, figures: Sequence[Figure]) -> dict[str, object]:
    """What the page shows of a run that is chosen. changed: the options of its variant."""
    params = dict(result.history["params"])
    return {
        "question": project.params.studies[result.run.study].question,
        "study": result.run.study,
        "params": params,
        "changed": sorted(project.params.variants[result.run.variant]),
        "curves": {name: curve(result, name) for name in CURVES},
        "metrics": {section: flat(its) for section, its in result.metrics.items() if isinstance(its, Mapping)},
        "complaints": project.results.complaints(result),
        "figures": [each._asdict() for each in figures],
        "files": {path.name: copied(path) for path in sources(result)},
    }


def curve(result: RunResult, name: str) -> list[float]:
    """One number after each epoch."""
    match name:
        case "dead_units":
            return [epoch["health"]["dead_units"]["hidden"] for epoch in result.epochs]
        case "least_kl":
            return [min(epoch["health"]["kl_per_dimension"].values()) for epoch in result.epochs]
        case _:
            return [epoch[name] for epoch in result.epochs]


def paper_curves() -> dict[str, dict[str, list[float]]]:
    """By curve the paper's two runs, as far as its Table I has them."""
    return {
        name: {f"paper, {label}": [getattr(epoch, name) for epoch in epochs] for label, epochs in TABLE_1.items()}
        for name in OF_PAPER
    }


def figures(
    result: RunResult, strips: Mapping[str, bytes], shown: Mapping[str, Mapping[Path, str]], nouns: str
) -> Iterator[Figure]:
    if strip_file(result) in strips:
        says = f"Test images, their reconstructions, and {nouns} decoded from the prior's circle"
        yield Figure(strip_file(result), says)
    for path, says in shown.get(result.name, {}).items():
        yield Figure(copied(path), says)


def shown_pictures(params: Params, nouns: str) -> dict[str, dict[Path, str]]:
    """The committed pictures of the two runs that the report shows, as far as they are there."""
    names = (params.report.first_run, params.report.second_run)
    of = {
        name: {pictures("paper") / f"{file}.png": says.format(nouns=nouns.capitalize()) for file, says in its.items()}
        for name, its in zip(names, SHOWN, strict=True)
    }
    return {name: {path: says for path, says in its.items() if path.is_file()} for name, its in of.items()}


def strip_file(result: RunResult) -> str:
    return f"data/digits/{result.name}.png"


def strip(result: RunResult) -> bytes:
    """The images that git has of a run as a PNG: originals over reconstructions over decoded, dark on white."""
    found = read_digits(result.run)
    shown = [found[name] for name in ("originals", "reconstructions", "decoded")]
    columns = max(map(len, shown))  # there may be fewer classes than decoded images
    tiles = np.concatenate([filled(images, columns) for images in shown])
    picture = Image.fromarray(255 - tiled(tiles, columns, gap=0))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def sources(result: RunResult) -> list[Path]:
    """The committed files of a run."""
    its = result.run.files
    return [path for path in (its.history, its.metrics, its.timings) if path.is_file()]
