from datetime import date, datetime
from typing import Any

import polars as pl
import pytest

from lstm_tune.data.times import parse_times
from lstm_tune.spec.errors import InputError


def parse(*values: Any) -> list[Any]:
    return parse_times(pl.Series("ds", values), where="a.csv").to_list()


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
