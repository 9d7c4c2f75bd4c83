"""Times: from a column in any usual form to dates, datetimes or integers."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.spec.errors import InputError

_ROWS_SHOWN = 3


def parse_times(column: pl.Series, *, where: str) -> pl.Series:
    """The times of a column, in a type that can be counted with.

    Text is read when it is unambiguous: ISO dates and datetimes with or without an offset, 2012/01/31, 31 Jan 2012,
    1949-01, Jan 1949, 1970 Q1, 2012-W05, 1949, and day or month first (31.01.2012) when a value above 12 tells which is
    which. Text with offsets becomes UTC; years become integers; months, quarters and weeks become their first day.
    Integers that are all calendar days (20120131) or months (201201) become dates. Missing values stay missing.

    Args:
        column: dates, datetimes, integers, whole decimals or text.
        where: what the message is about, usually the file.

    Returns:
        Date, Datetime or Int64, as long as `column` and in its order.

    Raises:
        InputError: a value is no time, values have different forms, or day and month cannot be told apart; names the
            rows.
    """
    dtype = column.dtype
    if dtype == pl.Date or isinstance(dtype, pl.Datetime):
        return column
    if dtype.is_integer():
        return _from_integers(column.cast(pl.Int64))
    if dtype.is_float():
        return _from_integers(_whole(column, where))
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        return _from_text(column, where)
    problem = f"column '{column.name}' must hold dates, datetimes, integers or text, found {dtype}"
    raise InputError.at(where, f"{problem}. Name another column in data.time")


def shown_rows(numbers: Sequence[int] | NDArray[np.integer], *, count: int | None = None) -> str:
    """Row numbers for a message: `row 3` or `rows 3, 17, 42 and 5 more`.

    Args:
        numbers: the first few row numbers, counted from 1 at the first row of data (a header is not counted).
        count: how many there are in all; None when `numbers` holds all.
    """
    total = len(numbers) if count is None else count
    first = ", ".join(str(int(number)) for number in numbers[:_ROWS_SHOWN])
    more = total - min(len(numbers), _ROWS_SHOWN)
    return f"row{'' if total == 1 else 's'} {first}" + (f" and {more} more" if more > 0 else "")


def _whole(column: pl.Series, where: str) -> pl.Series:
    filled = column.fill_nan(None)
    whole = filled.cast(pl.Int64, strict=False)
    bad = (filled.is_not_null() & ((whole != filled) | whole.is_null())).arg_true()
    if len(bad):
        _raise_bad(column, bad, where, "must hold dates or whole numbers")
    return whole


def _from_integers(column: pl.Series) -> pl.Series:
    """Dates where every value is a calendar day such as 20120131 or a month such as 201201, else the integers."""
    ends = (column.min(), column.max())
    for low, high, suffix in ((18000101, 22001231, ""), (180001, 220012, "01")):
        if isinstance(ends[0], int) and isinstance(ends[1], int) and low <= ends[0] and ends[1] <= high:
            dates = (column.cast(pl.String) + suffix).str.to_date("%Y%m%d", strict=False)
            if dates.null_count() == column.null_count():
                return dates
    return column


def _dates(*formats: str) -> Callable[[pl.Series], pl.Series]:
    def parse(text: pl.Series) -> pl.Series:
        attempts = [text.str.to_date(form, strict=False) for form in formats]
        return pl.select(pl.coalesce(attempts)).to_series()

    return parse


def _datetimes(text: pl.Series) -> pl.Series:
    plain = text.str.replace(r"^(\S+)T", "${1} ").str.replace(r"^(\d{4})/(\d+)/", "${1}-${2}-")
    forms = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")
    attempts = [plain.str.to_datetime(form, time_unit="us", strict=False) for form in forms]
    return pl.select(pl.coalesce(attempts)).to_series()


def _datetimes_with_offset(text: pl.Series) -> pl.Series:
    plain = text.str.replace(r"^(\S+)T", "${1} ").str.replace(r"^(\d{4})/(\d+)/", "${1}-${2}-")
    plain = plain.str.replace(r"\s*[Zz]$", "+00:00").str.replace(r"(:\S*)\s*([+-]\d{2})$", "${1}${2}:00")
    plain = plain.str.replace(r"(:\S*)\s+([+-]\d{2}:?\d{2})$", "${1}${2}")
    forms = ("%Y-%m-%d %H:%M:%S%.f%z", "%Y-%m-%d %H:%M%z")
    attempts = [plain.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in forms]
    return pl.select(pl.coalesce(attempts)).to_series()


def _quarters(text: pl.Series) -> pl.Series:
    year = text.str.extract(r"^(?:(?i)q[1-4][ -]?)?(\d{4})(?:[ -]?(?i)q[1-4])?$")
    month = text.str.extract(r"(?i)q([1-4])").cast(pl.Int64) * 3 - 2
    return (year + "-" + month.cast(pl.String) + "-01").str.to_date("%Y-%m-%d", strict=False)


def _months(text: pl.Series) -> pl.Series:
    first = text.str.replace(r"^(\d{4})\s?(?:[-/M]\s?)?(\d{1,2}|[A-Za-z]+)$", "${1}-${2}-01")
    first = first.str.replace(r"^([A-Za-z]+)[ -](\d{4})$", "${2}-${1}-01")
    return _dates("%Y-%m-%d", "%Y-%b-%d", "%Y-%B-%d")(first.set(~first.str.ends_with("-01"), None))


def _weeks(text: pl.Series) -> pl.Series:
    return text.str.replace(r"^(\d{4})[ -]?W(\d{1,2})$", "${1}-W${2}-1").str.to_date("%G-W%V-%u", strict=False)


def _years(text: pl.Series) -> pl.Series:
    return text.str.extract(r"^(\d{4})$").cast(pl.Int64)


# Order matters: of two forms that read equally many values the earlier one wins.
_FORMS: dict[str, Callable[[pl.Series], pl.Series]] = {
    "date": _dates("%Y-%m-%d", "%Y/%m/%d", "%d %b %Y", "%d-%b-%Y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y"),
    "compact date": lambda text: text.str.extract(r"^(\d{8})$").str.to_date("%Y%m%d", strict=False),
    "datetime": _datetimes,
    "datetime with offset": _datetimes_with_offset,
    "month": _months,
    "quarter": _quarters,
    "week": _weeks,
    "year": _years,
}
_FORM_SAMPLE = 1_000


def _from_text(column: pl.Series, where: str) -> pl.Series:
    """Parses each distinct text once: a panel repeats its times in every series."""
    distinct = column.drop_nulls().unique(maintain_order=True)
    text = _year_first(distinct.cast(pl.String).str.strip_chars(), column.name, where)
    sample = text.head(_FORM_SAMPLE)
    form = max(_FORMS, key=lambda name: _FORMS[name](sample).count())
    parsed = _FORMS[form](text)
    if parsed.null_count():
        bad = column.is_in(distinct.filter(parsed.is_null()).implode()).arg_true()
        mostly = f" (the others are read as {form})" if parsed.count() else ""
        _raise_bad(column, bad, where, f"must hold times in one form such as 2012-01-31{mostly}")
    table = pl.DataFrame({"text": distinct, "time": parsed})
    joined = pl.DataFrame({"text": column}).join(table, on="text", how="left", maintain_order="left")
    return joined["time"].alias(column.name)


_DAY_AND_MONTH = r"^(\d{1,2})[./-](\d{1,2})[./-](\d{4})(.*)$"


def _year_first(text: pl.Series, name: str, where: str) -> pl.Series:
    """Rewrites 31.01.2012 and 01/31/2012 as 2012-01-31 once a value above 12 tells day from month."""
    first = text.str.extract(_DAY_AND_MONTH, 1).cast(pl.Int64)
    second = text.str.extract(_DAY_AND_MONTH, 2).cast(pl.Int64)
    if first.count() == 0:
        return text
    is_day_first, is_month_first = bool((first > 12).any()), bool((second > 12).any())
    if is_day_first == is_month_first:
        example = text.filter(first.is_not_null())[0]
        problem = f"column '{name}' must say which number is the day, found '{example}', which can be read in two ways"
        raise InputError.at(where, f"{problem}. Write the dates as YYYY-MM-DD")
    return text.str.replace(_DAY_AND_MONTH, "${3}-${2}-${1}${4}" if is_day_first else "${3}-${1}-${2}${4}")


def _raise_bad(column: pl.Series, bad: pl.Series, where: str, rule: str) -> None:
    values = ", ".join(repr(value) for value in column.gather(bad.head(_ROWS_SHOWN)))
    rows = shown_rows((bad.head(_ROWS_SHOWN) + 1).to_list(), count=len(bad))
    raise InputError.at(where, f"column '{column.name}' {rule}, found {values} in {rows}. Correct or remove these rows")
