"""Page `speed`: what `make bench` measured of machines, beside the paper's seconds and beside other libraries."""

from collections.abc import Mapping
from statistics import mean

from digit_vae.analysis.results import Json, Results
from digit_vae.base.paths import BENCHMARKS
from digit_vae.report import figures
from digit_vae.report.chapter_paper import elsewhere
from digit_vae.report.pages import Page
from digit_vae.report.paper import TABLE_1
from digit_vae.report.tables import Cell, Table
from digit_vae.speed.records import Range, machine_name, read_benchmarks, read_comparisons

PAPER_IMAGES = 60_000
LIBRARIES = {"keras": "Keras' own fit", "digit_vae": "this project"}


def page(results: Results) -> Page:
    benchmarks, comparisons = read_benchmarks(BENCHMARKS), read_comparisons(BENCHMARKS / "side_by_side")
    here = results.runs[results.params.report.first_run].timings["machine"]
    values = {
        "measured": bool(benchmarks),
        "paper": TABLE_1,
        "compared": bool(comparisons),
        "full_epochs": sorted({each["full_epochs"] for each in comparisons.values()}),
        "ends": {precision: loss_ends(benchmarks, precision) for precision in ("float32", "mixed_bfloat16")},
    }
    tables, drawn = {}, {}
    if benchmarks:
        tables["benchmarks"] = benchmarks_table(benchmarks, here)
        drawn["epoch_seconds"] = figures.epoch_seconds(epoch_seconds(benchmarks))
    if comparisons:
        tables["side_by_side"] = side_by_side(comparisons)
    return Page(values, tables, drawn)


def loss_ends(benchmarks: Mapping[str, Json], precision: str) -> tuple[float, float] | None:
    """The least and the greatest validation loss of the repetitions in one precision; None where there are none."""
    ends = [each["summary"]["val_loss"] for each in benchmarks.values() if each["machine"]["precision"] == precision]
    return (min(each["low"] for each in ends), max(each["high"] for each in ends)) if ends else None


def benchmarks_table(benchmarks: Mapping[str, Json], here: Json) -> Table:
    """A row for each benchmark: what an epoch takes, and how that stands to the machine's and the paper's speed."""
    rows = []
    for each in benchmarks.values():
        machine, values = each["machine"], {key: Range(**value) for key, value in each["summary"].items()}
        like_paper = (each["params"]["epochs"], each["images"]) == (len(TABLE_1["CPU"]), PAPER_IMAGES)
        # Without the first epoch, in which the paper's set-up presumably is: here that has a column of its own.
        published = mean(epoch.seconds for epoch in TABLE_1[machine["device"].upper()][1:])
        rows.append(
            (
                machine_name(machine) + elsewhere(machine, here),
                machine["device"].upper(),
                machine["precision"],
                len(each["runs"]),
                each["images"],
                *(values[key] for key in ("epoch_seconds", "validation_seconds", "setup_seconds")),
                round(values["images_a_second"].median),
                100 * values["matrix_share"].median,
                values["peak_bytes"].high / 2**20,
                published / values["epoch_seconds"].median if like_paper else None,
            )
        )
    header = ("Machine", "Device", "Precision", "Runs", "Images", "Epoch (s)", "Validation (s)", "Set-up (s)")
    further = (
        "Images a second",
        "Of matrix product (%)",
        "Memory (MiB)",
        "Times the paper's speed, from its second epoch on",
    )
    return Table(header + further, tuple(rows))


def side_by_side(comparisons: Mapping[str, Json]) -> Table:
    """A row for each contestant of each machine: a whole cross-validation, as measured and for all epochs."""
    rows: list[tuple[Cell, ...]] = []
    for each in comparisons.values():
        for name, values in each["summary"].items():
            library, precision = name.rsplit("-", 1)
            of = {key: Range(**value) for key, value in values.items()}
            shown = [of[key] for key in ("seconds", "full_seconds", "step_milliseconds", "times_as_fast", "val_loss")]
            made = machine_name(each["machine"]), LIBRARIES[library], precision, each["epochs"]
            rows.append((*made, *shown, (each["git_commit"] or "")[:8]))
    header = ("Machine", "Cross-validation by", "Precision", "Epochs", "Time (s)", "Extrapolated (s)", "Step (ms)")
    return Table((*header, "Times as fast", "Val loss", "Commit"), tuple(rows))


def epoch_seconds(benchmarks: Mapping[str, Json]) -> dict[str, list[list[float]]]:
    """The seconds of every epoch of each repetition, by what they were measured on; and the paper's."""
    measured = {
        f"{machine_name(each['machine'])}, {each['machine']['precision']}": [
            [epoch["train_seconds"] for epoch in run["epochs"]] for run in each["runs"]
        ]
        for each in benchmarks.values()
    }
    return measured | {f"paper, {label}": [[epoch.seconds for epoch in epochs]] for label, epochs in TABLE_1.items()}
