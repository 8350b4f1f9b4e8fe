"""Page `paper`: the paper's Table I and Figures 1 to 6, ours beside the paper's."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from digit_vae.analysis.results import Json, Results, RunResult
from digit_vae.base.paths import BENCHMARKS
from digit_vae.config.schema import DEVICES
from digit_vae.report import figures
from digit_vae.report.pages import Page
from digit_vae.report.paper import SAMPLES_RECONSTRUCTED, TABLE_1, paper_curves, paper_losses
from digit_vae.report.tables import Cell, Table
from digit_vae.speed.records import Range, machine_name, median_epochs, of_same_machine, read_benchmarks

Benchmarks = Mapping[str, Json]


class Source(NamedTuple):
    """Where a row of Table I is from. `epochs`: time and losses of each; `seconds`: of all, None where not timed."""

    run: str
    device: str
    precision: str
    epochs: Sequence[tuple[Cell, ...]]
    seconds: Cell


@dataclass(frozen=True)
class Shown:
    """One of our two runs, and the paper's that it stands for (`source`: the device of that)."""

    result: RunResult
    source: str

    @property
    def paper_epochs(self) -> int:
        return len(TABLE_1[self.source])

    @property
    def paper_loss(self) -> float:
        return paper_losses()[self.source]

    @property
    def best(self) -> Json:
        """The epoch with the lowest validation loss."""
        return min(self.result.epochs, key=lambda epoch: float(epoch["val_loss"]))

    @property
    def kl(self) -> list[float]:
        """KL of each latent dimension on the test images, rising."""
        return sorted(self.result.metrics["test"]["kl_per_dimension"].values())


def page(results: Results) -> Page:
    names = (results.params.report.first_run, results.params.report.second_run)
    shown = [Shown(results.runs[name], source) for name, source in zip(names, TABLE_1, strict=True)]
    first, second = (each.result.history["params"] for each in shown)
    known = sources([each.result for each in shown], read_benchmarks(BENCHMARKS))
    values = {
        "shown": shown,
        "changes": {key: (first[key], second[key]) for key in first if first[key] != second[key]},
        "train_images": results.params.preprocess.train_images,
        "digits": results.params.evaluate.digits,
        "grid": results.params.evaluate.grid,
        "latent_dim": results.params.train.latent_dim,
        "reconstructed": list(SAMPLES_RECONSTRUCTED.values()),
        "classifier": results.classifier,
        "dataset": results.dataset,
    }
    drawn = {f"figure_{number}_loss": _curves(each) for number, each in enumerate(shown, start=5)}
    return Page(values, {"table_1": table_1(known), "table_1_last": last_epochs(known)}, drawn)


def sources(runs: Iterable[RunResult], benchmarks: Benchmarks) -> list[Source]:
    """Our runs, the benchmarks by file name, the paper's two.

    A benchmark of another machine than the runs' says so. Our runs are not timed: they share the machine with others.
    """
    ours = list(runs)
    here = ours[0].timings["machine"]
    paper = [
        Source("paper", label, "float32", epochs, sum(epoch.seconds for epoch in epochs))
        for label, epochs in TABLE_1.items()
    ]
    return [*map(_run, ours), *(_benchmark(each, here) for each in benchmarks.values()), *paper]


def table_1(known: Sequence[Source]) -> Table:
    """The paper's Table I, epoch by epoch. Seconds are those of the training steps alone, losses nats per image."""
    epochs = max(len(source.epochs) for source in known)
    rows = [
        (number, source.run, source.device, source.precision, *source.epochs[number - 1])
        for number in range(1, epochs + 1)
        for source in known
        if number <= len(source.epochs)
    ]
    header = ("Epoch", "Run", "Device", "Precision", "Time (s)", "Loss", "Recon. loss", "Val loss")
    return Table(header, tuple(rows))


def last_epochs(known: Sequence[Source]) -> Table:
    """Table I after the last epoch, with the seconds of all; a device that nobody measured says so."""
    rows: list[tuple[Cell, ...]] = [
        (source.run, source.device, source.precision, len(source.epochs), source.seconds, *source.epochs[-1][1:])
        for source in known
    ]
    timed = {source.device for source in known if isinstance(source.seconds, Range)}
    unknown = [device.upper() for device in DEVICES if device.upper() not in timed]
    rows += [(f"benchmark on a {device}: not measured", device, "", *(None,) * 5) for device in unknown]
    return Table(("Run", "Device", "Precision", "Epochs", "Time (s)", "Loss", "Recon. loss", "Val loss"), tuple(rows))


def elsewhere(machine: Json, here: Json) -> str:
    """What stands behind the name of a machine that is not the runs'."""
    return "" if of_same_machine(machine, here) else " (other machine)"


def _run(result: RunResult) -> Source:
    params = result.history["params"]
    keys = ("loss", "reconstruction_loss", "val_loss")
    epochs = [(None, *(epoch[key] for key in keys)) for epoch in result.epochs]
    return Source(result.name, params["device"].upper(), params["precision"], epochs, None)


def _benchmark(benchmark: Json, here: Json) -> Source:
    machine, count = benchmark["machine"], len(benchmark["runs"])
    run = f"benchmark, {count} seed{'s' * (count > 1)}, {machine_name(machine)}{elsewhere(machine, here)}"
    epochs = [tuple(epoch.values()) for epoch in median_epochs(benchmark)]
    total = Range(**benchmark["summary"]["seconds"])
    return Source(run, machine["device"].upper(), machine["precision"], epochs, total)


def _curves(shown: Shown) -> figures.Figure:
    source, published = f"paper's {shown.source} run", paper_curves()[shown.source]
    return figures.loss_curves(shown.result.epochs, title=shown.result.name, published=published, source=source)
