"""The tables of the report: what the stages wrote in, CSV and GitHub Markdown out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from digit_vae.files import csv_bytes
from digit_vae.paper import TABLE_1
from digit_vae.statistics import Difference, Spread

Cell = str | int | float | Spread | Difference | None


@dataclass(frozen=True)
class Table:
    """A header and rows of cells. In CSV a `Spread` or a `Difference` takes one column for each of its numbers."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def csv(self) -> bytes:
        """Every number in full, for programs; an empty cell where there is none."""
        columns = zip(*self.rows, strict=True)
        parts = [next((cell._fields for cell in column if isinstance(cell, tuple)), ()) for column in columns]
        header = [
            f"{name} {part}".strip() for name, its in zip(self.header, parts, strict=True) for part in its or [""]
        ]
        return csv_bytes(header, [_flat(row, [max(len(its), 1) for its in parts]) for row in self.rows])

    def markdown(self) -> str:
        """Rounded, for readers; columns of numbers are aligned right."""
        aligned = ["---" if isinstance(column[0], str) else "---:" for column in zip(*self.rows, strict=True)]
        lines = [self.header, aligned, *([_shown(cell) for cell in row] for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_1(histories: Mapping[str, Mapping], timings: Mapping[str, Mapping]) -> Table:
    """The paper's Table I with our runs (`histories` by run name) above the paper's: epoch by epoch.

    Losses are nats per image; seconds are those of the training steps alone.
    """
    ours = [(name, device(timings[name]), _epochs(histories[name], timings[name])) for name in histories]
    paper = [("paper", label, [tuple(epoch) for epoch in epochs]) for label, epochs in TABLE_1.items()]
    sources = ours + paper
    rows = [
        (epoch + 1, name, label, *epochs[epoch])
        for epoch in range(max(len(epochs) for _, _, epochs in sources))
        for name, label, epochs in sources
        if epoch < len(epochs)
    ]
    return Table(("Epoch", "Run", "Device", "Time (s)", "Loss", "Recon. loss", "Val loss"), tuple(rows))


def last_epochs(table: Table) -> Table:
    """Each run of a `table_1` after its last epoch, with the seconds of all its epochs."""
    last, total = {}, {}
    for epoch, name, label, time, *losses in table.rows:
        total[name, label] = total.get((name, label), 0) + time
        last[name, label] = (epoch, losses)
    rows = tuple((*source, epoch, total[source], *losses) for source, (epoch, losses) in last.items())
    return Table(("Run", "Device", "Epochs", "Time (s)", "Loss", "Recon. loss", "Val loss"), rows)


def ablation(variants: Mapping[str, Mapping]) -> Table:
    """Each variant over its validation folds; `variants` holds what stage `compare` wrote, by variant."""
    losses = {"Recon. loss": "reconstruction_loss", "KL": "kl_loss", "ELBO": "elbo"}
    units = {"Active units": "active_units", "Dead units": "dead_units"}
    rows = []
    for name, variant in variants.items():
        metrics = variant["validation"]
        compared = [cell for key in losses.values() for cell in (_spread(metrics[key]), difference(metrics[key]))]
        rows.append((name, variant["folds"], *compared, *(_spread(metrics[key]) for key in units.values())))
    header = [title for name in losses for title in (name, f"{name}, difference")]
    return Table(("Variant", "Folds", *header, *units), tuple(rows))


def fold_differences(differences: Mapping[str, Mapping[str, tuple[Sequence[float], tuple[float, float]]]]) -> Table:
    """metric -> variant -> (difference from the baseline on each fold, 95 % interval): a row for each pair."""
    rows = tuple(
        (variant, metric, *map(float, folds), Difference(float(np.mean(folds)), *interval))
        for metric, variants in differences.items()
        for variant, (folds, interval) in variants.items()
    )
    numbers = (f"Fold {fold}" for fold in range(len(rows[0]) - 3))
    return Table(("Variant", "Metric", *numbers, "Difference"), rows)


def all_runs(metrics: Mapping[str, Mapping], timings: Mapping[str, Mapping]) -> Table:
    """Every run on its validation images and on the test images, with the seconds of its training steps."""
    keys = ("reconstruction_loss", "kl_loss", "elbo", "active_units", "dead_units")
    titles = ("recon. loss", "KL", "ELBO", "active units", "dead units")
    rows = tuple(
        (name, *(split[key] for split in (run["validation"], run["test"]) for key in keys), seconds(timings[name]))
        for name, run in metrics.items()
    )
    header = (*(f"Val {title}" for title in titles), *(f"Test {title}" for title in titles))
    return Table(("Run", *header, "Training (s)"), rows)


def device(timing: Mapping) -> str:
    return timing["machine"]["device"].upper()


def seconds(timing: Mapping) -> float:
    """Seconds of all training steps, without set-up and validation."""
    return sum(epoch["train_seconds"] for epoch in timing["epochs"])


def difference(metric: Mapping) -> Difference | None:
    """None for the baseline, and where the baseline was not trained on folds."""
    if "difference" not in metric:
        return None
    return Difference(metric["difference"], metric["difference_low"], metric["difference_high"])


def signed(value: float) -> str:
    """Two decimals and always a sign."""
    return _typeset(value, "+")


def _epochs(history: Mapping, timing: Mapping) -> list[tuple[float, ...]]:
    return [
        (clock["train_seconds"], epoch["loss"], epoch["reconstruction_loss"], epoch["val_loss"])
        for epoch, clock in zip(history["epochs"], timing["epochs"], strict=True)
    ]


def _spread(metric: Mapping) -> Spread:
    return Spread(metric["mean"], metric["std"])


def _flat(row: Sequence[Cell], widths: Sequence[int]) -> list[object]:
    """The row with each cell spread over as many columns as it takes."""
    cells = [cell if isinstance(cell, tuple) else [cell] * width for cell, width in zip(row, widths, strict=True)]
    return [value for cell in cells for value in cell]


def _shown(cell: Cell) -> str:
    match cell:
        case None:
            return ""
        case Spread():
            return f"{_typeset(cell.mean)} ± {_typeset(cell.std)}"
        case Difference():
            return f"{signed(cell.mean)} [{signed(cell.low)}, {signed(cell.high)}]"
        case float():
            return _typeset(cell)
        case _:
            return str(cell)


def _typeset(value: float, sign: str = "-") -> str:
    """Two decimals with a minus sign instead of a hyphen, at which lines do not break."""
    return f"{value:{sign}.2f}".replace("-", "\u2212")
