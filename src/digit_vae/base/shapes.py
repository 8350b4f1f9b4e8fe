"""The shapes of JSON: what a value has to be as far as it is read, and what in it is otherwise.

A shape is one of these:

    str, (str, NoneType)     a type, or several
    {"a": shape, "b?": ...}  an object with these keys, and maybe others; one with a question mark may be missing
    Every(shape)             an object whose values have the shape, whatever its keys
    [shape]                  a list of one value at least, each of which has the shape
    NUMBERS                  an object of numbers, at any depth
"""

import reprlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

Shape = Any


@dataclass(frozen=True)
class Every:
    """An object whose values have the shape."""

    shape: Shape


NUMBER = (int, float)
_NUMBER_OR_NUMBERS = object()
NUMBERS = Every(_NUMBER_OR_NUMBERS)
NAMES = {
    str: "a text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    NoneType: "null",
    list: "a list",
    dict: "an object",
}

# Of the files that training and evaluation write of a run.
MACHINE = {"cpu": str, "cores": int, "gpu": (str, NoneType), "device": str}
TERMS = ("loss", "reconstruction_loss", "kl_loss")
HEALTH = {"dead_units": {"hidden": int}, "collapsed_dimensions": int, "kl_per_dimension": Every(NUMBER)}
EPOCH = dict.fromkeys(("epoch", *TERMS, *(f"val_{name}" for name in TERMS)), NUMBER) | {"health?": HEALTH}
HISTORY = {"params": dict, "data": {"train_images": str, "validation": str}, "epochs": [EPOCH]}
SECONDS = {"train_seconds": NUMBER, "validation_seconds": NUMBER}
# Of reports/certificate.json.
CERTIFIED = {
    "holds": bool,
    "deviations": int,
    "compared": [{"of": str, "how": str, "deviations": list}],
    "made": str,
    "commit": (str, NoneType),
    "machine": dict,
}


def misfits(value: object, shape: Shape, place: str = "") -> Iterator[str]:
    """What in `value` has another shape, in words that name its place; nothing where all of it fits."""
    if shape is _NUMBER_OR_NUMBERS:
        shape = NUMBERS if isinstance(value, dict) else NUMBER
    if isinstance(shape, Every) and isinstance(value, dict):
        shape = dict.fromkeys(value, shape.shape)
    if isinstance(shape, Mapping) and isinstance(value, dict):
        for key, each in shape.items():
            name = key.removesuffix("?")
            if name in value:
                yield from misfits(value[name], each, f"{place}.{name}".removeprefix("."))
            elif name == key:
                yield f"{place or 'it'} lacks {name}"
    elif isinstance(shape, list) and isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from misfits(each, shape[0], f"{place}[{number}]")
    elif not isinstance(shape, type | tuple) or not isinstance(value, shape):
        yield f"{place or 'it'}: expected {_named(shape)}; received {reprlib.repr(value)}"


def _named(shape: Shape) -> str:
    if isinstance(shape, list):
        return "a list that is not empty"
    if not isinstance(shape, type | tuple):
        return "an object"
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return " or ".join(dict.fromkeys(NAMES[each] for each in kinds))
