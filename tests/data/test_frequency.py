from datetime import date, datetime

import numpy as np
import polars as pl
import pytest

from lstm_tune.data.frequency import infer_frequency, parse_frequency
from lstm_tune.data.grid import future_times, grid_positions, is_regular
from lstm_tune.data.panel import Frequency
from lstm_tune.spec.errors import InputError


def frequency(times: pl.Series, *starts: int) -> Frequency:
    return infer_frequency(times, np.array([0, *starts, len(times)]))


def days(first: date, last: date, every: str) -> pl.Series:
    return pl.date_range(first, last, every, eager=True)


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        (days(date(2000, 1, 1), date(2003, 1, 1), "1mo"), Frequency("1mo")),
        (days(date(2000, 1, 1), date(2003, 1, 1), "1mo").dt.month_end(), Frequency("1mo", month_end=True)),
        (days(date(2000, 1, 1), date(2003, 1, 1), "1q"), Frequency("1q")),
        (days(date(2000, 3, 1), date(2003, 3, 1), "1q").dt.month_end(), Frequency("1q", month_end=True)),
        (days(date(2000, 1, 1), date(2009, 1, 1), "1y"), Frequency("1y")),
        (days(date(2000, 1, 1), date(2003, 1, 1), "1w"), Frequency("1w")),
        (days(date(2000, 1, 1), date(2000, 3, 1), "1d"), Frequency("1d")),
        (pl.Series([1, 2, 3, 5]), Frequency("1i")),
        (pl.Series([1960, 1970, 1980]), Frequency("10i")),
        (pl.Series([1, 2, 3, 900, 1807, 5003, 5004, 9000, 20000]), Frequency("rows")),
        (pl.Series([date(2000, 1, 1), date(2000, 1, 9), date(2000, 1, 26), date(2000, 3, 1)]), Frequency("rows")),
        (pl.Series([date(2000, 1, 1)]), Frequency("rows")),
    ],
)
def test_step_of_the_times_is_found(times: pl.Series, expected: Frequency) -> None:
    assert frequency(times) == expected


def test_weekdays_with_a_holiday_are_business_days_without_gaps() -> None:
    every_day = days(date(2024, 1, 1), date(2024, 2, 29), "1d")
    times = every_day.filter((every_day.dt.weekday() <= 5) & (every_day != date(2024, 1, 15)))
    assert frequency(times) == Frequency("1b")
    positions, is_off = grid_positions(times, np.array([0, len(times)]), Frequency("1b"))
    assert positions.tolist() == list(range(len(times)))
    assert not is_off.any()


def test_last_business_days_of_months_are_monthly() -> None:
    times = pl.Series([date(2024, 1, 31), date(2024, 2, 29), date(2024, 3, 29), date(2024, 4, 30), date(2024, 5, 31)])
    assert frequency(times) == Frequency("1mo")


def test_holes_do_not_hide_the_step_of_a_panel() -> None:
    first = days(date(2020, 1, 1), date(2020, 1, 20), "1d")
    second = days(date(2019, 6, 1), date(2019, 6, 20), "1d").gather([0, 1, 2, 3, 7, 8, 9, 10])
    times = pl.concat([first, second])
    assert frequency(times, 20) == Frequency("1d")
    positions, is_off = grid_positions(times, np.array([0, 20, 28]), Frequency("1d"))
    assert positions[20:].tolist() == [0, 1, 2, 3, 7, 8, 9, 10]
    assert not is_off.any()


def test_opening_hours_are_rows_rather_than_a_grid_full_of_holes() -> None:
    opening = [datetime(2024, 1, day, 9 + hour) for day in range(1, 29) for hour in range(4)]
    assert frequency(pl.Series(opening)) == Frequency("rows")


def test_hourly_times_with_a_zone_are_regular_over_the_change_of_clocks() -> None:
    utc = pl.datetime_range(datetime(2024, 3, 30), datetime(2024, 4, 1), "1h", time_zone="UTC", eager=True)
    times = utc.dt.convert_time_zone("Europe/Berlin")
    assert frequency(times) == Frequency("1h")
    assert is_regular(times, np.array([0, len(times)]), Frequency("1h"))
    assert future_times(times.head(26), Frequency("1h"), 2).to_list() == times.slice(26, 2).to_list()


def test_daily_times_with_a_zone_are_regular_over_the_change_of_clocks() -> None:
    times = pl.datetime_range(datetime(2024, 3, 25), datetime(2024, 4, 5), "1d", time_zone="Europe/Berlin", eager=True)
    assert frequency(times) == Frequency("1d")
    assert is_regular(times, np.array([0, len(times)]), Frequency("1d"))
    assert future_times(times.head(3), Frequency("1d"), 5).to_list() == times.slice(3, 5).to_list()


def test_whole_number_steps_need_whole_numbers() -> None:
    with pytest.raises(InputError, match=r"column 'ds' \(time\) must hold whole numbers, as in training, found Date"):
        parse_frequency("1i", pl.Series("ds", [date(2024, 1, 1)]), where="a.csv")
