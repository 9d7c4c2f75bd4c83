import math

from lstm_tune.display.sparkline import sparkline


def test_sparkline_spans_the_lowest_and_the_highest_block() -> None:
    assert sparkline([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8) == "▁▂▃▄▅▆▇█"


def test_sparkline_averages_what_does_not_fit() -> None:
    assert sparkline([0.0, 0.0, 4.0, 10.0], 2) == "▁█"


def test_sparkline_is_not_wider_than_its_values() -> None:
    assert sparkline([2.0, 1.0], 10) == "█▁"


def test_sparkline_leaves_a_blank_where_there_is_no_number() -> None:
    assert sparkline([1.0, math.nan, None, math.inf, 2.0], 5) == "▁   █"


def test_sparkline_of_a_constant_is_a_line() -> None:
    assert sparkline([3.0, 3.0, 3.0], 3) == "▄▄▄"


def test_sparkline_of_nothing_is_empty() -> None:
    assert sparkline([], 8) == ""
    assert sparkline([1.0], 0) == ""
    assert sparkline([None, math.nan], 8) == "  "


def test_sparkline_survives_huge_numbers() -> None:
    assert sparkline([-1.7e308, 1.7e308], 2) == "▁█"
