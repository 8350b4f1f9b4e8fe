"""The command `digit-vae`: what a trained run can do, by the run's name, from the project's root folder.

A run is used with the parameters that it was trained with, whatever params.yaml says by now.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_vae.base.errors import UserError, exit_status
from digit_vae.base.files import csv_bytes, read_listed_npy, write_bytes
from digit_vae.config.params import find_run, load_params
from digit_vae.serving.pictures import over, png, read_digit, sheet
from digit_vae.serving.trained import TrainedRun, read_trained

if TYPE_CHECKING:  # at run time TensorFlow waits until a model is needed: --help and mistakes answer at once
    from digit_vae.model.vae import VAE

MODELS = (Path("models"), Path("extended/models"))
PROCESSED = Path("data/processed")
MOST_DIGITS = 10_000

DESCRIPTION = """\
Uses a trained run: baseline-full, l1_l2-3, ... Run it in the project's root folder.
`dvc repro train@RUN` trains a run that is not there yet."""
EXAMPLES = """\
examples:
  digit-vae generate baseline-full --count 30 --seed 7 --output digits.png
  digit-vae reconstruct baseline-full --test 0 1 2 3
  digit-vae encode baseline-full --all-test --output latent.csv
`digit-vae COMMAND --help` says more about each."""
GENERATE = """\
examples:
  digit-vae generate baseline-full                              # ten digits on one sheet
  digit-vae generate baseline-full --count 30 --seed 7 --output digits.png
  digit-vae generate baseline-full --count 5 --single --output digits/   # digits/0.png to digits/4.png"""
RECONSTRUCT = """\
examples:
  digit-vae reconstruct baseline-full --test 0 1 2 3 --output pairs.png
  digit-vae reconstruct baseline-full --image seven.jpg"""
ENCODE = """\
examples:
  digit-vae encode baseline-full --image seven.jpg nine.png
  digit-vae encode baseline-full --test 0 1 2
  digit-vae encode baseline-full --all-test --output latent.csv"""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line (None: the process's own), runs the command and exits with its status."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # end quietly in `digit-vae encode ... | head`
    parsed = _parser().parse_args(arguments)
    sys.exit(exit_status(lambda: parsed.command(parsed)))


def generate(arguments: argparse.Namespace) -> None:
    """Digits decoded from draws of the prior, on one sheet or each in a file of its own."""
    vae = _load(find_trained(arguments.run))
    from digit_vae.evaluation.elbo import generate

    digits = generate(vae, arguments.count, arguments.seed)
    if not arguments.single:
        _write(arguments.output or Path(f"{arguments.run}-generated.png"), sheet(digits))
        return
    folder = arguments.output or Path(f"{arguments.run}-generated")
    width = len(str(len(digits) - 1))
    for number, digit in enumerate(digits):
        write_bytes(folder / f"{number:0{width}}.png", png(digit))
    print(f"wrote {len(digits)} digits to {folder}")


def reconstruct(arguments: argparse.Namespace) -> None:
    """Originals over their reconstructions, on one sheet."""
    run = find_trained(arguments.run)
    _, images = chosen_images(arguments)
    vae = _load(run)
    from digit_vae.evaluation.elbo import reconstruct

    pairs = over(images[..., 0], reconstruct(vae, images))
    _write(arguments.output or Path(f"{run.name}-reconstructed.png"), sheet(pairs))


def encode(arguments: argparse.Namespace) -> None:
    """A row for each image: what it is, then z_mean and z_log_var of each latent dimension."""
    run = find_trained(arguments.run)
    names, images = chosen_images(arguments)
    vae = _load(run)
    from digit_vae.evaluation.elbo import posterior

    latent = np.concatenate(posterior(vae, images), axis=1)
    columns = [f"{part}_{each}" for part in ("z_mean", "z_log_var") for each in range(run.params.latent_dim)]
    table = csv_bytes(["image", *columns], ([name, *row] for name, row in zip(names, latent, strict=True)))
    if arguments.output:
        _write(arguments.output, table)
    else:
        sys.stdout.write(table.decode())


def find_trained(name: str) -> TrainedRun:
    """The run `name`, whether or not params.yaml still has it.

    Raises: UserError when it is neither trained nor in params.yaml, or a file of it is missing or damaged.
    """
    trained = {path.parent.name: path.parent for models in MODELS for path in models.glob("*/history.json")}
    return read_trained(trained.get(name) or find_run(load_params(), name).folder)


def chosen_images(arguments: argparse.Namespace) -> tuple[Sequence[object], np.ndarray]:
    """The images that the command line names, as (N, 28, 28, 1) uint8, with a name for each: its file or its index."""
    if arguments.image:
        images, done = zip(*map(read_digit, arguments.image), strict=True)
        print(*done, sep="\n", file=sys.stderr)
        return arguments.image, np.stack(images)
    images, _ = read_listed_npy(PROCESSED, "test_images.npy", made_by="preprocess")
    indices = arguments.test or range(len(images))
    if max(indices) >= len(images):
        raise UserError(f"--test: expected indices from 0 to {len(images) - 1}; received {max(indices)}")
    return indices, images[list(indices)]


def _load(run: TrainedRun) -> "VAE":
    with _quiet_start():
        from digit_vae.evaluation.elbo import load_vae
        from digit_vae.model.device import select_device

        select_device("cpu")
    return load_vae(run.params, run.weights, made_by=f"train@{run.name}")


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Keeps TensorFlow's start-up notes off standard error: some come before any of its log levels counts."""
    shown = os.dup(2)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 2)
    try:
        yield
    finally:
        os.dup2(shown, 2)
        os.close(shown)
        os.close(silence)


