"""What a training leaves behind after each epoch, so that another process can continue it to the last bit.

A checkpoint is the SHA-256 of all that follows, then an .npz: what history.json and timings.json say so far, and every
variable of the model, its optimizer and its random generators.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from digit_vae.base.files import json_bytes, npz_bytes

DIGEST_BYTES = 32
DESCRIPTION = "description"


class Checkpoint(NamedTuple):
    """A training after its last finished epoch; before the first, it has no variables."""

    history: dict[str, Any]
    timings: dict[str, Any]
    variables: Sequence[np.ndarray] = ()

    @property
    def epochs(self) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """What history and timings say of each finished epoch."""
        return list(zip(self.history["epochs"], self.timings["epochs"], strict=True))

    @property
    def origin(self) -> dict[str, Any]:
        """What has to be the same for a training to go on from here, and to end in the same bytes.

        inputs_sha256 stands for params, data and code. The number of cores may change: a run uses one.
        """
        machine = {name: value for name, value in self.timings["machine"].items() if name != "cores"}
        return {"run": self.history["run"], "inputs": self.timings["inputs_sha256"], "machine": machine}

    def after(
        self, epochs: Sequence[tuple[dict[str, Any], dict[str, Any]]], variables: Sequence[np.ndarray] = ()
    ) -> "Checkpoint":
        losses, seconds = map(list, zip(*epochs, strict=True))
        return Checkpoint(self.history | {"epochs": losses}, self.timings | {"epochs": seconds}, variables)


def pack(checkpoint: Checkpoint) -> bytes:
    """The checkpoint as bytes; the same checkpoint gives the same bytes."""
    description = json_bytes({"history": checkpoint.history, "timings": checkpoint.timings})
    variables = {str(number): variable for number, variable in enumerate(checkpoint.variables)}
    content = npz_bytes({DESCRIPTION: np.frombuffer(description, np.uint8)} | variables)
    return hashlib.sha256(content).digest() + content


def unpack(packed: bytes) -> Checkpoint | None:
    """The checkpoint as it was packed; None when a single bit of it is another."""
    digest, content = packed[:DIGEST_BYTES], packed[DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != digest:
        return None
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        description = json.loads(arrays[DESCRIPTION].tobytes())
        variables = [arrays[name] for name in arrays.files if name != DESCRIPTION]
    return Checkpoint(description["history"], description["timings"], variables)
