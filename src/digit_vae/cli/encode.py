"""`digit-vae encode`: a row for each image: what it is, then z_mean and z_log_var of each latent dimension.

Of pictures it says on standard error how far their loss is from what test images have, as `digit-vae reconstruct` does.
"""

import sys
from collections.abc import Sequence

import numpy as np

from digit_vae.base.files import csv_bytes
from digit_vae.cli.models import add_images, chosen_images, compared_pictures, model_parser, trained_vae, write
from digit_vae.serving.trained import find_trained

EXAMPLES = """\
  digit-vae encode baseline-full-0 --image seven.jpg nine.png
  digit-vae encode baseline-full-0 --test 0 1 2
  digit-vae encode baseline-full-0 --all-test --output latent.csv"""
DOES = "z_mean and z_log_var of each image, as CSV."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = model_parser("encode", does=DOES, examples=EXAMPLES, output="default: standard output")
    add_images(parser).add_argument("--all-test", action="store_true", help="all test images")
    parsed = parser.parse_args(arguments)
    run = find_trained(parsed.run)
    names, images = chosen_images(parsed)
    vae = trained_vae(run)
    from digit_vae.evaluation.coding import posterior

    if parsed.image:
        compared_pictures(parsed.image, run, vae, images)
    latent = np.concatenate(posterior(vae, images), axis=1)
    columns = [f"{part}_{each}" for part in ("z_mean", "z_log_var") for each in range(run.params.latent_dim)]
    table = csv_bytes(["image", *columns], ([name, *row] for name, row in zip(names, latent, strict=True)))
    if parsed.output:
        write(parsed.output, table)
    else:
        sys.stdout.write(table.decode())
