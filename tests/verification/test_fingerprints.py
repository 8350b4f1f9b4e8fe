"""Pairs of fingerprints, and what is asked of the bytes there."""

import pytest
from fingerprints import LISTED, OTHER, WIDE
from synthetic import timings

from digit_vae.verification.fingerprints import Bytes, repeats

MACHINE = timings("baseline-fold0-0")["machine"]


@pytest.mark.parametrize("key", ["cpu", "gpu", "device", "precision"])
def test_without_avx512_only_the_number_of_cores_leaves_the_bits_alone(key):
    assert repeats(MACHINE, MACHINE | {"cores": 64}) is Bytes.DEMANDED
    assert repeats(MACHINE, MACHINE | {key: "other"}) is Bytes.OPEN
    without = {name: value for name, value in MACHINE.items() if name != key}
    assert repeats(MACHINE, without) is Bytes.OPEN


def test_of_one_class_of_processors_bytes_are_demanded_where_they_were_seen_on_both():
    assert repeats(WIDE, OTHER, LISTED) is repeats(OTHER, WIDE, LISTED) is Bytes.DEMANDED
    for seen in ([], LISTED[:1], LISTED[1:], [LISTED[0], LISTED[1] | {"tensorflow": "2.20.0"}]):
        assert repeats(WIDE, OTHER, seen) is repeats(OTHER, WIDE, seen) is Bytes.EXPECTED
    assert repeats(WIDE, OTHER | {"python": "3.13.0"}, LISTED) is Bytes.DEMANDED
    namesake = OTHER | {"instruction_sets": ["avx512f"]}
    assert repeats(WIDE, namesake, LISTED) is Bytes.EXPECTED
    evaluated = [machine | {"scipy": "1.16"} for machine in LISTED]
    assert repeats(*evaluated, LISTED) is Bytes.DEMANDED
    assert repeats(evaluated[0], evaluated[1] | {"scipy": "1.15"}, LISTED) is Bytes.OPEN


def test_onednn_is_the_same_whether_switched_on_or_on_by_itself():
    on, off = ({"switches": {"TF_ENABLE_ONEDNN_OPTS": value}} for value in "10")
    assert repeats(WIDE, OTHER | on, LISTED) is repeats(OTHER | on, WIDE, LISTED) is Bytes.DEMANDED
    assert repeats(WIDE, OTHER | off, LISTED) is repeats(OTHER | off, WIDE, LISTED) is Bytes.OPEN
    assert repeats(MACHINE, MACHINE | on) is Bytes.OPEN


@pytest.mark.parametrize(
    "change",
    [
        {"device": "gpu"},
        {"precision": "mixed_bfloat16"},
        {"instruction_sets": ["avx2"]},
        {"tensorflow": "2.20.0"},
        {"switches": {"ONEDNN_MAX_CPU_ISA": "AVX2"}},
        {"threads": 2},
    ],
)
def test_what_still_decides_bits_leaves_them_open_also_where_both_have_it(change):
    assert repeats(WIDE, OTHER | change, LISTED) is repeats(OTHER | change, WIDE, LISTED) is Bytes.OPEN
    both = repeats(WIDE | change, OTHER | change, LISTED)
    assert (both is Bytes.OPEN) == (change.keys() <= {"device", "precision", "instruction_sets"})


def test_the_same_fingerprint_demands_bytes_on_any_device_and_processor():
    for machine in (WIDE, WIDE | {"device": "gpu"}, WIDE | {"instruction_sets": []}):
        assert repeats(machine, machine | {"cores": 1}) is Bytes.DEMANDED
