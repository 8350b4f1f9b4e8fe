"""Rate against distortion: what the weight of the KL does on every fold."""

from collections.abc import Sequence

import numpy as np

from digit_vae.base.paths import comparisons
from digit_vae.report import chapter_beta
from digit_vae.report.chapter_beta import Swept
from digit_vae.report.tables import typeset
from digit_vae.report.verdicts import Compared
from digit_vae.site.chapters import Chapter, Numbers, sentences
from digit_vae.site.charts import Axis, Chart, Panel, Point, Series
from digit_vae.site.pages import Project

NAME = "rate_distortion"
COLOURS = (1, 3, 4, 2, 6)  # by rising beta
EVERY = 5.0  # nats between lines of the same ELBO


def chapters(project: Project) -> list[Chapter]:
    """None at all where the study is left out."""
    return [chapter(each) for each in project.compared["beyond"] if each.name == chapter_beta.STUDY]


def chapter(compared: Compared) -> Chapter:
    path = ("validation", "elbo")
    swept = list(chapter_beta.betas(compared))
    text = sentences(
        NAME,
        first=chapter_beta.end(compared, swept[0]),
        last=chapter_beta.end(compared, swept[-1]),
        highest=chapter_beta.highest(compared, path),
        verdicts=compared.verdicts(*path),
        against=compared.against,
    )
    table = Numbers("beyond", "beta_sweep", "The sweep over beta", chapter_beta.sweep(compared))
    caption = "A dot is a fold; a thin line joins the dots of one fold. Nats per image of the fold's validation images."
    sources = [comparisons("beyond") / f"{compared.name}.json"]
    return Chapter(
        NAME,
        "Rate and distortion",
        "Rate against distortion",
        text,
        {NAME: (caption, chart(compared))},
        [table],
        sources,
    )


def chart(compared: Compared) -> Chart:
    found = chapter_beta.points(compared)
    says = f"Reconstruction loss against KL for beta {', '.join(f'{beta:g}' for beta, *_ in found)}, on every fold"
    series = [*_equal_elbo(found), *_joined(found), *_dots(compared, found)]
    return Chart(
        [Panel(says, Axis("rate: KL (nats)"), Axis("distortion: recon. loss (nats)"), series, guide="same ELBO")]
    )


def _dots(compared: Compared, found: Sequence[Swept]) -> list[Series]:
    folds = [split.replace("fold", "fold ") for split, _ in compared.pairs]
    return [
        Series(
            [
                _point(f"beta {each.beta:g}, {fold}{' (a dimension collapsed)' if collapsed else ''}", kl, loss)
                for fold, kl, loss, collapsed in zip(folds, *map(np.ndarray.tolist, each[1:]), strict=True)
            ],
            colour=COLOURS[place % len(COLOURS)],
            legend=f"beta {each.beta:g}",
        )
        for place, each in enumerate(found)
    ]


def _point(name: str, kl: float, loss: float) -> Point:
    says = f"{name}\nKL {typeset(kl)}, recon. loss {typeset(loss)}, ELBO {typeset(-kl - loss)}"
    return Point(kl, loss, says)


def _joined(found: Sequence[Swept]) -> list[Series]:
    """A thin line for each fold, by rising beta."""
    folds = zip(*(zip(each.kl.tolist(), each.reconstruction.tolist(), strict=True) for each in found), strict=True)
    return [Series([Point(kl, loss, says="") for kl, loss in fold], colour=0, style="guide") for fold in folds]


def _equal_elbo(found: Sequence[Swept]) -> list[Series]:
    """Lines of the same ELBO, every `EVERY` nats, within what the points span."""
    kl, loss = (np.concatenate([each[place] for each in found]) for place in (1, 2))
    least, most = float(kl.min()), float(kl.max())
    levels = np.arange(np.ceil((kl + loss).min() / EVERY), (kl + loss).max() / EVERY) * EVERY
    lines = []
    for level in levels.tolist():
        # Where the line crosses the box of the points.
        low, high = max(least, level - float(loss.max())), min(most, level - float(loss.min()))
        if low < high:
            lines.append(
                Series([Point(x, level - x, says="") for x in (low, high)], colour=0, style="guide", dashed=True)
            )
    return lines
