"""The figures of the report: arrays in, matplotlib figures out; one style, legible without colour vision.

Figures are made with matplotlib's object-oriented interface and carry no state from one to the next.
"""

import functools
import io
from collections.abc import Callable, Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
from matplotlib import colormaps, style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure as Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from matplotlib.ticker import LogLocator
from scipy.ndimage import distance_transform_edt

from digit_vae.base.tiles import tiled

WIDTH = 7.2  # inches: a text block's width
BLUE, ORANGE, GREEN, GREY, INK = "#0072B2", "#D55E00", "#009E73", "#8C8C8C", "#262626"  # colours: Okabe and Ito's
CLASSES = (  # Paul Tol's "muted" scheme, told apart by colour-blind readers, and dark grey
    "#CC6677", "#332288", "#DDCC77", "#117733", "#88CCEE", "#882255", "#44AA99", "#999933", "#AA4499", "#555555",
)  # fmt: skip
ROWS = 25  # names of classes in a column of a legend
STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same on every machine
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 8,
    "axes.labelsize": 9,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.06,
    "figure.dpi": 150,
    "savefig.dpi": 150,
}


# As `ablation` takes them: one difference a fold, and whether a run of that fold collapsed; their mean and the ends of
# its 95 % interval; the ends of the bootstrap's interval.
Differences = tuple[Sequence[float], Sequence[bool], tuple[float, float, float], tuple[float, float]]
COLLAPSED = "a fold with a collapsed dimension"


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """The figure is drawn in the one style, whatever matplotlib is set to outside."""

    @functools.wraps(draw)
    def wrapper(*args: object, **kwargs: object) -> Figure:
        with style.context(STYLE, after_reset=True):
            return draw(*args, **kwargs)

    return wrapper


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG; the same figure gives the same bytes, since nothing names the software or the date."""
    buffer = io.BytesIO()
    with style.context(STYLE, after_reset=True):
        FigureCanvasAgg(figure).print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()


@styled
def digits(originals: np.ndarray, reconstructions: np.ndarray, generated: np.ndarray, *, title: str) -> Figure:
    """Originals over their reconstructions, and generated digits: each uint8 (N, 28, 28). The paper's Figures 1, 2."""
    margin, gap, top = 1.05, 0.12, 0.3  # inches: the names' column, between the blocks, the title
    blocks = {"original": originals, "reconstruction": reconstructions, "generated": generated}
    sheets = [tiled(255 - images, columns=10) for images in blocks.values()]
    heights = [(WIDTH - margin - gap) * picture.shape[0] / picture.shape[1] for picture in sheets]
    height = top + sum(heights) + gap * len(blocks)
    figure = Figure(figsize=(WIDTH, height))
    for row, (name, picture) in enumerate(zip(blocks, sheets, strict=True)):
        bottom = height - top - sum(heights[: row + 1]) - gap * row
        axes = figure.add_axes(
            (margin / WIDTH, bottom / height, 1 - (margin + gap) / WIDTH, heights[row] / height),
            xticks=[], yticks=[], frame_on=False,
        )  # fmt: skip
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="none")
        axes.set_ylabel(name, rotation=0, ha="right", va="center")
    figure.axes[0].set_title(title)
    return figure


@styled
def latent_scatter(z_mean: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, title: str) -> Figure:
    """z_mean (N, latent_dim) by class. The paper's Figures 3, 4.

    labels: (N,), or (0,) where there are none; classes: the name of each label. Of more than two latent dimensions the
    two principal components are shown, which the axes say; of a single one its values by class, or a histogram.
    """
    figure = Figure(figsize=(WIDTH * 0.8, WIDTH * 0.75), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title)
    axes.grid()
    if z_mean.shape[1] == 1:
        _values(axes, z_mean[:, 0], labels, classes)
        return figure
    points, names = plane_points(z_mean)
    colours = np.asarray(class_colours(len(classes)))[labels] if len(labels) else BLUE
    axes.scatter(points[:, 0], points[:, 1], s=3.5, c=colours, alpha=0.55, linewidths=0, rasterized=True)
    present = np.unique(labels)
    medians = np.array([np.median(points[labels == label], axis=0) for label in present]).reshape(-1, 2)
    _name(figure, present, classes, apart(medians, 0.05 * np.ptp(points, axis=0)))
    axes.set(xlabel=names[0], ylabel=names[1])
    return figure


