import numpy as np

from digit_vae.training.division import learnt_and_validated


def test_a_run_learns_from_what_is_not_held_out_and_is_validated_on_what_is():
    images, test_images = np.arange(6) * 10, np.array([1, 2])
    learnt, validated = learnt_and_validated(images, np.array([1, 4]), test_images)
    assert (learnt.tolist(), validated.tolist()) == ([0, 2, 3, 5], [10, 40])
    learnt, validated = learnt_and_validated(images, np.empty(0, np.int64), test_images)
    assert learnt.tolist() == [0, 1, 2, 3, 4, 5]
    assert validated is test_images
