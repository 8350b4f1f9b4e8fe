"""What JSON has to be as far as it is read, and in which words it is told what is otherwise."""

from types import NoneType

import numpy as np
import pytest

from digit_vae.base.shapes import NUMBER, NUMBERS, All, Every, array_misfits, misfits

SHAPE = {
    "name": (str, NoneType),
    "epochs": [{"loss": NUMBER, "health?": {"dead": int}}],
    "metrics": NUMBERS,
    "variants": Every({"folds": int}),
    "any": object,
    "both": All(NUMBERS, {"mean": NUMBER}),
    "some": Every(NUMBER, least=1),
    "high?": NUMBER,
    "low?high": NUMBER,
}
FITTING = {
    "name": None,
    "epochs": [{"loss": 1}, {"loss": 1.5, "health": {"dead": 2, "more": "x"}}],
    "metrics": {"elbo": -1.5, "deep": {"z0": {"mean": 1}}},
    "variants": {"a": {"folds": 5}},
    "any": [],
    "both": {"mean": 1.5, "more": 2},
    "some": {"z0": 1},
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
        ({"variants": {"a": {"folds": True}}}, "variants.a.folds", "True"),
        ({"metrics": {"elbo": False}}, "metrics.elbo", "False"),
        ({"both": {"mean": 1, "more": "x"}}, "both.more", "'x'"),
        ({"both": {"mean": {"a": 1}}}, "both.mean", "{'a': 1}"),
        ({"some": {}}, "some", "{}"),
    ],
)
def test_what_is_otherwise_is_told_with_its_place(change, place, received):
    [said] = misfits(FITTING | change, SHAPE)
    assert said.startswith(f"{place}: expected ")
    assert said.endswith(f"; received {received}")


def test_a_key_that_is_missing_is_told_with_its_place():
    assert list(misfits({}, {"a": str})) == ["it lacks a"]
    assert list(misfits({"a": [{"b": {}}]}, {"a": [{"b": {"c": str}}]})) == ["a[0].b lacks c"]
    assert list(misfits(FITTING | {"high": 2}, SHAPE)) == ["it lacks low"]
    assert list(misfits(FITTING | {"low": 2}, SHAPE)) == []


@pytest.mark.parametrize("value", [None, 3, "x", [FITTING]])
def test_what_is_no_object_at_all_is_told(value):
    [said] = misfits(value, SHAPE)
    assert said.startswith("it: expected an object; received ")


ARRAYS = {
    "plane": (np.uint8, ("grid", "grid", 28, 28)),
    "edges": (np.floating, (("grid", 1),)),
    "digits": (np.uint8, (range(1, 11), 28, 28)),
    "classes?": (np.uint8, ("grid",)),
    "sure?classes": (np.floating, ("grid",)),
}
FITTING_ARRAYS = {
    "plane": np.zeros((3, 3, 28, 28), np.uint8),
    "edges": np.zeros(4, np.float32),
    "digits": np.zeros((10, 28, 28), np.uint8),
}


def test_arrays_that_have_their_shapes_fit():
    assert list(array_misfits(FITTING_ARRAYS, ARRAYS)) == []
    further = {"classes": np.zeros(3, np.uint8), "sure": np.zeros(3), "more": np.zeros((), str)}
    assert list(array_misfits(FITTING_ARRAYS | further, ARRAYS)) == []


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("plane", np.zeros((3, 2, 28, 28), np.uint8)),
        ("plane", np.zeros((3, 3, 784), np.uint8)),
        ("plane", np.zeros((3, 3, 28, 28), np.int64)),
        ("edges", np.zeros(3)),
        ("edges", np.zeros(4, "U1")),
        ("edges", np.array([0, 1, np.nan, 2])),
        ("edges", np.array([0, 1, 2, np.inf])),
        ("digits", np.zeros((0, 28, 28), np.uint8)),
        ("digits", np.zeros((11, 28, 28), np.uint8)),
    ],
)
def test_an_array_of_another_shape_or_kind_is_told_by_its_name(name, array):
    [said] = array_misfits(FITTING_ARRAYS | {name: array}, ARRAYS)
    assert said.startswith(f"{name}: expected ")


def test_an_empty_plane_fits_nothing():
    assert any(array_misfits(FITTING_ARRAYS | {"plane": np.zeros((0, 0, 28, 28), np.uint8)}, ARRAYS))


def test_an_array_that_is_missing_is_told_unless_nothing_asks_for_it():
    assert list(array_misfits({}, ARRAYS)) == [f"it lacks {name}" for name in ("plane", "edges", "digits")]
    [said] = array_misfits(FITTING_ARRAYS | {"classes": np.zeros(3, np.uint8)}, ARRAYS)
    assert said == "it lacks sure"


def test_a_name_of_the_file_may_have_a_question_mark():
    assert list(misfits({"a?": 1, "b?a": {"c?": 2}}, NUMBERS)) == []
    assert len(list(misfits({"a?": "text"}, NUMBERS))) == 1
