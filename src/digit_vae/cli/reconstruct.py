"""`digit-vae reconstruct`: originals over their reconstructions, on one sheet."""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.cli.models import add_images, chosen_images, model_parser, trained_vae, write
from digit_vae.serving.pictures import over, sheet
from digit_vae.serving.trained import find_trained

EXAMPLES = """\
  digit-vae reconstruct baseline-full-0 --test 0 1 2 3 --output pairs.png
  digit-vae reconstruct baseline-full-0 --image seven.jpg"""
DOES = "Originals over their reconstructions, as PNG."


def main(arguments: Sequence[str] | None = None) -> None:
    parser = model_parser("reconstruct", does=DOES, examples=EXAMPLES, output="default: RUN-reconstructed.png")
    add_images(parser)
    parsed = parser.parse_args(arguments)
    run = find_trained(parsed.run)
    _, images = chosen_images(parsed)
    vae = trained_vae(run)
    from digit_vae.evaluation.elbo import reconstruct

    pairs = over(images[..., 0], reconstruct(vae, images))
    write(parsed.output or Path(f"{run.name}-reconstructed.png"), sheet(pairs))