def plane_points(z_mean: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """What a plane shows of z_mean (N, latent_dim), two dimensions at least: points (N, 2), and what the axes are.

    Of more dimensions these are the principal components (Pearson 1901), with the sign that makes the largest weight
    of each positive.
    """
    dimensions = z_mean.shape[1]
    if dimensions == 2:
        return z_mean, ("z_mean, dimension 0", "z_mean, dimension 1")
    centred = z_mean.astype(np.float64) - z_mean.mean(axis=0, dtype=np.float64)
    variances, vectors = np.linalg.eigh(centred.T @ centred)
    vectors = vectors[:, ::-1][:, :2]
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), (0, 1)])
    shares = variances[::-1][:2] / max(variances.sum(), np.finfo(float).tiny)
    first, second = (
        f"z_mean, principal component {place} of {dimensions} dimensions ({share:.0%} of the variance)"
        for place, share in enumerate(shares, start=1)
    )
    return centred @ vectors, (first, second)


def class_colours(count: int) -> tuple[str, ...]:
    """A colour for each class: the ten that are told apart best or, for more classes, as many along the rainbow."""
    if count <= len(CLASSES):
        return CLASSES
    return tuple(to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.03, 0.97, count)))


def _name(figure: Figure, labels: np.ndarray, classes: Sequence[str], places: np.ndarray) -> None:
    """Writes the name of each label at its place (x, y), in a ring of its colour, or long names into a legend."""
    colours = class_colours(len(classes))
    if max(map(len, classes), default=0) > 1:
        marks = [Line2D([], [], color=colours[label], marker="o", ls="") for label in labels]
        columns = -(-len(marks) // ROWS)
        names = [classes[label] for label in labels]
        figure.legend(marks, names, loc="outside right upper", ncols=columns)
        return
    for label, (x, y) in zip(labels, places, strict=True):
        ring = {"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": colours[label], "linewidth": 2}
        figure.axes[0].annotate(classes[label], (x, y), ha="center", va="center", weight="bold", bbox=ring)


def _values(axes: Axes, values: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> None:
    """The values (N,) of a single latent dimension, by class where there are labels."""
    axes.set_xlabel("z_mean, dimension 0")
    if not len(labels):
        axes.hist(values, bins=60, color=BLUE)
        axes.set_ylabel("test images")
        return
    colours = np.asarray(class_colours(len(classes)))[labels]
    axes.scatter(values, labels, s=3.5, c=colours, alpha=0.55, linewidths=0, rasterized=True)
    axes.set_yticks(range(len(classes)), classes)


def apart(places: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """The places (N, 2), those that are nearer to each other than `distance` (2,) pushed apart until none is."""
    scale = np.where(distance > 0, distance, 1)  # 0 where all places are the same
    moved = places / scale
    for _ in range(100):
        between = moved[:, np.newaxis] - moved
        gaps = np.hypot(*between.T).T
        lacking = np.where(gaps < 1, 1 - gaps, 0) * (1 - np.eye(len(moved)))
        if lacking.max(initial=0) < 1e-3:
            break
        moved = moved + 0.5 * (between / np.maximum(gaps, 1e-9)[..., np.newaxis] * lacking[..., np.newaxis]).sum(axis=1)
    return moved * scale


@styled
def loss_curves(
    epochs: Sequence[Mapping[str, Any]], *, title: str, published: Sequence[float] = (), source: str = ""
) -> Figure:
    """Loss, reconstruction loss and KL of training and validation by epoch. The paper's Figures 5, 6.

    `epochs` are the records of a history.json; `published` is the validation loss that `source` reports by epoch.
    """
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    numbers = [epoch["epoch"] for epoch in epochs]
    panels = {"loss": "loss", "reconstruction_loss": "reconstruction loss", "kl_loss": "KL"}
    for axes, (key, name) in zip(figure.subplots(1, 3, sharex=True), panels.items(), strict=True):
        axes.plot(numbers, [epoch[key] for epoch in epochs], "o-", color=BLUE, ms=3, label="training")
        axes.plot(numbers, [epoch[f"val_{key}"] for epoch in epochs], "s--", color=ORANGE, ms=3, label="validation")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(axis="y")
    first = figure.axes[0]
    first.set_ylabel("nats per image")
    if published:
        first.plot(range(1, len(published) + 1), published, ":", color=GREY, lw=1.6, label=f"validation, {source}")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    figure.suptitle(title, x=0.01, ha="left", size=STYLE["axes.titlesize"])
    return figure


@styled
def latent_plane(plane: np.ndarray, *, title: str) -> Figure:
    """Decoded digits, uint8 (grid, grid, 28, 28), at the prior's quantiles (i + 0.5) / grid.

    The first row is the highest z1, the columns go with rising z0.
    """
    grid, side = len(plane), plane.shape[-1]
    picture = tiled(plane.reshape(-1, side, side), grid, gap=0)
    figure = Figure(figsize=(WIDTH * 0.88, WIDTH * 0.9), layout="constrained")
    axes = figure.subplots()
    axes.imshow(255 - picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased", extent=(0, grid, 0, grid))
    ticks = (-2, -1, -0.5, 0, 0.5, 1, 2)
    positions = [grid * NormalDist().cdf(tick) for tick in ticks]
    names = [f"{tick:g}".replace("-", "\N{MINUS SIGN}") for tick in ticks]
    axes.set_xticks(positions, names)
    axes.set_yticks(positions, names)
    axes.set(title=title, xlabel="z, dimension 0 (spaced by the prior's quantiles)")
    axes.set_ylabel("z, dimension 1 (spaced by the prior's quantiles)")
    return figure


@styled
def ablation(
    panels: Mapping[str, Mapping[str, Differences]],
) -> Figure:
    """Differences from the baseline, one panel a metric, by variant. A fold on which a dimension collapsed is open."""
    variants = list(next(iter(panels.values())))
    figure = Figure(figsize=(WIDTH, 1.45 + 0.42 * len(variants)), layout="constrained")
    (row_of_axes,) = figure.subplots(1, len(panels), sharey=True, squeeze=False)
    for axes, (metric, differences) in zip(row_of_axes, panels.items(), strict=True):
        for row, (folds, ill, (mean, *interval), bootstrap) in enumerate(differences.values()):
            heights = np.full(len(folds), row + 0.2)
            axes.plot(_where(folds, ill, there=False), heights, "o", color=GREY, ms=3.5, mew=0, alpha=0.8)
            axes.plot(_where(folds, ill, there=True), heights, **_COLLAPSED)
            axes.plot(interval, (row, row), "-", color=BLUE, lw=2, solid_capstyle="butt")
            axes.plot(bootstrap, (row - 0.2, row - 0.2), "-", color=ORANGE, lw=1, solid_capstyle="butt")
            axes.plot(mean, row, "D", color=BLUE, ms=5)
        axes.axvline(0, color=INK, lw=0.8)
        axes.set(title=metric, xlabel="difference (nats)", yticks=range(len(variants)), yticklabels=variants)
        axes.set_ylim(len(variants) - 0.5, -0.5)
        axes.grid(axis="x")
    names = {
        "a fold": ("o", GREY),
        "mean": ("D", BLUE),
        "95 % interval": ("-", BLUE),
        "bootstrap interval": ("-", ORANGE),
    }
    marks = {
        name: Line2D([], [], color=colour, marker=mark.strip("-"), ls="-" if mark == "-" else "", lw=1.6, ms=4.5)
        for name, (mark, colour) in names.items()
    }
    if any(any(ill) for panel in panels.values() for _, ill, *_ in panel.values()):
        marks |= {COLLAPSED: Line2D([], [], **_COLLAPSED)}
    figure.legend(marks.values(), marks, loc="outside lower center", ncols=len(marks))
    return figure


_COLLAPSED: dict[str, Any] = {"ls": "", "marker": "o", "ms": 5, "mfc": "none", "mec": ORANGE, "mew": 1.3}


def _where(values: Sequence[float], marked: Sequence[bool], *, there: bool) -> np.ndarray:
    """The values that are marked, or those that are not; NaN, which is not drawn, in the place of the others."""
    return np.where(np.array(marked) == there, values, np.nan)


@styled
def rate_distortion(points: Sequence[tuple[float, np.ndarray, np.ndarray, np.ndarray]]) -> Figure:
    """(beta, KL, reconstruction loss, whether a dimension collapsed), each of the three (folds,) in the same order, by
    rising beta: a dot a fold, joined by a thin line for each fold, and their means. Along the dashed line the ELBO is
    that of the best mean.
    """
    figure = Figure(figsize=(WIDTH * 0.72, WIDTH * 0.5), layout="constrained")
    axes = figure.subplots()
    means = np.array([(rates.mean(), distortions.mean()) for _, rates, distortions, _ in points])
    *folds, ill = (np.stack(each) for each in zip(*(values for _, *values in points), strict=True))
    lines = axes.plot(*folds, "o-", color=GREY, ms=3, mew=0, lw=0.6, alpha=0.7)
    lines[0].set_label("a fold")
    axes.plot(*means.T, "o-", color=BLUE, ms=6, lw=1.6, label="mean over the folds")
    if ill.any():
        axes.plot(*(each[ill] for each in folds), label=COLLAPSED, **_COLLAPSED)
    best = int(means.sum(axis=1).argmin())
    for place, ((beta, *_), point) in enumerate(zip(points, means, strict=True)):
        # Beside the cloud of the folds, which falls from left to right: the ELBO is nearly the same along it.
        away, aligned = ((16, 34), "center") if place < best else ((-26, -24), "right")
        axes.annotate(
            f"β = {beta:g}", point, xytext=away, ha=aligned, textcoords="offset points", weight="bold", color=BLUE,
            arrowprops={"arrowstyle": "-", "color": BLUE, "lw": 0.8, "shrinkB": 4},
        )  # fmt: skip
    label = f"ELBO as at β = {points[best][0]:g}, the best mean"
    axes.axline(tuple(means[best]), slope=-1, color=GREY, lw=1, ls="--", zorder=1, label=label)
    axes.margins(0.22, 0.16)
    axes.set(xlabel="rate: KL (nats per image)", ylabel="distortion: reconstruction loss (nats per image)")
    axes.legend()
    axes.grid()
    return figure


@styled
def seeds(
    losses: Mapping[str, Sequence[float]],
    expected: tuple[float, float],
    published: Mapping[str, float],
    points: Sequence[tuple[int, float]],
    *,
    units: int,
) -> Figure:
    """Left: a dot for the loss of each seed, a row for each variant and one for the paper's two runs (by device); where
    one more run of the first variant is `expected`. Right: loss of trained runs against the dead of their `units`.
    """
    figure = Figure(figsize=(WIDTH, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    rows = [*losses, "paper"]
    left.axvspan(*expected, color=GREY, alpha=0.18, lw=0)
    for row, values in enumerate(losses.values()):
        left.plot(values, np.full(len(values), row), "o", color=ORANGE if row else BLUE, ms=5, mew=0, alpha=0.6)
        left.plot(np.mean(values), row, "|", color=INK, ms=16, mew=1.5)
    for (label, loss), mark in zip(published.items(), "sD", strict=True):
        left.plot(loss, len(losses), mark, color=INK, ms=6)
        left.annotate(label, (loss, len(losses)), xytext=(0, 8), ha="center", textcoords="offset points")
    left.set(title="loss on the test images by seed", xlabel="nats per image (stroke: mean; band: one more baseline)")
    left.set(yticks=range(len(rows)), yticklabels=rows)
    left.set_ylim(len(rows) - 0.5, -0.5)
    left.grid(axis="x")
    dead, of_points = zip(*points, strict=True)
    right.plot(dead, of_points, "o", color=BLUE, ms=5, mew=0, alpha=0.6)
    right.set(title="loss against dead hidden units", xlabel=f"dead of {units} units", ylabel="nats per image")
    right.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    right.margins(0.1)
    right.grid()
    return figure


@styled
def recipes(
    runs: Mapping[str, Sequence[tuple[float, int]]], expected: tuple[float, float], target: float, units: int
) -> Figure:
    """A dot for each run, (-ELBO, dead hidden units of `units`), a row for each recipe, of which the first is the
    baseline. expected: the -ELBO of one more run of the first; target: the one to reach.
    """
    figure = Figure(figsize=(WIDTH, 1.1 + 0.26 * len(runs)), layout="constrained")
    loss, dead = figure.subplots(1, 2, width_ratios=(1.6, 1), sharey=True)
    loss.axvspan(*expected, color=GREY, alpha=0.18, lw=0, label="where one more baseline is expected (95 %)")
    loss.axvline(target, color=INK, lw=1, ls="--", label=f"target: {target:g}")
    for row, trained in enumerate(runs.values()):
        for axes, values in zip((loss, dead), zip(*trained, strict=True), strict=True):
            colour = ORANGE if row else BLUE
            axes.plot(values, np.full(len(values), row), "o", color=colour, ms=5, mew=0, alpha=0.6)
    loss.set(title="negative ELBO of the test images", xlabel="nats per image")
    loss.set(yticks=range(len(runs)), yticklabels=list(runs))
    loss.set_ylim(len(runs) - 0.5, -0.5)
    dead.set(title="dead hidden units", xlabel=f"of {units}", xlim=(-0.5, units + 0.5))
    dead.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, dead):
        axes.grid(axis="x")
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


@styled
def search(
    numbers: Sequence[int],
    losses: Sequence[float],
    least: Sequence[float],
    options: Mapping[str, Sequence[float]],
    choices: Mapping[str, Sequence[str]],
    logarithmic: Sequence[str],
    drawn: int,
) -> Figure:
    """The losses (N,) of trials by their numbers (N,), with the least so far (N,), and by each option's values (N,).

    choices: of an option whose values are places in a list, what stands there. drawn: how many of the first trials were
    drawn at random. Losses far above the others are out of sight.
    """
    rows = -(-(len(options) + 1) // 4)
    figure = Figure(figsize=(WIDTH, 0.3 + 1.9 * rows), layout="constrained")
    first, *others = figure.subplots(rows, 4, sharey=True, squeeze=False).flat
    first.axvspan(-0.5, drawn - 0.5, color=GREY, alpha=0.18, lw=0)
    first.step(numbers, least, where="post", color=ORANGE, lw=1.2)
    first.plot(numbers, losses, "o", color=BLUE, ms=3.5, mew=0, alpha=0.6)
    first.set_title("trial")
    for axes, (option, values) in zip(others, options.items(), strict=False):
        axes.plot(values, losses, "o", color=BLUE, ms=3.5, mew=0, alpha=0.6)
        axes.set_title(option)
        if option in logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter("")
        if names := choices.get(option):
            axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
            axes.set_xlim(-0.5, len(names) - 0.5)
    for axes in (first, *others[: len(options)]):
        axes.grid(axis="y")
    for axes in others[len(options) :]:
        axes.set_axis_off()
    low, high = min(losses), float(np.quantile(losses, 0.9))
    margin = max(0.1 * (high - low), 0.1)
    first.set_ylim(low - margin, high + margin)
    figure.supylabel("validation loss, nats per image", size=STYLE["axes.labelsize"])
    return figure


@styled
def health(
    runs: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]], published: Mapping[str, Sequence[float]], *, units: int
) -> Figure:
    """A line for each run: -ELBO of the validation images, dead hidden units and KL of the least used latent dimension.

    runs: by label, of which there are three at most, the epochs of a history.json for each run; published: the paper's
    validation losses by device. units: hidden ones in all.
    """
    figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
    loss, dead, least = figure.subplots(1, 3, sharex=True)
    for (variant, histories), colour in zip(runs.items(), (BLUE, ORANGE, GREEN), strict=False):
        for place, epochs in enumerate(histories):
            numbers = [epoch["epoch"] for epoch in epochs]
            label = variant if place == 0 else None
            style_of_line = {"color": colour, "lw": 0.9, "alpha": 0.7, "label": label}
            elbos = [epoch["val_reconstruction_loss"] + epoch["val_kl_loss"] for epoch in epochs]
            loss.plot(numbers, elbos, **style_of_line)
            dead.plot(numbers, [epoch["health"]["dead_units"]["hidden"] for epoch in epochs], **style_of_line)
            kl = [min(epoch["health"]["kl_per_dimension"].values()) for epoch in epochs]
            least.plot(numbers, kl, **style_of_line)
    for (label, losses), line in zip(published.items(), (":", "--"), strict=False):
        loss.plot(range(1, len(losses) + 1), losses, line, color=INK, lw=1.4, label=f"paper, {label}")
    for axes, title in (
        (loss, "negative ELBO, validation"),
        (dead, f"dead of {units} hidden units"),
        (least, "least used dimension: KL"),
    ):
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
        axes.grid(axis="y")
    for axes in (loss, least):
        axes.set_ylabel("nats per image")
    dead.set(ylim=(-0.5, 16.5), yticks=range(0, 17, 4))
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return figure


@styled
def epoch_seconds(sources: Mapping[str, Sequence[Sequence[float]]]) -> Figure:
    """Seconds of every epoch by source and run, a row a source, with the median of the runs' medians; to a logarithmic
    scale.
    """
    figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(sources)), layout="constrained")
    axes = figure.subplots()
    for row, runs in enumerate(sources.values()):
        seconds = np.concatenate(runs)
        median = np.median([np.median(run) for run in runs])
        axes.plot(seconds, np.full(len(seconds), row), "o", color=GREY, ms=4, mew=0, alpha=0.6)
        axes.plot(median, row, "D", color=BLUE, ms=6)
        axes.annotate(f"{median:.3g} s", (median, row), xytext=(0, 7), ha="center",
                      textcoords="offset points", size=STYLE["legend.fontsize"])  # fmt: skip
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    axes.xaxis.set_minor_formatter("{x:g}")
    axes.set(xlabel="seconds an epoch: a dot each, the diamond their median", yticks=range(len(sources)))
    axes.set_yticklabels(list(sources))
    axes.set_ylim(len(sources) - 0.5, -0.7)
    axes.margins(x=0.1)
    axes.grid(axis="x")
    return figure


@styled
def latent_map(samples: Mapping[str, np.ndarray], classes: Sequence[str], *, title: str) -> Figure:
    """The latent plane by what the classifier sees there, if there is one, with the aggregate posterior and the prior
    over it.

    samples: map_classes, map_confidence and map_mass, each (cells, cells) with the highest z1 in the first row, are the
    likeliest class, its probability, and the probability of the cell under the aggregate posterior; map_edges:
    (cells + 1,), along both axes. A colour is paler where the classifier is less sure. Contours hold 50 % and 90 % of
    the aggregate posterior, dashed circles 50 % and 90 % of the prior.
    """
    mass, edges = samples["map_mass"], samples["map_edges"]
    shares = (0.9, 0.5)
    middles = (edges[1:] + edges[:-1]) / 2
    figure = Figure(figsize=(WIDTH * 0.8, WIDTH * 0.78), layout="constrained")
    axes = figure.subplots()
    axes.imshow(_seen(samples, classes), extent=2 * (edges[0], edges[-1]), interpolation="none")
    for share, width in zip(shares, (0.9, 1.8), strict=True):
        axes.contour(middles, middles[::-1], mass, [_density_level(mass, share)], colors=INK, linewidths=width)
        circle = {"radius": np.sqrt(-2 * np.log(1 - share)), "fill": False, "lw": 1.1}
        axes.add_patch(Circle((0, 0), ec="white", **circle))
        axes.add_patch(Circle((0, 0), ec=INK, ls=(0, (3, 3)), **circle))
    prior = np.exp(-0.5 * (middles[::-1, np.newaxis] ** 2 + middles**2))
    seen, places = np.unique(samples.get("map_classes", ())), []
    for label in seen:
        inside = prior * np.minimum(distance_transform_edt(samples["map_classes"] == label), 4)
        row, column = np.unravel_index(inside.argmax(), inside.shape)
        places.append((middles[column], middles[::-1][row]))
    _name(figure, seen, classes, np.array(places))
    axes.set(title=title, xlabel="z, dimension 0", ylabel="z, dimension 1")
    of_q, of_p = (Line2D([], [], color=INK, ls=line) for line in ("-", "--"))
    names = ["50 %, 90 % of the aggregate posterior", "50 %, 90 % of the prior"]
    figure.legend([of_q, of_p], names, loc="outside lower center", ncols=2)
    return figure


def _seen(samples: Mapping[str, np.ndarray], classes: Sequence[str]) -> np.ndarray:
    """(cells, cells, 3): the colour of the likeliest class, paler the less sure it is; white without a classifier."""
    if "map_classes" not in samples:
        return np.ones((*samples["map_mass"].shape, 3))
    guessing = 1 / len(classes)
    strength = 0.8 * (samples["map_confidence"][..., np.newaxis] - guessing) / (1 - guessing)
    colours = np.array([to_rgb(colour) for colour in class_colours(len(classes))])[samples["map_classes"]]
    return np.asarray(1 - strength * (1 - colours))


@styled
def digits_beside(originals: np.ndarray, runs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A row for each run, by name: reconstructions of the same originals, and digits decoded at the same points.

    originals: uint8 (columns, 28, 28); of each run two of that shape.
    """
    reconstructions, decoded = ([pair[place] for pair in runs.values()] for place in (0, 1))
    blocks = {
        "test images and their reconstructions": [originals, *reconstructions],
        "decoded at the same latent points": [np.zeros_like(originals), *decoded],
    }
    return _in_two_blocks(blocks, ["test images", *runs])


@styled
def samples_beside(runs: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Figure:
    """A row for each run, by name: digits drawn from the prior, and from the mixture. Each uint8 (columns, 28, 28)."""
    prior, mixture = ([pair[place] for pair in runs.values()] for place in (0, 1))
    return _in_two_blocks({"from the prior": prior, "from the mixture": mixture}, list(runs))


def _in_two_blocks(blocks: Mapping[str, Sequence[np.ndarray]], names: Sequence[str]) -> Figure:
    """Two blocks of digits beside each other, by title: a row of uint8 (columns, 28, 28) for each name."""
    columns = len(next(iter(blocks.values()))[0])
    margin = 0.15 + 0.07 * max(map(len, names))  # inches, for the names
    gap, top = 0.15, 0.35  # between the blocks, and for their titles
    side = (WIDTH - margin - 2 * gap) / 2  # inches: a block's width
    height = top + side / columns * len(names) + gap
    figure = Figure(figsize=(WIDTH, height))
    for number, (name, rows) in enumerate(blocks.items()):
        axes = figure.add_axes(
            ((margin + number * (side + gap)) / WIDTH, gap / height, side / WIDTH, 1 - (top + gap) / height),
            xticks=[], yticks=[], frame_on=False,
        )  # fmt: skip
        picture = tiled(255 - np.concatenate(rows), columns, gap=0)
        axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="antialiased", aspect="auto")
        axes.set_title(name)
        if number == 0:
            axes.tick_params(length=0)
            axes.set_yticks(28 * np.arange(len(names)) + 13.5, names)
    return figure


def _density_level(mass: np.ndarray, share: float) -> float:
    """What the cells with `share` of the mass in the map exceed, and the others do not."""
    falling = np.sort(mass, axis=None)[::-1]
    last = np.searchsorted(np.cumsum(falling), share * falling.sum())
    return float(falling[last : last + 2].mean())
