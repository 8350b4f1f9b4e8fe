"""Synthetic photographs of digits: how many of them are still recognised after they were prepared.

    digit-vae photographs                        # the table of docs/own_digits.md, from all test images
    digit-vae photographs --images train --count 1000 --seed 1

A digit is enlarged, turned, and put anywhere into a picture with uneven light, noise and transparency. The ranges were
fixed before `digit_vae.serving.preparing` was tuned on training images.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from digit_vae.base.arguments import parser_of, whole
from digit_vae.base.errors import UserError
from digit_vae.base.paths import CLASSIFIER_WEIGHTS
from digit_vae.base.progress import Elapsed
from digit_vae.data.arrays import read_listed
from digit_vae.serving.pictures import prepared_picture

SIDE = (200, 600)  # pixels of a picture along each side
HEIGHT = (0.08, 0.9)  # of the digit, as a share of the picture's
CONTRAST = (0.25, 0.5)  # between ink and paper, as a share of what a pixel can have
GRADIENT = (0.0, 0.7)  # what the light changes by from one end of the picture to the other, as a share of the contrast
NOISE = (0.0, 0.1)  # standard deviation, as a share of the contrast
ANGLE = (-10.0, 10.0)  # degrees
A_LINE = 500  # photographs between two lines of progress

Transparency = Literal["opaque", "ink alone", "paper cut out"]
TRANSPARENCIES: tuple[Transparency, ...] = ("opaque", "opaque", "ink alone", "paper cut out")


class Damage(NamedTuple):
    """What is done to one digit; shares and degrees as above."""

    size: tuple[int, int]
    height: float
    contrast: float
    gradient: float
    noise: float
    angle: float
    dark: bool
    transparency: Transparency


def drawn_damage(generator: np.random.Generator) -> Damage:
    """The damage of one picture, each kind drawn independently and uniformly from its range."""
    height, width = generator.integers(*SIDE, 2, endpoint=True).tolist()
    drawn = (float(generator.uniform(*each)) for each in (HEIGHT, CONTRAST, GRADIENT, NOISE, ANGLE))
    share, contrast, gradient, noise, angle = drawn
    dark, transparency = bool(generator.integers(2)), TRANSPARENCIES[generator.integers(len(TRANSPARENCIES))]
    return Damage((height, width), share, contrast, gradient, noise, angle, dark, transparency)


class Photograph(NamedTuple):
    """A grey picture, or one with grey and alpha. margin: from digit to nearest edge, as a share of the height."""

    picture: Image.Image
    margin: float


def photograph(digit: NDArray[np.uint8], damage: Damage, generator: np.random.Generator) -> Photograph:
    """digit: (28, 28) uint8."""
    ink = _placed(_turned(digit, damage), damage.size, generator)
    margin = _margin(ink)
    angle = generator.uniform(0, 2 * np.pi)
    y, x = np.meshgrid(*(np.linspace(-0.5, 0.5, side) for side in damage.size), indexing="ij")
    slope = (np.cos(angle) * x + np.sin(angle) * y) / (abs(np.cos(angle)) + abs(np.sin(angle)))
    light = damage.gradient * slope + damage.noise * generator.standard_normal(damage.size)
    room = 1 - damage.contrast * (1 + damage.gradient)
    middle = damage.contrast * damage.gradient / 2 + generator.uniform(0, room)
    paper = middle + (damage.contrast if damage.dark else 0)
    shade = -1 if damage.dark else 1
    covered = np.ones_like(ink) if damage.transparency == "ink alone" else ink
    grey = Image.fromarray(_bytes(paper + damage.contrast * (light + shade * covered)))
    if damage.transparency == "opaque":
        return Photograph(grey, margin)
    alpha = ink if damage.transparency == "ink alone" else _corners_cut_off(ink)
    return Photograph(Image.merge("LA", (grey, Image.fromarray(_bytes(alpha)))), margin)


def _turned(digit: NDArray[np.uint8], damage: Damage) -> NDArray[np.float64]:
    """The digit alone, enlarged to its height in the picture (or to the picture's width, where it is too wide)."""
    box = Image.fromarray(digit).getbbox()
    cut = Image.fromarray(digit).crop(box)
    scale = min(damage.height * damage.size[0] / cut.height, damage.size[1] / cut.width)
    large = cut.resize([max(1, round(scale * side)) for side in cut.size], Image.Resampling.BICUBIC)
    turned = large.rotate(damage.angle, Image.Resampling.BICUBIC, expand=True)
    turned.thumbnail(damage.size[::-1], Image.Resampling.BICUBIC)
    return np.asarray(turned, np.float64) / 255


def _placed(ink: NDArray[np.float64], size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.float64]:
    placed = np.zeros(size)
    top, left = (int(generator.integers(of - side, endpoint=True)) for of, side in zip(size, ink.shape, strict=True))
    placed[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return placed


def _margin(ink: NDArray[np.float64]) -> float:
    left, top, right, bottom = Image.fromarray(_bytes(ink)).getbbox() or (0, 0, 0, 0)
    height, width = ink.shape
    return float(min(left, top, width - right, height - bottom) / height)


def _corners_cut_off(ink: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 where paper is left after the picture's corners are cut off; no ink is cut."""
    y, x = np.meshgrid(*(np.linspace(-1, 1, side) for side in ink.shape), indexing="ij")
    distance = np.abs(x) ** 3 + np.abs(y) ** 3
    reach = max(1.0, float(distance[ink > 0].max()) + 0.1)
    return np.asarray(distance <= reach, np.float64)


def _bytes(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.asarray(np.rint(255 * values.clip(0, 1)).astype(np.uint8))


class Row(NamedTuple):
    """One kind of damage: how many photographs have it, and how many of them are recognised."""

    kind: str
    photographs: int
    found: int


def table(damages: Sequence[Damage], margins: Sequence[float], found: Sequence[bool]) -> list[Row]:
    """A row for all photographs, then one for each class of each kind of damage. found: whether each is recognised."""
    kinds: dict[tuple[int, str], list[bool]] = {}
    for damage, margin, right in zip(damages, margins, found, strict=True):
        for place, kind in enumerate(_kinds(damage, margin)):
            kinds.setdefault((place, kind), []).append(right)
    return [Row(kind, len(each), sum(each)) for (_, kind), each in sorted(kinds.items())]


def _kinds(damage: Damage, margin: float) -> tuple[str, ...]:
    return (
        "all",
        f"digit's height {_class(damage.height, (0.08, 0.15, 0.3, 0.6, 0.9))} of the picture's",
        f"margin {_class(margin, (0, 0.01, 0.05, 0.15, 0.5))} of the picture's",
        f"light {_class(damage.gradient, (0, 0.25, 0.5, 0.7))} of the contrast",
        f"noise {_class(damage.noise, (0, 0.03, 0.06, 0.1))} of the contrast",
        f"turned by {_class(abs(damage.angle), (0, 3, 6, 10), 1, '°')}",
        f"{'dark on light' if damage.dark else 'light on dark'}",
        damage.transparency,
    )


def _class(value: float, bounds: Sequence[float], times: int = 100, unit: str = " %") -> str:
    upper = next(bound for bound in bounds[1:] if value <= bound)
    lower = bounds[bounds.index(upper) - 1]
    return f"{times * lower:>2g} to {times * upper:>2g}{unit}"


def prepared_photographs(
    digits: NDArray[np.uint8], generator: np.random.Generator
) -> tuple[list[Damage], list[float], NDArray[np.uint8]]:
    """A photograph of each digit, prepared; black where no digit was found in it.

    digits: (N, 28, 28, 1) uint8. Returns: the damage and the margin of each, and images (N, 28, 28, 1) uint8.
    """
    damages, images = [drawn_damage(generator) for _ in digits], np.zeros_like(digits)
    margins, elapsed = list[float](), Elapsed()
    for number, (digit, damage) in enumerate(zip(digits, damages, strict=True)):
        if number and number % A_LINE == 0:
            elapsed.show(number / len(digits), f"{number:,} of {len(digits):,} photographs prepared")
        picture, margin = photograph(digit[..., 0], damage, generator)
        margins.append(margin)
        try:
            images[number] = prepared_picture(picture).image
        except UserError:
            continue  # counts as not found
    return damages, margins, images


def markdown(rows: Sequence[Row]) -> str:
    lines = [f"| {row.kind} | {row.photographs:,} | {100 * row.found / row.photographs:.1f} % |" for row in rows]
    return "\n".join(["| photographs | how many | recognised |", "| --- | --- | --- |", *lines])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = parser_of("photographs", __doc__)
    parser.add_argument("--images", choices=("test", "train"), default="test", help="whose digits (default: test)")
    parser.add_argument(
        "--count", type=whole(1, 2**31 - 1), default=10_000, help="of the first digits (default: 10000)"
    )
    parser.add_argument("--seed", type=whole(0, 2**31 - 1), default=0, help="of the damage (default: 0)")
    parsed = parser.parse_args(arguments)
    digits, labels = (read_listed(f"{parsed.images}_{kind}.npy")[0][: parsed.count] for kind in ("images", "labels"))
    from digit_vae.evaluation.classifier import judge, load_classifier

    classifier = load_classifier(CLASSIFIER_WEIGHTS, read_listed("train_labels.npy")[0])
    if classifier is None:
        raise UserError("photographs: expected images with labels; received images without")
    damages, margins, images = prepared_photographs(np.asarray(digits), np.random.default_rng(parsed.seed))
    print(markdown(table(damages, margins, (judge(classifier, images).classes == labels).tolist())))
    clean = float((judge(classifier, np.asarray(digits)).classes == labels).mean())
    print(f"\nOf the same digits as they are, the classifier recognises {100 * clean:.1f} %.")
