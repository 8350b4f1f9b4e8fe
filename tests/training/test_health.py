"""The limits of a model's health, and what they say."""

import pytest

from digit_vae.base.errors import UserError
from digit_vae.config.schema import HealthParams
from digit_vae.training.health import complaints

NEVER = {"warn_dead_share": None, "fail_dead_share": None, "warn_collapsed": None, "fail_collapsed": None}


def limits(**changed):
    return HealthParams(**NEVER | {"epochs": 3} | changed)


def epoch(number=3, hidden=12, collapsed=1):
    dead_units = {"conv_1": 0, "hidden": hidden}
    kl = {"z0": 2.5, "z1": 0.0}
    return {
        "epoch": number,
        "health": {"dead_units": dead_units, "collapsed_dimensions": collapsed, "kl_per_dimension": kl},
    }


def test_a_share_of_dead_units_from_the_limit_on_is_named_with_its_layer():
    [said] = complaints(epoch(hidden=12), limits(warn_dead_share=0.75))
    assert "12 of 16" in said
    assert "hidden" in said
    assert complaints(epoch(hidden=11), limits(warn_dead_share=0.75)) == []


def test_collapsed_dimensions_are_named():
    [said] = complaints(epoch(collapsed=1), limits(warn_collapsed=1))
    assert "1 of 2" in said
    assert complaints(epoch(collapsed=1), limits(warn_collapsed=2)) == []


@pytest.mark.parametrize(("key", "value"), [("fail_dead_share", 0.75), ("fail_collapsed", 1)])
def test_beyond_the_limit_that_fails_it_is_an_error_with_limit_and_value(key, value):
    with pytest.raises(UserError, match=rf"health.{key}.* {value}.* received {value}"):
        complaints(epoch(), limits(**{key: value}))


def test_nothing_is_judged_before_the_epoch_that_the_limits_name():
    strict = limits(warn_dead_share=0.1, fail_dead_share=0.1, warn_collapsed=1, fail_collapsed=1)
    assert complaints(epoch(number=2), strict) == []
    with pytest.raises(UserError):
        complaints(epoch(number=3), strict)


def test_without_limits_nothing_is_said():
    assert complaints(epoch(hidden=16, collapsed=2), limits()) == []
