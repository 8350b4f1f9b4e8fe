"""`digit-vae generate`: images decoded from draws of the prior, on one sheet or each in a file of its own."""

from collections.abc import Sequence
from pathlib import Path

from digit_vae.base.arguments import whole
from digit_vae.base.files import write_output
from digit_vae.cli.models import LARGEST_SEED, model_parser, trained_vae, write_png
from digit_vae.data.datasets import described
from digit_vae.serving.pictures import png, sheet
from digit_vae.serving.trained import find_trained

EXAMPLES = """\
  digit-vae generate baseline-full-0                              # ten images on one sheet
  digit-vae generate baseline-full-0 --count 30 --seed 7 --output sheet.png
  digit-vae generate baseline-full-0 --count 5 --single --output images/   # images/0.png to images/4.png"""
OUTPUT = "default: RUN-generated.png, or a folder with --single"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = model_parser("generate", does="Images from the prior, as PNG.", examples=EXAMPLES, output=OUTPUT)
    parser.add_argument("--count", metavar="N", type=whole(1, 10_000), default=10, help="default: 10")
    parser.add_argument("--seed", metavar="S", type=whole(0, LARGEST_SEED), default=0, help="default: 0")
    parser.add_argument("--single", action="store_true", help="one file an image, in a folder")
    parsed = parser.parse_args(arguments)
    vae = trained_vae(find_trained(parsed.run))
    from digit_vae.evaluation.coding import generate

    images = generate(vae, parsed.count, parsed.seed)
    if not parsed.single:
        write_png(parsed.output or Path(f"{parsed.run}-generated.png"), sheet(images))
        return
    folder = parsed.output or Path(f"{parsed.run}-generated")
    width = len(str(len(images) - 1))
    for number, image in enumerate(images):
        write_output(folder / f"{number:0{width}}.png", png(image))
    print(f"wrote {len(images)} {described().nouns} to {folder}")
