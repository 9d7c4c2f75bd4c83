from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl
import pytest

from lstm_tune.data.panel import Frequency
from lstm_tune.data.times import (
    detect_season,
    future_times,
    grid_positions,
    infer_frequency,
    infer_season,
    is_regular,
    parse_times,
)
from lstm_tune.spec.errors import InputError


def parse(*values: Any) -> list[Any]:
    return parse_times(pl.Series("ds", values), where="a.csv").to_list()


def frequency(times: pl.Series, *starts: int) -> Frequency:
    return infer_frequency(times, np.array([0, *starts, len(times)]))


def days(first: date, last: date, every: str) -> pl.Series:
    return pl.date_range(first, last, every, eager=True)


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (("2012-01-31", "2012-02-01"), [date(2012, 1, 31), date(2012, 2, 1)]),
        (("2012/01/31", "2012/2/1"), [date(2012, 1, 31), date(2012, 2, 1)]),
        (("31.01.2012", "01.02.2012"), [date(2012, 1, 31), date(2012, 2, 1)]),
        (("01/31/2012", "02/01/2012"), [date(2012, 1, 31), date(2012, 2, 1)]),
        (("31 Jan 2012", "1 Feb 2012"), [date(2012, 1, 31), date(2012, 2, 1)]),
        (("1970 Q1", "1970 Q2"), [date(1970, 1, 1), date(1970, 4, 1)]),
        (("1970Q1", "1970-Q4"), [date(1970, 1, 1), date(1970, 10, 1)]),
        (("1949-01", "1949-12"), [date(1949, 1, 1), date(1949, 12, 1)]),
        (("Jan 1949", "Feb 1949"), [date(1949, 1, 1), date(1949, 2, 1)]),
        (("1949 Jan", "1949 Feb"), [date(1949, 1, 1), date(1949, 2, 1)]),
        (("1949M01", "1949M11"), [date(1949, 1, 1), date(1949, 11, 1)]),
        (("2020-W53", "2021-W01"), [date(2020, 12, 28), date(2021, 1, 4)]),
        (("1949", "1950"), [1949, 1950]),
        (("2014-01-01 00:30", "2014-01-01 01:00"), [datetime(2014, 1, 1, 0, 30), datetime(2014, 1, 1, 1)]),
        (("2014-01-01", "2014-01-01T01:00:00"), [datetime(2014, 1, 1), datetime(2014, 1, 1, 1)]),
        ((19490101, 19490201), [date(1949, 1, 1), date(1949, 2, 1)]),
        ((194901, 194912), [date(1949, 1, 1), date(1949, 12, 1)]),
        ((1949, 1950), [1949, 1950]),
        ((1.0, 2.0), [1, 2]),
    ],
)
def test_common_forms_of_times_are_read(texts: tuple[Any, ...], expected: list[Any]) -> None:
    assert parse(*texts) == expected


@pytest.mark.parametrize("text", ["2016-03-27T00:00:00Z", "2016-03-27 01:00:00+01:00", "2016-03-27 02:00+0200"])
def test_offsets_become_utc(text: str) -> None:
    parsed = parse_times(pl.Series("ds", [text]), where="a.csv")
    assert parsed.dtype == pl.Datetime("us", "UTC")
    assert parsed.dt.replace_time_zone(None)[0] == datetime(2016, 3, 27)


def test_categories_are_read_like_text_and_missing_times_stay() -> None:
    column = pl.Series("ds", ["2020-01-02", None, "2020-01-01", "2020-01-02"], dtype=pl.Categorical)
    parsed = parse_times(column, where="a.csv")
    assert parsed.to_list() == [date(2020, 1, 2), None, date(2020, 1, 1), date(2020, 1, 2)]


def test_first_rows_that_are_no_times_are_named() -> None:
    with pytest.raises(InputError, match=r"a.csv: column 'ds' .*found 'x', 'y' in rows 2, 4\. "):
        parse("2020-01-01", "x", "2020-01-02", "y", "2020-01-03")


def test_dates_that_can_be_read_in_two_ways_are_refused() -> None:
    with pytest.raises(InputError, match=r"'01\.02\.2012', which can be read in two ways.*YYYY-MM-DD"):
        parse("01.02.2012", "01.03.2012")


def test_decimal_years_are_refused() -> None:
    with pytest.raises(InputError, match=r"whole numbers, found 1949\.083 in row 2"):
        parse(1949.0, 1949.083)


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


@pytest.mark.parametrize(
    ("every", "season"),
    [
        ("1mo", 12),
        ("1q", 4),
        ("3mo", 4),
        ("1w", 52),
        ("1d", 7),
        ("1b", 5),
        ("1h", 24),
        ("30m", 48),
        ("15m", 96),
        ("5m", 288),
        ("7m", 1),
        ("1s", 1),
        ("1y", 1),
        ("1i", 1),
        ("rows", 1),
    ],
)
def test_season_follows_from_the_step(every: str, season: int) -> None:
    assert infer_season(Frequency(every)) == season


def test_season_is_seen_in_the_values_and_not_in_noise() -> None:
    noise = np.random.default_rng(0).normal(size=240).astype(np.float32)
    wave = np.tile(np.arange(12) % 5, 20).astype(np.float32) + np.arange(240, dtype=np.float32)
    starts = np.array([0, 240])
    assert detect_season(noise, starts) == 1
    assert detect_season(wave + 0.3 * noise, starts) == 12
