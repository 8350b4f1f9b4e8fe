"""The shapes of JSON and of arrays: what they have to be as far as they are read, and what in them is otherwise.

A shape of JSON is one of these. True and false are no numbers.

    str, (str, NoneType)     a type, or several
    {"a": shape, "b?": ...}  an object with these keys, and maybe others; one with a question mark may be missing,
                             "b?a" only where there is no "a"
    Every(shape)             an object whose values have the shape, whatever its keys
    Every(shape, least=1)    the same, of one value at least
    [shape]                  a list of one value at least, each of which has the shape
    All(shape, shape)        what has each of these shapes
    NUMBERS                  an object of numbers, at any depth

The shape of an .npz has by each array's name, as above, its type and its sizes:

    (np.uint8, ("grid", "grid", 28, 28))  a name is any size but 0, the same one wherever it stands in the file
    (np.floating, (("cells", 1),))        one more than that
    (np.uint8, (range(1, 11), 28, 28))    a size in the range
"""

import math
import reprlib
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from types import NoneType
from typing import Any

import numpy as np

Shape = Any
Size = int | str | tuple[str, int] | range
ArrayShape = tuple[type[np.generic], tuple[Size, ...]]


@dataclass(frozen=True)
class Every:
    """An object of `least` values at least, which have the shape."""

    shape: Shape
    least: int = 0


class All:
    """What has each of the shapes."""

    def __init__(self, *shapes: Shape) -> None:
        self.shapes = shapes


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
FINGERPRINT = {"cpu": str, "instruction_sets?": list, "switches?": dict}  # what two machines are compared by
PROCESSOR = {"cpu": str, "cores": int, "gpu": (str, NoneType), "device": str}
MACHINE = PROCESSOR | FINGERPRINT | {"precision?": str}
TERMS = ("loss", "reconstruction_loss", "kl_loss")
DEAD_UNITS = All(Every(int), {"hidden": int})
HEALTH = {"dead_units": DEAD_UNITS, "collapsed_dimensions": int, "kl_per_dimension": Every(NUMBER, least=1)}
EPOCH = {"epoch": int, **dict.fromkeys((*TERMS, *(f"val_{name}" for name in TERMS)), NUMBER), "health?": HEALTH}
WEIGHTS_SHA256 = {"encoder": str, "decoder": str}
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
    if isinstance(shape, All):
        for each in shape.shapes:
            yield from misfits(value, each, place)
        return
    if shape is _NUMBER_OR_NUMBERS:
        shape = NUMBERS if isinstance(value, dict) else NUMBER
    if isinstance(shape, Every) and isinstance(value, dict) and len(value) >= shape.least:
        for name, each in value.items():  # whose names may have question marks
            yield from misfits(each, shape.shape, f"{place}.{name}".removeprefix("."))
    elif isinstance(shape, Mapping) and isinstance(value, dict):
        for key, each in shape.items():
            name, needed = _asked(key, value)
            if name in value:
                yield from misfits(value[name], each, f"{place}.{name}".removeprefix("."))
            elif needed:
                yield f"{place or 'it'} lacks {name}"
    elif isinstance(shape, list) and isinstance(value, list) and value:
        for number, each in enumerate(value):
            yield from misfits(each, shape[0], f"{place}[{number}]")
    elif not isinstance(shape, type | tuple) or not _is_a(value, shape):
        yield f"{place or 'it'}: expected {_named(shape)}; received {reprlib.repr(value)}"


def other_than_numbers(value: object, place: str = "") -> Iterator[str]:
    """What in JSON as Python reads it is no number though it stands for one, NaN or an infinity, with its place."""
    if isinstance(value, float) and not math.isfinite(value):
        yield f"{place or 'it'}: expected a finite number of 64 bits; received {value}"
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        at = f"[{key}]" if isinstance(value, list) else f".{key}"
        yield from other_than_numbers(each, f"{place}{at}".removeprefix("."))


def array_misfits(arrays: Mapping[str, np.ndarray], shapes: Mapping[str, ArrayShape]) -> Iterator[str]:
    """What of the arrays has another shape, or is no finite number; nothing where all of it fits."""
    sizes: dict[str, int] = {}
    for key, (kind, shape) in shapes.items():
        name, needed = _asked(key, arrays)
        if name not in arrays:
            if needed:
                yield f"it lacks {name}"
            continue
        array = arrays[name]
        fits = np.issubdtype(array.dtype, kind) and array.ndim == len(shape)
        if not fits or not all(_fits(size, its, sizes) for size, its in zip(array.shape, shape, strict=True)):
            wanted = ", ".join(_size(each, sizes) for each in shape)
            yield f"{name}: expected {kind.__name__} ({wanted}); received {array.dtype} {array.shape}"
        elif not np.isfinite(array).all():
            yield f"{name}: expected finite numbers; received others among them"


def _asked(key: str, present: Container[str]) -> tuple[str, bool]:
    """The name in the key of a shape, and whether it has to be there beside those that are present."""
    name, mark, beside = key.partition("?")
    return name, not mark or beside in present


def _fits(size: int, wanted: Size, sizes: dict[str, int]) -> bool:
    """sizes: by name, which the first array decides that has it."""
    if isinstance(wanted, range):
        return size in wanted
    if isinstance(wanted, int):
        return size == wanted
    name, more = wanted if isinstance(wanted, tuple) else (wanted, 0)
    return size > more and sizes.setdefault(name, size - more) == size - more


def _size(wanted: Size, sizes: Mapping[str, int]) -> str:
    if isinstance(wanted, range):
        return f"{wanted.start} to {wanted.stop - 1}"
    if isinstance(wanted, int):
        return str(wanted)
    name, more = wanted if isinstance(wanted, tuple) else (wanted, 0)
    return str(sizes[name] + more) if name in sizes else f"{name} + {more}" if more else name


def _is_a(value: object, shape: type | tuple[type, ...]) -> bool:
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds or object in kinds)


def _named(shape: Shape) -> str:
    if isinstance(shape, list):
        return "a list that is not empty"
    if isinstance(shape, Every) and shape.least:
        return f"an object of {shape.least} values or more"
    if not isinstance(shape, type | tuple):
        return "an object"
    kinds = shape if isinstance(shape, tuple) else (shape,)
    return " or ".join(dict.fromkeys(NAMES[each] for each in kinds))
