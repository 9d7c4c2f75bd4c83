import math

import pytest

from lstm_tune.display import formats


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (950, "950"), (999, "999"), (1000, "1k"), (12_345, "12.3k"), (999_960, "1M"), (1_250_000, "1.25M")],
)
def test_count_has_three_digits_and_a_unit(value: int, text: str) -> None:
    assert formats.count(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0031, "0.0031"),
        (0.0000123, "1.2e-05"),
        (0.998, "0.998"),
        (64, "64"),
        (True, "yes"),
        ("last", "last"),
        (None, "-"),
    ],
)
def test_hyperparameter_is_short(value: object, text: str) -> None:
    assert formats.hyperparameter(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0s"), (45, "45s"), (59.7, "1m 00s"), (130, "2m 10s"), (3900, "1h 05m"), (273_600, "3d 4h")],
)
def test_duration_names_its_two_largest_units(seconds: float, text: str) -> None:
    assert formats.duration(seconds) == text


def test_scores_show_four_significant_digits_of_the_best() -> None:
    assert formats.score(0.41234, formats.decimals([0.41234, 2.0])) == "0.4123"
    assert formats.score(12345.6, formats.decimals([12345.6])) == "12346"
    assert formats.score(1.234e-9, formats.decimals([1.234e-9])) == "1.23e-09"


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_missing_numbers_are_a_dash(value: float | None) -> None:
    assert formats.score(value, 4) == "-"
    assert formats.percent(value) == "-"


def test_diverged_score_stays_short() -> None:
    assert formats.score(1.5e15, 4) == "1.50e+15"


def test_gap_is_a_signed_percentage() -> None:
    assert [formats.percent(gap) for gap in (0.123, -0.04, 25.0)] == ["+12%", "-4%", ">999%"]


def test_score_comes_with_its_standard_error_where_it_is_known() -> None:
    assert formats.score_and_error(0.5, 0.02, 3) == "0.500 ± 0.020"
    assert formats.score_and_error(0.5, None, 3) == "0.500"


def test_clock_shows_hours_only_where_there_are_any() -> None:
    assert (formats.clock(42.9), formats.clock(3723)) == ("00:42", "1:02:03")
