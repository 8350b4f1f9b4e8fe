"""What a sound set is, and every way to be none."""

import numpy as np
import pytest

from digit_vae.base.errors import UserError
from digit_vae.data.arrays import Arrays
from digit_vae.data.datasets import KNOWN, Description
from digit_vae.data.prepare import check_apart, check_images, in_both, label_counts, strata

MNIST = KNOWN["mnist"]
OWN = Description("folder", "image", "images", ("a", "b", "c"), MNIST.files)
NONE = np.empty(0, np.uint8)


def a_set() -> tuple[np.ndarray, np.ndarray]:
    images = np.random.default_rng(0).integers(0, 256, (20, 28, 28, 1), dtype=np.uint8)
    return images, np.arange(20, dtype=np.uint8) % 10


def test_a_sound_set_passes():
    check_images(*a_set(), "training set", MNIST)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda images, labels: (images[..., 0], labels), r"images shaped \(N, 28, 28, 1\); received \(20, 28, 28\)"),
        (
            lambda images, labels: (images, labels[:-1]),
            r"one label for each image; received \(19,\) for \(20, 28, 28, 1\)",
        ),
        (lambda images, labels: (images, labels[:, None]), "one label for each image"),
        (lambda images, labels: (images / np.float32(255), labels), r"type uint8; received \('float32', 'uint8'\)"),
        (lambda images, labels: (images, labels.astype(np.int64)), r"type uint8; received \('uint8', 'int64'\)"),
        (lambda images, labels: (images, labels + np.uint8(1)), r"received \[1, .*, 10\]"),
        (lambda images, labels: (images, labels % 9), r"received \[0, 1, 2, 3, 4, 5, 6, 7, 8\]"),
        (lambda images, labels: (images[:0], labels[:0]), r"every label from 0 to 9 and no other; received \[\]"),
        (lambda images, labels: (images // 255, labels), r"pixels from 0 to 255; received \(0, 1\)"),
        (lambda images, labels: (images | 1, labels), r"pixels from 0 to 255; received \(1, 255\)"),
        (lambda images, labels: (images * (labels != 4)[:, None, None, None], labels), r"2 blank ones.* at \[4\]"),
    ],
)
def test_an_unsound_set_is_refused_by_name(change, reason):
    with pytest.raises(UserError, match=f"^training set: expected .*{reason}"):
        check_images(*change(*a_set()), "training set", MNIST)


def test_a_test_image_among_the_training_images_is_refused():
    images, _ = a_set()
    check_apart(images[:15], images[15:])
    with pytest.raises(UserError, match=r"received 5 that are training images, the first at \[2\]"):
        check_apart(images[12:], images[10:17])


def test_own_images_may_be_blank_and_lack_classes_but_not_labels():
    images, labels = np.zeros((4, 28, 28, 1), np.uint8), np.array([0, 2, 2, 0], np.uint8)
    check_images(images, labels, "set", OWN)
    check_images(images, NONE, "set", Description("folder", "image", "images", (), MNIST.files))
    with pytest.raises(UserError, match="one label for each image"):
        check_images(images, labels[:3], "set", OWN)


def test_images_of_both_sets_are_found():
    images, _ = a_set()
    assert in_both(images[12:], images[10:17]) == [2, 3, 4, 5, 6]
    assert in_both(images[:10], images[10:]) == []


def test_without_labels_all_images_are_of_one_stratum():
    images, labels = a_set()
    np.testing.assert_array_equal(strata(Arrays(images, labels, images, labels)), labels)
    np.testing.assert_array_equal(strata(Arrays(images, NONE, images, NONE)), np.zeros(20))


def test_labels_are_counted():
    counts = label_counts(np.array([3, 1, 3], np.uint8), 3, 10)
    assert counts == {"images": 3, "labels": {str(digit): {1: 1, 3: 2}.get(digit, 0) for digit in range(10)}}
    assert label_counts(NONE, 7, 0) == {"images": 7, "labels": {}}
