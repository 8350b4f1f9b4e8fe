"""`digit-vae times`: what a pass of `make repro` spent its time on, as a sum.

    time make repro
    digit-vae times --wall 50:12             # what `time` said; of `make beyond`: with --beyond

The parts are seconds of a core: a training and an evaluation have one thread each. What they leave of the pass on all
cores is the rest: the classifier, imports, DVC, figures, and cores that wait. Runs whose results git brought do not
count.
"""

import argparse
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from digit_vae.base.arguments import parser_of
from digit_vae.base.errors import UserError
from digit_vae.base.files import read_json
from digit_vae.base.progress import clock
from digit_vae.base.shapes import MACHINE, NUMBER, SECONDS, Shape
from digit_vae.config.loading import load_params
from digit_vae.config.runs import GRAPHS, Graph, runs

Json = Mapping[str, Any]
OF_A_TRAINING = {
    "finished_at": NUMBER,
    "setup_seconds": NUMBER,
    "machine": MACHINE,
    "epochs": [SECONDS | {"finished_at": NUMBER}],
}
OF_AN_EVALUATION = dict.fromkeys(("started_at", "finished_at", "seconds"), NUMBER)
MOMENT = 60.0  # seconds from the end of a run to its file, at most: a file that git brought is far younger
DIGITS = 7  # of the hours, minutes or seconds of a pass at most


class Parts(NamedTuple):
    """Seconds of a core that the runs of a pass took; set_up is building, tracing and compiling before the first epoch,
    evaluation is without its imports.
    """

    training_steps: float
    validation: float
    set_up: float
    evaluation: float


class Pass(NamedTuple):
    """A pass of `wall` seconds on so many cores; how many runs it trained, new or begun, and how many it evaluated."""

    parts: Parts
    wall: float
    cores: int
    trained: int
    evaluated: int

    @property
    def rest(self) -> float:
        """Seconds of a core that the parts leave."""
        return self.wall * self.cores - sum(self.parts)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("times", __doc__)
    parser.add_argument("--wall", required=True, type=_seconds, help="how long the pass took: H:MM:SS, MM:SS or SS")
    parser.add_argument("--beyond", action="store_true", help="of both graphs, as `make beyond` makes them")
    parsed = parser.parse_args(arguments)
    timings, evaluations = read_times(Path(), GRAPHS if parsed.beyond else ("paper",))
    print(table(last_pass(timings, evaluations, parsed.wall)))


def read_times(root: Path, graphs: Iterable[Graph]) -> tuple[list[Json], list[Json]]:
    """timings.json and evaluation.json of the runs of the graphs that were made in `root`.

    Raises: UserError when one is missing or damaged, also of a run that was made elsewhere.
    """
    params = load_params(root / "params.yaml")
    timings: list[Json] = []
    evaluations: list[Json] = []
    for run in (each for graph in graphs for each in runs(params, graph)):
        files, (train, evaluate) = run.files, run.stages
        timings += _made_here(root / files.timings, train, OF_A_TRAINING)
        evaluations += _made_here(root / files.evaluation, evaluate, OF_AN_EVALUATION)
    return timings, evaluations


def _made_here(path: Path, stage: str, keys: Mapping[str, Shape]) -> list[Json]:
    """What a file says, where it was written when its run had ended: one from git is as young as the checkout."""
    times = read_json(path, made_by=stage, keys=keys)
    return [times] if abs(path.stat().st_mtime - times["finished_at"]) < MOMENT else []


def last_pass(timings: Sequence[Json], evaluations: Sequence[Json], wall: float) -> Pass:
    """What was made in the `wall` seconds before the last run was finished: what is older, an earlier pass made.

    Raises: UserError when nothing was, when two machines made it, or when the parts are more than the pass.
    """
    if not timings and not evaluations:
        raise UserError("no pass was made here: all runs' files are of other times than the runs, as git leaves them")
    end = max(each["finished_at"] for each in (*timings, *evaluations))
    trained = [each for each in timings if each["finished_at"] > end - wall]
    evaluated = [each for each in evaluations if each["started_at"] >= end - wall]
    # A training that an earlier pass began: its later epochs alone.
    epochs = [epoch for each in trained for epoch in each["epochs"] if epoch["finished_at"] > end - wall]
    if not trained:
        raise UserError("--wall: expected a time in which a run was trained, which tells the cores; received none")
    machines = {(each["machine"]["cpu"], each["machine"]["cores"]) for each in trained}
    if len(machines) != 1:
        raise UserError(f"--wall: expected trainings on one machine in this time, received {len(machines)} machines")
    [(_, cores)] = machines
    parts = Parts(
        training_steps=math.fsum(each["train_seconds"] for each in epochs),
        validation=math.fsum(each["validation_seconds"] for each in epochs),
        set_up=math.fsum(each["setup_seconds"] for each in trained),
        evaluation=math.fsum(each["seconds"] for each in evaluated),
    )
    if sum(parts) > wall * cores:
        least = clock(math.ceil(sum(parts) / cores))
        raise UserError(f"--wall: expected at least the {least} that the parts take, received {clock(wall)}")
    return Pass(parts, wall, cores, len(trained), len(evaluated))


def table(done: Pass) -> str:
    """The sum as a table of Markdown: seconds of a core, their share, and minutes on all cores."""
    rows = {**done.parts._asdict(), "rest": done.rest, "all": done.wall * done.cores}
    lines = [f"| Part | Seconds of a core | Share (%) | On {done.cores} cores |", "| --- | --- | --- | --- |"]
    for name, seconds in rows.items():
        share = 100 * seconds / rows["all"]
        lines.append(f"| {name.replace('_', ' ')} | {seconds:,.0f} | {share:.1f} | {clock(seconds / done.cores)} |")
    return "\n".join([*lines, "", f"{done.trained} runs trained, {done.evaluated} evaluated."])


def _seconds(value: str) -> float:
    parts = value.split(":")
    if len(parts) > 3 or not all(part.isascii() and part.isdecimal() and len(part) <= DIGITS for part in parts):
        raise argparse.ArgumentTypeError(f"expected H:MM:SS, MM:SS or SS; received {value!r}")
    return float(sum(int(part) * 60**place for place, part in enumerate(reversed(parts))))
