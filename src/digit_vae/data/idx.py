"""The IDX format of MNIST's files: http://yann.lecun.com/exdb/mnist/.

Big-endian: two zero bytes, the type (8: unsigned bytes), the number of dimensions, each of them in 32 bits, the values.
"""

import math
import struct
from pathlib import Path

import numpy as np

from digit_vae.base.files import damaged, existing
from digit_vae.data.mnist import SIDE


class IdxError(ValueError):
    """What is wrong with the content of an IDX file."""


def read_images(path: Path) -> np.ndarray:
    """The images of an IDX file: uint8 (N, 28, 28, 1), read-only. Raises: UserError."""
    return _read(path, (SIDE, SIDE))[..., np.newaxis]


def read_labels(path: Path) -> np.ndarray:
    """The labels of an IDX file: uint8 (N,), read-only. Raises: UserError."""
    return _read(path, ())


def decoded(content: bytes, item_shape: tuple[int, ...]) -> np.ndarray:
    """Items of `item_shape` as uint8 (N, *item_shape). Raises: IdxError."""
    dimensions = 1 + len(item_shape)
    header = struct.Struct(f">HBB{dimensions}I")
    if len(content) < header.size:
        raise IdxError(f"expected a header of {header.size} bytes; received {len(content)} bytes")
    zeros, kind, found_dimensions, count, *shape = header.unpack_from(content)
    if (zeros, kind, found_dimensions) != (0, 8, dimensions):
        found = (zeros, kind, found_dimensions)
        raise IdxError(f"expected {(0, 8, dimensions)} at the start; received {found}")
    if tuple(shape) != item_shape:
        raise IdxError(f"expected items shaped {item_shape}; received {tuple(shape)}")
    size = header.size + count * math.prod(item_shape)
    if len(content) != size:
        raise IdxError(f"expected {size} bytes for {count} items; received {len(content)}")
    return np.frombuffer(content, np.uint8, offset=header.size).reshape(count, *item_shape)


def _read(path: Path, item_shape: tuple[int, ...]) -> np.ndarray:
    try:
        return decoded(existing(path, made_by="fetch").read_bytes(), item_shape)
    except IdxError as error:
        raise damaged(path, "fetch", error) from error
