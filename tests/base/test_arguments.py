"""Numbers on a command line: what is one, and what is told of the others."""

import argparse

import pytest

from digit_vae.base.arguments import number, whole


@pytest.mark.parametrize("value", ["0", "-1", "32", "1.0", "", " 5", "x", "\u0665", "9" * 5000])
def test_what_is_no_whole_number_in_the_range_is_told(value):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1 to 31; received '"):
        whole(1, 31)(value)


def test_both_ends_belong_to_the_range():
    assert [whole(1, 31)(value) for value in ("1", "31")] == [1, 31]
    assert [number(1, 3600)(value) for value in ("1", "2.5", "3600")] == [1, 2.5, 3600]


@pytest.mark.parametrize("value", ["0", "-1", "0.99", "3601", "nan", "inf", "1e999", "", "x"])
def test_what_is_no_number_in_the_range_is_told(value):
    with pytest.raises(argparse.ArgumentTypeError, match="expected a number from 1 to 3600; received '"):
        number(1, 3600)(value)
