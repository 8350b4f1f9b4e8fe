"""`digit-vae reconstruct`: originals over their reconstructions, on one sheet."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digit_vae.cli.models import (
    add_images,
    chosen_images,
    compared_pictures,
    model_parser,
    read_pictures,
    trained_vae,
    write_png,
)
from digit_vae.serving.pictures import over, picture_sheet, sheet
from digit_vae.serving.trained import TrainedRun, find_trained

EXAMPLES = """\
  digit-vae reconstruct baseline-full-0 --test 0 1 2 3 --output pairs.png
  digit-vae reconstruct baseline-full-0 --image seven.jpg"""
DOES = "Originals over their reconstructions, as PNG."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = model_parser("reconstruct", does=DOES, examples=EXAMPLES, output="default: RUN-reconstructed.png")
    add_images(parser)
    parsed = parser.parse_args(arguments)
    run = find_trained(parsed.run)
    made = of_pictures(run, parsed) if parsed.image else of_test_images(run, parsed)
    write_png(parsed.output or Path(f"{run.name}-reconstructed.png"), made)


def of_test_images(run: TrainedRun, parsed: argparse.Namespace) -> bytes:
    _, images = chosen_images(parsed)
    vae = trained_vae(run)
    from digit_vae.evaluation.coding import reconstruct

    return sheet(over(images[..., 0], reconstruct(vae, images)))


def of_pictures(run: TrainedRun, parsed: argparse.Namespace) -> bytes:
    """A row for each picture, with what the model sees of it and how far its loss is from what test images have."""
    pictures = read_pictures(parsed)
    images, vae = np.stack([picture.image for picture in pictures]), trained_vae(run)
    from digit_vae.evaluation.coding import reconstruct

    found = compared_pictures(parsed.image, run, vae, images)
    return picture_sheet(pictures, reconstruct(vae, images), [each.note for each in found])