def _write(path: Path, content: bytes) -> None:
    write_bytes(path, content)
    print(f"wrote {path}")


def _parser() -> argparse.ArgumentParser:
    parser = _described(argparse.ArgumentParser, prog="digit-vae", description=DESCRIPTION, epilog=EXAMPLES)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(command: Callable, text: str, epilog: str, output: str) -> argparse.ArgumentParser:
        added = _described(commands.add_parser, command.__name__, help=text, description=text, epilog=epilog)
        added.add_argument("run", metavar="RUN", help="name of a trained run, such as baseline-full")
        added.add_argument("--output", metavar="PATH", type=Path, help=output)
        added.set_defaults(command=command)
        return added

    added = add(
        generate, "Digits from the prior, as PNG.", GENERATE, "default: RUN-generated.png, or folder with --single"
    )
    added.add_argument("--count", metavar="N", type=_whole(1, MOST_DIGITS), default=10, help="default: 10")
    added.add_argument("--seed", metavar="S", type=_whole(0, 2**31 - 1), default=0, help="default: 0")
    added.add_argument("--single", action="store_true", help="one file a digit, in a folder")

    _choice(
        add(reconstruct, "Originals over their reconstructions, as PNG.", RECONSTRUCT, "default: RUN-reconstructed.png")
    )

    added = add(encode, "z_mean and z_log_var of each image, as CSV.", ENCODE, "default: standard output")
    _choice(added).add_argument("--all-test", action="store_true", help="all test images")
    return parser


def _described(make: Callable, *arguments: str, **options: str) -> argparse.ArgumentParser:
    return make(*arguments, **options, formatter_class=argparse.RawDescriptionHelpFormatter)


def _choice(parser: argparse.ArgumentParser) -> argparse._MutuallyExclusiveGroup:
    """The images that a command is about: exactly one way of naming them."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--image",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="image files of any size, made grey, inverted where the background is light, and fitted into 28x28",
    )
    group.add_argument("--test", metavar="I", nargs="+", type=_whole(0, 2**31 - 1), help="test images, counted from 0")
    return group


def _whole(minimum: int, maximum: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if not value.isdecimal() or not minimum <= int(value) <= maximum:
            raise argparse.ArgumentTypeError(f"expected a whole number from {minimum} to {maximum}; received {value!r}")
        return int(value)

    return parse
