import csv

import pytest

from digit_vae.analysis.statistics import Difference, Spread
from digit_vae.report import tables


def records(table):
    return list(csv.DictReader(table.csv().decode().splitlines()))


def test_csv_spreads_a_cell_of_several_numbers_over_as_many_columns():
    rows = (("a", Spread(1.5, 0.25), None), ("b", Spread(2.5, 0.5), Difference(1.0, -0.5, 2.5)))
    table = tables.Table(("Run", "KL", "Difference"), rows)
    assert table.csv().decode() == (
        "Run,KL mean,KL std,Difference mean,Difference low,Difference high\na,1.5,0.25,,,\nb,2.5,0.5,1.0,-0.5,2.5\n"
    )


def test_likelihoods_of_two_protocols_are_refused_in_one_column():
    grey, binarised = tables.Nats(-150.0, 0.5, "grey"), tables.Nats(-140.0, None, "binarised")
    assert tables.Table(("Run", "a", "b"), (("x", grey, binarised),)).csv().decode().splitlines()[0] == (
        "Run,a value,a deviation,a protocol,b value,b deviation,b protocol"
    )
    with pytest.raises(ValueError, match=r"column 'ELBO': expected one protocol. Received: \['binarised', 'grey'\]"):
        tables.Table(("Run", "ELBO"), (("x", grey), ("y", binarised)))


def test_likelihoods_and_numbers_without_a_protocol_are_refused_in_one_column():
    with pytest.raises(ValueError, match=r"column 'ELBO': expected one protocol. Received: \['binarised', 'none'\]"):
        tables.Table(("ELBO",), ((-150.0,), (tables.Nats(-140.0, None, "binarised"),)))


@pytest.mark.parametrize(
    ("p", "shown"),
    [(0.0004, "<0.001"), (0.0496, "0.0496"), (0.04996, "0.04996"), (0.0504, "0.050"), (0.05, "0.050"), (0.2, "0.200")],
)
def test_a_p_value_is_never_rounded_over_the_level(p, shown):
    assert tables.probability(p) == shown


def test_markdown_of_likelihoods_intervals_and_p_values():
    cells = (tables.Nats(-150.126, 0.5, "grey"), tables.Nats(-1.0, None, "grey"), tables.Interval(-0.5, 0.25))
    cells += (tables.Probability(0.0004), tables.Probability(0.04567))
    shown = tables.Table(tuple("abcde"), (cells,)).markdown().splitlines()[-1]
    expected = "| −150.13 ± 0.50 | −1.00 | [−0.50, +0.25] | <0.001 | 0.046 |"  # noqa: RUF001 - minus signs
    assert shown == expected


def test_markdown_has_as_many_digits_as_the_table_says():
    assert tables.Table(("a",), ((Spread(0.75, 0.0125),),), digits=3).markdown().splitlines()[-1] == "| 0.750 ± 0.013 |"


def test_csv_keeps_every_digit():
    assert float(records(tables.Table(("x",), ((0.1 + 0.2,),)))[0]["x"]) == 0.1 + 0.2


def test_markdown_rounds_aligns_numbers_right_and_writes_minus_signs():
    table = tables.Table(
        ("Run", "Images", "ELBO", "Spread", "Difference"),
        (("a", 12, -155.126, Spread(-1.0, 0.255), None), ("b", 3, 1.0, Spread(1.0, 2.0), Difference(0.5, -0.126, 1.0))),
    )
    assert table.markdown() == (
        "| Run | Images | ELBO | Spread | Difference |\n"
        "| --- | ---: | ---: | ---: | ---: |\n"
        "| a | 12 | −155.13 | −1.00 ± 0.26 |  |\n"  # noqa: RUF001 - a minus sign
        "| b | 3 | 1.00 | 1.00 ± 2.00 | +0.50 [−0.13, +1.00] |\n"  # noqa: RUF001 - a minus sign
    )


def test_a_bar_in_a_name_does_not_end_a_cell_of_markdown():
    assert tables.Table(("a",), (("x|y",),)).markdown().splitlines()[-1] == "| x\\|y |"
