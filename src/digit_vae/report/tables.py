"""The tables of the report: what the stages wrote in, CSV and GitHub Markdown out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digit_vae.speed.records import Range, machine_name, median_epochs, of_same_machine
from digit_vae.base.files import csv_bytes
from digit_vae.report.paper import TABLE_1
from digit_vae.config.params import DEVICES
from digit_vae.analysis.statistics import LEVEL, Difference, Spread

PAPER_IMAGES = 60_000
LIBRARIES = {"keras": "Keras' own fit", "digit_vae": "this project", "torch": "PyTorch"}


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
        parts = [next((cell._fields for cell in column if isinstance(cell, tuple)), ()) for column in columns]
        header = [
            f"{name} {part}".strip() for name, its in zip(self.header, parts, strict=True) for part in its or [""]
        ]
        return csv_bytes(header, [_flat(row, [max(len(its), 1) for its in parts]) for row in self.rows])

    def markdown(self) -> str:
        """Rounded, for readers; columns of numbers are aligned right."""
        aligned = ["---" if isinstance(column[0], str) else "---:" for column in zip(*self.rows, strict=True)]
        lines = [self.header, aligned, *([_shown(cell, self.digits) for cell in row] for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Source(NamedTuple):
    """Where a row of Table I is from. `epochs`: time and losses of each; `seconds`: of all, None where not timed."""

    run: str
    device: str
    precision: str
    epochs: Sequence[tuple[Cell, ...]]
    seconds: Cell


def sources(histories: Mapping[str, Mapping], benchmarks: Mapping[str, Mapping], here: Mapping) -> list[Source]:
    """Our runs (`histories` by run name), the benchmarks by file name, the paper's two.

    here: the fingerprint of our runs' machine; a benchmark of another says so. Our runs are not timed, since they share
    the machine with others.
    """
    ours = [
        Source(name, history["params"]["device"].upper(), history["params"]["precision"], _losses(history), None)
        for name, history in histories.items()
    ]
    paper = [
        Source("paper", label, "float32", epochs, sum(epoch.seconds for epoch in epochs))
        for label, epochs in TABLE_1.items()
    ]
    return [*ours, *(_benchmark(each, here) for each in benchmarks.values()), *paper]


def table_1(known: Iterable[Source]) -> Table:
    """The paper's Table I, epoch by epoch. Seconds are those of the training steps alone, losses nats per image."""
    rows = [
        (number, source.run, source.device, source.precision, *epoch)
        for source in known
        for number, epoch in enumerate(source.epochs, start=1)
    ]
    header = ("Epoch", "Run", "Device", "Precision", "Time (s)", "Loss", "Recon. loss", "Val loss")
    return Table(header, tuple(sorted(rows, key=lambda row: row[0])))


def last_epochs(known: Sequence[Source]) -> Table:
    """Table I after the last epoch, with the seconds of all; a device that nobody measured says so."""
    rows = [
        (source.run, source.device, source.precision, len(source.epochs), source.seconds, *source.epochs[-1][1:])
        for source in known
    ]
    timed = {source.device for source in known if isinstance(source.seconds, Range)}
    unknown = [device.upper() for device in DEVICES if device.upper() not in timed]
    rows += [(f"benchmark on a {device}: not measured", device, "", *(None,) * 5) for device in unknown]
    return Table(("Run", "Device", "Precision", "Epochs", "Time (s)", "Loss", "Recon. loss", "Val loss"), tuple(rows))


