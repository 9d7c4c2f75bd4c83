from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from lstm_tune.data.grid import future_times
from lstm_tune.data.panel import Frequency


def days(first: date, last: date, every: str) -> pl.Series:
    return pl.date_range(first, last, every, eager=True)


@pytest.mark.parametrize(
    ("last", "step", "expected"),
    [
        (date(2024, 1, 31), Frequency("1mo", month_end=True), [date(2024, 2, 29), date(2024, 3, 31)]),
        (date(2024, 1, 30), Frequency("1mo"), [date(2024, 2, 29), date(2024, 3, 30)]),
        (date(2024, 10, 1), Frequency("1q"), [date(2025, 1, 1), date(2025, 4, 1)]),
        (date(2024, 2, 29), Frequency("1y"), [date(2025, 2, 28), date(2026, 2, 28)]),
        (date(2024, 3, 1), Frequency("1b"), [date(2024, 3, 4), date(2024, 3, 5)]),
        (datetime(2024, 3, 1, 16), Frequency("1b"), [datetime(2024, 3, 4, 16), datetime(2024, 3, 5, 16)]),
        (datetime(2024, 3, 1), Frequency("30m"), [datetime(2024, 3, 1, 0, 30), datetime(2024, 3, 1, 1)]),
        (1999, Frequency("1i"), [2000, 2001]),
        (1990, Frequency("5i"), [1995, 2000]),
    ],
)
def test_future_times_continue_the_grid(last: Any, step: Frequency, expected: list[Any]) -> None:
    assert future_times(pl.Series([last]), step, 2).to_list() == expected


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_future_times_keep_the_type_of_the_history(unit: str) -> None:
    history = pl.Series([datetime(2024, 3, 1)]).cast(pl.Datetime(unit))
    for every in ("30m", "1d", "1b", "1mo"):
        assert future_times(history, Frequency(every), 2).dtype == history.dtype


def test_future_times_of_rows_use_the_median_step_or_business_days() -> None:
    rows = Frequency("rows")
    irregular = pl.Series([date(2024, 1, 1), date(2024, 1, 4), date(2024, 1, 7), date(2024, 1, 12)])
    assert future_times(irregular, rows, 1).to_list() == [date(2024, 1, 15)]
    weekdays = days(date(2024, 1, 1), date(2024, 1, 12), "1d").filter(pl.Series([True] * 5 + [False] * 2 + [True] * 5))
    assert future_times(weekdays, rows, 1).to_list() == [date(2024, 1, 15)]
    assert future_times(pl.Series([0, 1, 2]), rows, 2).to_list() == [3, 4]
    assert future_times(weekdays, rows, 0).to_list() == []
