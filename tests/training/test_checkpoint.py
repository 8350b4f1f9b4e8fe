"""A checkpoint is what it was, to the last bit, or nothing."""

import math

import numpy as np
import pytest
from synthetic import history, timings

from digit_vae.training.checkpoint import Checkpoint, pack, unpack

# Floats that need all their 17 digits, the smallest and the largest, and an integer beyond float64's.
VARIABLES = [
    np.array([[0.1, 1 / 3], [5e-324, 1.7976931348623157e308]]),
    np.nextafter(np.float32(1), np.float32(2)),
    np.array([2**63 - 1, -1], np.int64),
    *(np.array(number) for number in range(12)),  # "10" sorts before "2": the order is not that of the names
]


@pytest.fixture
def checkpoint():
    losses = history("baseline-full-0")
    losses["epochs"][0]["loss"] = math.pi
    return Checkpoint(losses, timings("baseline-full-0"), VARIABLES)


def test_what_was_packed_is_unpacked(checkpoint):
    found = unpack(pack(checkpoint))
    assert (found.history, found.timings) == (checkpoint.history, checkpoint.timings)
    assert len(found.variables) == len(VARIABLES)
    for value, expected in zip(found.variables, VARIABLES, strict=True):
        assert (value.dtype, value.shape, value.tobytes()) == (expected.dtype, expected.shape, expected.tobytes())


def test_the_same_state_gives_the_same_bytes(checkpoint):
    assert pack(checkpoint) == pack(unpack(pack(checkpoint)))


def test_every_damage_is_seen(checkpoint):
    packed = pack(checkpoint)
    every_byte = [(place, 1 << place % 8) for place in range(len(packed))]
    every_bit = [(place, 1 << bit) for place in (0, len(packed) // 2, len(packed) - 1) for bit in range(8)]
    for place, bit in every_byte + every_bit:
        flipped = bytearray(packed)
        flipped[place] ^= bit
        assert unpack(bytes(flipped)) is None, (place, bit)
    lengths = [*range(0, len(packed), 7), len(packed) // 2, len(packed) - 1]
    assert [unpack(packed[:length]) for length in lengths] == [None] * len(lengths)
    assert unpack(packed + b"\0") is None


def test_epochs_are_added_to_both_files(checkpoint):
    epochs = [({"epoch": 1, "loss": 2.5}, {"epoch": 1, "train_seconds": 3.5})]
    after = checkpoint.after(epochs, VARIABLES[:1])
    assert after.epochs == epochs
    assert after.history == checkpoint.history | {"epochs": [epochs[0][0]]}
    assert after.timings == checkpoint.timings | {"epochs": [epochs[0][1]]}
    assert len(after.variables) == 1


def test_the_origin_is_params_data_code_and_machine_and_nothing_else(checkpoint):
    def changed(**timings):
        return checkpoint._replace(timings=checkpoint.timings | timings).origin

    machine = checkpoint.timings["machine"]
    assert changed(started_at=0.0, git_commit=None, epochs=[]) == checkpoint.origin
    assert changed(machine=machine | {"cores": 64}) == checkpoint.origin
    assert changed(machine=machine | {"cpu": "Another CPU"}) != checkpoint.origin
    assert changed(inputs_sha256="0" * 64) != checkpoint.origin
    assert checkpoint._replace(history=history("baseline-full-1")).origin != checkpoint.origin
