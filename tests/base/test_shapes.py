"""What JSON has to be as far as it is read, and in which words it is told what is otherwise."""

from types import NoneType

import pytest

from digit_vae.base.shapes import NUMBER, NUMBERS, Every, misfits

SHAPE = {
    "name": (str, NoneType),
    "epochs": [{"loss": NUMBER, "health?": {"dead": int}}],
    "metrics": NUMBERS,
    "variants": Every({"folds": int}),
    "any": object,
}
FITTING = {
    "name": None,
    "epochs": [{"loss": 1}, {"loss": 1.5, "health": {"dead": 2, "more": "x"}}],
    "metrics": {"elbo": -1.5, "deep": {"z0": {"mean": 1}}},
    "variants": {"a": {"folds": 5}},
    "any": [],
    "more": 3,
}


def test_what_has_the_shape_fits_whatever_else_there_is():
    assert list(misfits(FITTING, SHAPE)) == []
    assert list(misfits(FITTING | {"variants": {}}, SHAPE)) == []


@pytest.mark.parametrize(
    ("change", "place", "received"),
    [
        ({"name": 3}, "name", "3"),
        ({"epochs": {}}, "epochs", "{}"),
        ({"epochs": []}, "epochs", "[]"),
        ({"epochs": [{"loss": 1}, 7]}, "epochs[1]", "7"),
        ({"epochs": [{"loss": "1"}]}, "epochs[0].loss", "'1'"),
        ({"epochs": [{"loss": 1, "health": {"dead": 1.5}}]}, "epochs[0].health.dead", "1.5"),
        ({"metrics": 3}, "metrics", "3"),
        ({"metrics": {"deep": {"z0": None}}}, "metrics.deep.z0", "None"),
        ({"variants": {"a": []}}, "variants.a", "[]"),
        ({"variants": [1]}, "variants", "[1]"),
    ],
)
def test_what_is_otherwise_is_told_with_its_place(change, place, received):
    [said] = misfits(FITTING | change, SHAPE)
    assert said.startswith(f"{place}: expected ")
    assert said.endswith(f"; received {received}")


def test_a_key_that_is_missing_is_told_with_its_place():
    assert list(misfits({}, {"a": str})) == ["it lacks a"]
    assert list(misfits({"a": [{"b": {}}]}, {"a": [{"b": {"c": str}}]})) == ["a[0].b lacks c"]


@pytest.mark.parametrize("value", [None, 3, "x", [FITTING]])
def test_what_is_no_object_at_all_is_told(value):
    [said] = misfits(value, SHAPE)
    assert said.startswith("it: expected an object; received ")