def benchmarks_table(benchmarks: Mapping[str, Mapping], here: Mapping) -> Table:
    """A row for each benchmark: what an epoch takes, and how that stands to the machine's and the paper's speed."""
    rows = []
    for each in benchmarks.values():
        machine, values = each["machine"], {key: Range(**value) for key, value in each["summary"].items()}
        like_paper = (each["params"]["epochs"], each["images"]) == (len(TABLE_1["CPU"]), PAPER_IMAGES)
        published = sum(epoch.seconds for epoch in TABLE_1[machine["device"].upper()])
        rows.append(
            (
                machine_name(machine) + _elsewhere(machine, here),
                machine["device"].upper(),
                machine["precision"],
                len(each["runs"]),
                each["images"],
                *(values[key] for key in ("epoch_seconds", "validation_seconds", "setup_seconds")),
                round(values["images_a_second"].median),
                100 * values["matrix_share"].median,
                values["peak_bytes"].high / 2**20,
                published / values["seconds"].median if like_paper else None,
            )
        )
    header = ("Machine", "Device", "Precision", "Runs", "Images", "Epoch (s)", "Validation (s)", "Set-up (s)")
    further = ("Images a second", "Of matrix product (%)", "Memory (MiB)", "Times the paper's speed")
    return Table(header + further, tuple(rows))


def side_by_side(comparisons: Mapping[str, Mapping]) -> Table:
    """A row for each contestant of each machine: a whole cross-validation, as measured and for all epochs."""
    rows = []
    for each in comparisons.values():
        for name, values in each["summary"].items():
            library, precision = name.rsplit("-", 1)
            of = {key: Range(**value) for key, value in values.items()}
            shown = [of[key] for key in ("seconds", "full_seconds", "step_milliseconds", "times_as_fast", "val_loss")]
            rows.append((machine_name(each["machine"]), LIBRARIES[library], precision, each["epochs"], *shown))
        if not any(name.startswith("torch-") for name in each["summary"]):
            rows.append((machine_name(each["machine"]), "PyTorch: not installed", "", *(None,) * 6))
    header = ("Machine", "Cross-validation by", "Precision", "Epochs", "Time (s)", "Extrapolated (s)", "Step (ms)")
    return Table((*header, "Times as fast", "Val loss"), tuple(rows))


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


def difference_tests(metrics: Mapping[str, Mapping[str, Mapping]], digits: int = 2) -> Table:
    """A row for each number and variant: its difference from the baseline over the folds, and the tests of that.

    metrics: by the number's title and by variant, what stage `compare` wrote of it.
    """
    rows = []
    for title, variants in metrics.items():
        for name, its in variants.items():
            difference = Difference(its["difference"], its["difference_low"], its["difference_high"])
            tests = (Probability(its["p"]), Probability(its["p_holm"]), its.get("hedges_g"))
            rows.append((title, name, difference, *tests, Interval(its["bootstrap_low"], its["bootstrap_high"])))
    header = ("Metric", "Variant", "Difference", "p", "p (Holm)", "Hedges' g", "Bootstrap")
    return Table(header, tuple(rows), digits)


def seconds(timing: Mapping) -> float:
    """Seconds of all training steps, without set-up and validation."""
    return sum(epoch["train_seconds"] for epoch in timing["epochs"])


def _losses(history: Mapping) -> list[tuple[Cell, ...]]:
    return [(None, epoch["loss"], epoch["reconstruction_loss"], epoch["val_loss"]) for epoch in history["epochs"]]


def _benchmark(benchmark: Mapping, here: Mapping) -> Source:
    machine, count = benchmark["machine"], len(benchmark["runs"])
    run = f"benchmark, {count} seed{'s' * (count > 1)}, {machine_name(machine)}{_elsewhere(machine, here)}"
    epochs = [tuple(epoch.values()) for epoch in median_epochs(benchmark)]
    total = Range(**benchmark["summary"]["seconds"])
    return Source(run, machine["device"].upper(), machine["precision"], epochs, total)


def _elsewhere(machine: Mapping, here: Mapping) -> str:
    return "" if of_same_machine(machine, here) else " (not measured here)"


def _flat(row: Sequence[Cell], widths: Sequence[int]) -> list[object]:
    """The row with each cell spread over as many columns as it takes."""
    cells = [cell if isinstance(cell, tuple) else [cell] * width for cell, width in zip(row, widths, strict=True)]
    return [value for cell in cells for value in cell]


def _shown(cell: Cell, digits: int) -> str:
    match cell:
        case None:
            return ""
        case Spread(value, None) | Nats(value, None):
            return _shown(value, digits)
        case Spread(value, deviation) | Nats(value, deviation):
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
