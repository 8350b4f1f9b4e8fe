"""The folds of labels with MNIST's imbalance, and the checks on folds that were spoilt by hand."""

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.data.splits import check_folds, draw_splits, held_out, stratified_folds

COUNTS = [59, 67, 60, 61, 58, 54, 59, 63, 58, 61]  # a hundredth of MNIST's training images of each digit
LABELS = np.random.default_rng(0).permutation(np.repeat(np.arange(10, dtype=np.uint8), COUNTS))


@pytest.mark.parametrize("folds", [2, 5, 7])
def test_each_image_is_in_one_fold_and_each_class_is_spread_evenly(folds):
    made = stratified_folds(LABELS, folds=folds, seed=0)
    assert len(made) == folds
    assert sorted(np.concatenate(made).tolist()) == list(range(600))
    for fold in made:
        assert fold.dtype == np.int64
        assert (np.diff(fold) > 0).all()
        for label, count in enumerate(COUNTS):
            assert (LABELS[fold] == label).sum() in (count // folds, -(-count // folds))
    check_folds(made, LABELS)


def test_the_seed_decides_the_folds_and_they_are_shuffled():
    first, again, other = (stratified_folds(LABELS, folds=5, seed=seed) for seed in (1, 1, 2))
    for fold, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(fold, same)
        assert not np.array_equal(fold, different)
        assert np.ptp(fold) > 300  # an unshuffled fold would be a block of about 120 neighbours


def test_a_class_with_fewer_images_than_folds_is_refused():
    labels = np.repeat(np.arange(10, dtype=np.uint8), [20] * 8 + [3, 20])
    with pytest.raises(UserError, match=r"preprocess\.folds: .*\(class 8 has 3\); received 5"):
        stratified_folds(labels, folds=5, seed=0)


def spoilt(change):
    folds = stratified_folds(LABELS, folds=3, seed=0)
    change(folds)
    return folds


def swap_classes(folds):
    """The images of class 2 in fold 0 change places with as many of class 7 in fold 1."""
    ours, theirs = np.flatnonzero(LABELS[folds[0]] == 2)[:10], np.flatnonzero(LABELS[folds[1]] == 7)[:10]
    folds[0][ours], folds[1][theirs] = folds[1][theirs], folds[0][ours]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda folds: folds[1].__setitem__(-1, 600),
            "fold 1: .* below 600; received 600",
        ),
        (lambda folds: folds[2].__setitem__(0, -1), "fold 2: .*; received -1"),
        (lambda folds: folds.append(folds[0][:1]), "in exactly one; received image .* in 2"),
        (lambda folds: folds.__setitem__(1, folds[1][1:]), "in exactly one; received image .* in 0"),
        (lambda folds: folds.pop(), "in exactly one; received image .* in 0"),
        (swap_classes, r"equally many images of class [27] .*received \["),
    ],
    ids=["beyond the end", "negative", "twice", "an image is missing", "a fold is missing", "unequal classes"],
)
def test_spoilt_folds_are_refused(change, reason):
    with pytest.raises(UserError, match=reason):
        check_folds(spoilt(change), LABELS)


@pytest.mark.parametrize(("images", "folds"), [(4, 2), (5, 3), (5, 2), (3, 2)])
def test_too_few_images_for_the_folds_are_refused(images, folds):
    expected = rf"2 training images in each fold and 3 outside of it; received {folds} folds of {images} images"
    with pytest.raises(UserError, match=expected):
        draw_splits(np.zeros(images, np.uint8), [("full", 0), ("fold0", 0)], folds=folds)
    assert draw_splits(np.zeros(images, np.uint8), [("full", 0)], folds=folds)["full-0"].size == 0


@pytest.mark.parametrize(("images", "folds"), [(6, 2), (6, 3), (10, 5)])
def test_the_fewest_images_have_folds_that_can_be_measured(images, folds):
    drawn = draw_splits(np.arange(images) % 2, [(f"fold{fold}", 0) for fold in range(folds)], folds=folds)
    assert min(map(len, drawn.values())) >= 2
    assert images - max(map(len, drawn.values())) >= 3


def test_a_fold_holds_out_what_scikit_learn_draws_for_it():
    from sklearn.model_selection import StratifiedKFold

    for seed in (0, 3):
        parts = StratifiedKFold(4, shuffle=True, random_state=seed).split(np.zeros(len(LABELS)), LABELS)
        for fold, (_, validated) in enumerate(parts):
            indices = held_out(LABELS, f"fold{fold}", folds=4, seed=seed)
            assert indices.dtype == np.int64
            np.testing.assert_array_equal(indices, np.sort(validated))


def test_full_holds_nothing_out():
    indices = held_out(LABELS, "full", folds=4, seed=0)
    assert (indices.shape, indices.dtype) == ((0,), np.int64)


def test_splits_are_drawn_by_their_names():
    drawn = draw_splits(LABELS, [("full", 7), ("fold1", 0), ("fold1", 2)], folds=3)
    assert list(drawn) == ["full-7", "fold1-0", "fold1-2"]
    np.testing.assert_array_equal(drawn["fold1-2"], held_out(LABELS, "fold1", folds=3, seed=2))
