"""Shared by the commands that use a trained run: the run's name and images on the command line, and its model."""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from digit_vae.base.arguments import parser_of, whole
from digit_vae.base.errors import UserError
from digit_vae.base.files import write_output
from digit_vae.data.arrays import read_listed
from digit_vae.data.datasets import described
from digit_vae.data.own import shown
from digit_vae.serving.pictures import Picture, read_digit
from digit_vae.serving.trained import TrainedRun
from digit_vae.serving.typical import Compared, compared, reconstruction_losses, typical_losses

if TYPE_CHECKING:  # at run time TensorFlow waits until a model is needed: help and mistakes answer at once
    from digit_vae.model.vae import VAE

Images = npt.NDArray[np.uint8]
LARGEST_SEED = 2**31 - 1


def model_parser(command: str, *, does: str, examples: str, output: str) -> argparse.ArgumentParser:
    """A parser with what each of them takes: a run, and where to write. All end quietly in `digit-vae ... | head`."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    parser = parser_of(command, does, examples=examples)
    parser.add_argument("run", metavar="RUN", help="a trained run, such as baseline-full-0")
    parser.add_argument("--output", metavar="PATH", type=Path, help=output)
    return parser


def add_images(parser: argparse.ArgumentParser) -> "argparse._MutuallyExclusiveGroup":
    """The images that a command is about: exactly one way of naming them."""
    group = parser.add_mutually_exclusive_group(required=True)
    group.add_argument(
        "--image",
        metavar="FILE",
        nargs="+",
        type=Path,
        help="pictures, each of one digit (with data other than MNIST: of 28x28 pixels, taken as they are)",
    )
    parser.add_argument("--as-is", action="store_true", help="the pictures are 28x28 and prepared already")
    group.add_argument("--test", metavar="I", nargs="+", type=whole(0, LARGEST_SEED), help="test images, from 0 on")
    return group


def chosen_test_images(indices: Sequence[int] | None) -> tuple[Sequence[int], Images]:
    """The test images with these indices (None: all of them) as (N, 28, 28, 1) uint8, and their indices."""
    images, _ = read_listed("test_images.npy")
    chosen = range(len(images)) if indices is None else indices
    if max(chosen) >= len(images):
        raise UserError(f"--test: expected indices from 0 to {len(images) - 1}; received {max(chosen)}")
    return chosen, images[list(chosen)]


def chosen_images(parsed: argparse.Namespace) -> tuple[Sequence[object], Images]:
    """The images that the command line names, as (N, 28, 28, 1) uint8, with a name for each: its file or its index.

    What was done to a picture is said on standard error.
    """
    if not parsed.image:
        return chosen_test_images(parsed.test)
    pictures = read_pictures(parsed)
    return [shown(path) for path in parsed.image], np.stack([picture.image for picture in pictures])


def read_pictures(parsed: argparse.Namespace) -> list[Picture]:
    """The pictures that the command line names. What was done to each is said on standard error."""
    as_is = parsed.as_is or described().dataset != "mnist"  # pictures are prepared as MNIST's digits were
    pictures = [read_digit(path, as_is=as_is) for path in parsed.image]
    for path, picture in zip(parsed.image, pictures, strict=True):
        print(f"{shown(path)}: {', '.join(picture.done)}", file=sys.stderr)
    return pictures


def trained_vae(run: TrainedRun) -> "VAE":
    """The run's model on the CPU."""
    from digit_vae.evaluation.elbo import load_vae
    from digit_vae.model.device import select_device

    select_device("cpu")
    return load_vae(run.params, run.encoder, run.decoder, made_by=run.made_by)


def compared_pictures(paths: Sequence[Path], run: TrainedRun, vae: "VAE", images: Images) -> list[Compared]:
    """The loss of each picture beside those of the test images, which is also said on standard error."""
    found = compared(reconstruction_losses(vae, images), typical_losses(run, vae), described().noun)
    for path, each in zip(paths, found, strict=True):
        print(f"{shown(path)}: {' '.join(each.note.splitlines())}", file=sys.stderr)
    return found


def write(path: Path, content: bytes) -> None:
    """Of a pipe or a device nothing is said: it may be standard output."""
    write_output(path, content)
    if path.is_file():
        print(f"wrote {path}")


def write_png(path: Path, content: bytes) -> None:
    """Raises: UserError when the file's name says that it is something else than a PNG."""
    if path.suffix.lower() not in ("", ".png"):
        raise UserError(f"--output: expected a file name that ends in .png; received {path.name!r}")
    write(path, content)
