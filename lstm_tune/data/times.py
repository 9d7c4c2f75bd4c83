"""Times: from a column to a checked grid of steps, and on into the future."""

import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.data.panel import Floats, Frequency, Integers
from lstm_tune.spec.errors import InputError

Flags = NDArray[np.bool_]

_DAY_US = 86_400_000_000
_MONTHS = {"mo": 1, "q": 3, "y": 12}
_MICROSECONDS = {
    "w": 7 * _DAY_US,
    "d": _DAY_US,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
_EVERY = re.compile(r"^(\d+)([a-z]+)$")
_ROWS_SHOWN = 3
_CHUNK_ROWS = 1_000_000


# --- a column of times ----------------------------------------------------------------------------


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


# --- the grid of steps ----------------------------------------------------------------------------


def infer_frequency(times: pl.Series, starts: Integers) -> Frequency:
    """The step that the times of a panel follow, all series together.

    The first million rows decide. A step is accepted when at least 90 % of the differences are whole multiples of it
    and its grid is at least half full, or holes are rare (differences of one step at 90 % or more, at most three
    holes a series). Weekdays that skip only weekends and holidays are business days. Anything else is "rows".

    Args:
        times: length N, ascending within a series, without duplicates or missing values.
        starts: first row of each series and the end, int64 [S + 1].

    Returns:
        The step; times may still lie off its grid, which `grid_positions` tells.
    """
    times, starts = times.head(_CHUNK_ROWS), np.unique(np.minimum(starts, _CHUNK_ROWS))
    for candidate in _candidates(times, starts):
        if _fits(times, starts, candidate):
            return candidate
    return Frequency("rows")


def parse_frequency(every: str, times: pl.Series, *, where: str) -> Frequency:
    """The step a user asked for.

    Integer years take `1y` to mean one apart.

    Args:
        every: `rows`, or a count and a unit such as `1mo`, `1b`, `30m`.
        times: the times it is meant for, at least one.
        where: what the message is about.

    Raises:
        InputError: a calendar step was asked for integers that are not years.
    """
    if every == "rows":
        return Frequency(every)
    count, unit = _parts(every)
    if not times.dtype.is_integer():
        is_month_end = unit in _MONTHS and _is_month_end(times)
        return Frequency(every, month_end=is_month_end)
    if unit in ("y", "i"):
        return Frequency(f"{count}i")
    problem = f"data.frequency {every} needs dates or datetimes, but column '{times.name}' holds integers"
    raise InputError.at(where, f"{problem}. Set data.frequency: auto, and task.season for the steps in a season")


def grid_positions(times: pl.Series, starts: Integers, frequency: Frequency) -> tuple[Integers, Flags]:
    """Where each time lies on the grid, in steps after the first time of its series.

    Months, quarters and years count calendar months, whatever the day. From a day upwards a time with a time zone
    counts by its local date, below by UTC, so daylight saving time makes no holes. Business days and "rows" count
    rows.

    Args:
        times: length N, ascending within a series.
        starts: first row of each series and the end, int64 [S + 1].
        frequency: the step.

    Returns:
        Positions, int64 [N]; and whether each time lies off the grid (between two steps, or in the step of the time
        before it, or on a weekend for business days), bool [N].
    """
    lengths = np.diff(starts)
    if frequency.every == "rows" or frequency.every.endswith("b"):
        is_off = (
            (times.dt.weekday() > 5).to_numpy() if frequency.every.endswith("b") else np.zeros(len(times), np.bool_)
        )
        return np.arange(len(times), dtype=np.int64) - np.repeat(starts[:-1], lengths), is_off
    ordinals, step = _ordinals(times, frequency)
    remainders = ordinals % step
    phases = _phases(remainders, starts)
    positions = (ordinals - phases) // step
    is_off = remainders != phases % step
    positions -= np.repeat(positions[starts[:-1]], lengths)
    is_off[1:] |= (np.diff(positions) == 0) & _within(starts)
    return positions, is_off


def is_regular(times: pl.Series, starts: Integers, frequency: Frequency) -> bool:
    """Whether each time lies exactly one step after the time before it in its series.

    Cheap in memory: the times are looked at a million at a time. Rows and business days are always regular here.

    Args:
        times: length N, ascending within a series.
        starts: first row of each series and the end, int64 [S + 1].
        frequency: the step.
    """
    if frequency.every == "rows" or frequency.every.endswith("b"):
        return not frequency.every.endswith("b") or not (times.dt.weekday() > 5).any()
    for first in range(0, len(times), _CHUNK_ROWS):
        ordinals, step = _ordinals(times.slice(first, _CHUNK_ROWS + 1), frequency)
        is_step = np.diff(ordinals) == step
        breaks = starts[(starts > first) & (starts < first + len(ordinals))] - first - 1
        is_step[breaks] = True
        if not is_step.all():
            return False
    return True


def _parts(every: str) -> tuple[int, str]:
    match = _EVERY.match(every)
    assert match, f"not a step: {every}"
    return int(match[1]), match[2]


def _ordinals(times: pl.Series, frequency: Frequency) -> tuple[Integers, int]:
    """Times as whole numbers of the smallest unit the step is counted in, int64 [N], and the step in that unit."""
    count, unit = _parts(frequency.every)
    if unit == "i":
        return times.to_numpy().astype(np.int64, copy=False), count
    if unit in _MONTHS:
        months = times.dt.year().to_numpy().astype(np.int64) * 12 + times.dt.month().to_numpy() - 1
        return months, count * _MONTHS[unit]
    step = count * _MICROSECONDS[unit]
    if _zone(times) and step >= _DAY_US:
        times = times.dt.date()
    return _microseconds(times), step


def _microseconds(times: pl.Series) -> Integers:
    return times.cast(pl.Datetime("us", _zone(times))).to_physical().to_numpy()


def _zone(times: pl.Series) -> str | None:
    zone: str | None = getattr(times.dtype, "time_zone", None)
    return zone


def _phases(remainders: Integers, starts: Integers) -> Integers:
    """The remainder on the grid: the one of nearly all rows, int64 [1], else that of each series' first, int64 [N]."""
    if (remainders == remainders[0]).all():
        return remainders[:1]
    values, counts = np.unique(remainders, return_counts=True)
    if counts.max() >= 0.9 * len(remainders):
        common = int(counts.argmax())
        return values[common : common + 1]
    return np.repeat(remainders[starts[:-1]], np.diff(starts))


def _within(starts: Integers) -> Flags:
    """Whether a row and the next belong to one series, bool [N - 1]."""
    inside = np.ones(max(int(starts[-1]) - 1, 0), dtype=np.bool_)
    inside[starts[1:-1] - 1] = False
    return inside


def _mode(values: Integers) -> int:
    sample = values[:: max(len(values) // 100_000, 1)]
    distinct, counts = np.unique(sample, return_counts=True)
    return int(distinct[counts.argmax()])


def _is_month_end(times: pl.Series) -> bool:
    dates = times.dt.date()
    return bool((dates == dates.dt.month_end()).all())


def _candidates(times: pl.Series, starts: Integers) -> Iterator[Frequency]:
    """Steps to try, the most specific first."""
    inside = _within(starts)
    if not inside.any():
        return
    if times.dtype.is_integer():
        yield Frequency(f"{_mode(np.diff(times.to_numpy())[inside])}i")
        return
    months = list(_month_candidates(times, inside))
    if months and (months[0].month_end or times.dt.day().n_unique() == 1):
        yield months[0]
    yield from _clock_candidates(times, inside)
    yield from months


def _month_candidates(times: pl.Series, inside: Flags) -> Iterator[Frequency]:
    """At most one step of whole months, when no series has two times in a month."""
    differences = np.diff(_ordinals(times, Frequency("1mo"))[0])[inside]
    if differences.min() < 1:
        return
    step = _mode(differences)
    unit = next(unit for unit in ("y", "q", "mo") if step % _MONTHS[unit] == 0)
    yield Frequency(f"{step // _MONTHS[unit]}{unit}", month_end=_is_month_end(times))


def _clock_candidates(times: pl.Series, inside: Flags) -> Iterator[Frequency]:
    step = _mode(np.diff(_microseconds(times))[inside])
    if step == _DAY_US and _are_business_days(times, inside):
        yield Frequency("1b")
    unit = next((unit for unit, size in _MICROSECONDS.items() if step % size == 0), "us")
    yield Frequency(f"{max(step // _MICROSECONDS[unit], 1)}{unit}")


def _are_business_days(times: pl.Series, inside: Flags) -> bool:
    """Whether no time falls on a weekend, some step leaps one, and at least half of the steps skip no weekday."""
    if (times.dt.weekday() > 5).any():
        return False
    days = times.dt.date().to_numpy().astype("datetime64[D]")
    weekdays = np.busday_count(days[:-1], days[1:])[inside]
    leaps = np.diff(days).astype(np.int64)[inside] > weekdays
    return bool(leaps.any() and (weekdays == 1).mean() >= 0.5)


def _fits(times: pl.Series, starts: Integers, frequency: Frequency) -> bool:
    if frequency.every == "1b":
        return True
    ordinals, step = _ordinals(times, frequency)
    differences = np.diff(ordinals)[_within(starts)]
    multiples = differences[(differences % step == 0) & (differences > 0)] // step
    if len(multiples) < 0.9 * len(differences):
        return False
    holes = int((multiples > 1).sum())
    is_half_full = len(multiples) >= 0.5 * int(multiples.sum())
    return is_half_full or (holes <= 0.1 * len(multiples) and holes <= 3 * (len(starts) - 1))


# --- moving along the grid ------------------------------------------------------------------------


def shift_times(times: pl.Series, steps: Integers, frequency: Frequency) -> pl.Series:
    """Each time moved on by a number of steps of a grid that is not "rows".

    A month's last day stays the last day where the frequency says so; the 31st becomes the 30th in a shorter month.
    From a day upwards the local clock time stays, below a day real time passes.

    Args:
        times: length N.
        steps: how many steps, int64 [N].
        frequency: the step.

    Returns:
        Length N, with the type of `times`.
    """
    count, unit = _parts(frequency.every)
    amount = pl.Series("by", steps, dtype=pl.Int64) * count
    if unit == "i":
        return times + amount
    if unit == "b":
        return _shift_business_days(times, amount)
    if unit not in _MONTHS and _MICROSECONDS[unit] < _DAY_US:
        return (times + (amount * _MICROSECONDS[unit]).cast(pl.Duration("us"))).cast(times.dtype)
    local = pl.col("time").dt.replace_time_zone(None) if _zone(times) else pl.col("time")
    moved = local.dt.offset_by(pl.format("{}" + unit, "by"))
    if frequency.month_end:
        moved = moved.dt.month_end()
    frame = pl.DataFrame({"time": times, "by": amount})
    return _with_zone(frame.select(moved).to_series(), times)


def _shift_business_days(times: pl.Series, amount: pl.Series) -> pl.Series:
    days = times.dt.date()
    moved = np.busday_offset(days.to_numpy().astype("datetime64[D]"), amount.to_numpy(), roll="backward")
    dates = pl.Series(times.name, moved).cast(pl.Date)
    if times.dtype == pl.Date:
        return dates
    clock = times.dt.replace_time_zone(None) if _zone(times) else times
    midnight = clock.dt.truncate("1d")
    return _with_zone(dates.cast(midnight.dtype) + (clock - midnight), times)


def _with_zone(local: pl.Series, times: pl.Series) -> pl.Series:
    zone = _zone(times)
    if zone is None:
        return local.cast(times.dtype)
    # A clock time that daylight saving time skips becomes the next one that exists.
    known = local.dt.replace_time_zone(zone, non_existent="null", ambiguous="earliest")
    return known.fill_null(
        local.dt.offset_by("1h").dt.replace_time_zone(zone, non_existent="null", ambiguous="earliest")
    )


def future_times(history: pl.Series, frequency: Frequency, count: int) -> pl.Series:
    """The times of the steps that follow the last one of a series.

    Args:
        history: times of one series, ascending, at least one. Only the last counts, except for "rows": those go on by
            the
            median step, or by business days where dates fall on weekdays only.
        frequency: the step.
        count: how many steps, from 0.

    Returns:
        `count` times with the type of `history`.
    """
    step = frequency
    if frequency.every == "rows":
        step = _usual_step(history)
    last = history.tail(1).gather(np.zeros(count, dtype=np.int64))
    return shift_times(last, np.arange(1, count + 1, dtype=np.int64), step)


def _usual_step(history: pl.Series) -> Frequency:
    if history.dtype.is_integer():
        median = np.median(np.diff(history.to_numpy())) if len(history) > 1 else 1
        return Frequency(f"{max(int(median), 1)}i")
    if len(history) < 2:
        return Frequency("1d" if history.dtype == pl.Date else "1h")
    microseconds = max(int(np.median(np.diff(_microseconds(history)))), 1)
    if history.dtype != pl.Date and microseconds % _DAY_US:
        return Frequency(f"{microseconds}us")
    days = max(round(microseconds / _DAY_US), 1)
    inside = np.ones(len(history) - 1, dtype=np.bool_)
    return Frequency("1b" if days == 1 and _are_business_days(history, inside) else f"{days}d")


# --- seasons --------------------------------------------------------------------------------------


def infer_season(frequency: Frequency) -> int:
    """Steps in the season that a step suggests; 1 where it suggests none.

    A year of months, quarters or weeks, a week of days, a day of hours or minutes.
    """
    if frequency.every == "rows":
        return 1
    count, unit = _parts(frequency.every)
    if unit in _MONTHS:
        return _whole_part(12, count * _MONTHS[unit])
    whole = {"w": 52, "d": 7, "b": 5}.get(unit)
    if whole is not None:
        return whole if count == 1 else 1
    if unit in ("h", "m"):
        return _whole_part(_DAY_US, count * _MICROSECONDS[unit])
    return 1


def _whole_part(whole: int, part: int) -> int:
    return whole // part if whole % part == 0 else 1


_SEASONS = (4, 5, 7, 12, 24, 48, 52, 96)


def detect_season(target: Floats, starts: Integers) -> int:
    """The season that the values themselves show, for steps whose length is unknown; 1 where none stands out.

    The autocorrelation of first differences is averaged over up to 200 series. A season counts when its autocorrelation
    exceeds that of the lags beside it, 0.1 and four standard errors; the shortest within a fifth of the best wins.

    Args:
        target: one target, [N], NaN where missing.
        starts: first row of each series and the end, int64 [S + 1].
    """
    chosen = np.unique(np.linspace(0, len(starts) - 2, num=200).astype(np.int64))
    series = [_centred_steps(target[starts[i] : starts[i + 1]]) for i in chosen]
    floor = max(0.1, 4 / np.sqrt(max(sum(len(steps) for steps in series), 1)))
    scores = {}
    for season in _SEASONS:
        score = _mean_autocorrelation(series, season)
        if score > max(floor, *(_mean_autocorrelation(series, lag) for lag in (season - 1, season + 1))):
            scores[season] = score
    return min((season for season, score in scores.items() if score >= 0.8 * max(scores.values())), default=1)


def _centred_steps(values: Floats) -> NDArray[np.float64]:
    """First differences less their mean; zero where a value is missing."""
    steps = np.diff(values.astype(np.float64))
    is_known = np.isfinite(steps)
    mean = steps[is_known].mean() if is_known.any() else 0.0
    return np.where(is_known, steps - mean, 0.0)


def _mean_autocorrelation(series: Sequence[NDArray[np.float64]], lag: int) -> float:
    """Over the series of three lags or more; 0 when those are fewer than half."""
    found = [
        float(steps[lag:] @ steps[:-lag] / (steps @ steps))
        for steps in series
        if len(steps) >= 3 * lag and (steps @ steps) > 0
    ]
    return float(np.mean(found)) if len(found) * 2 >= len(series) else 0.0
