"""The grid of steps that times lie on: where each lies, and how to move along it."""

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.data.panel import Frequency, Integers

Flags = NDArray[np.bool_]

CHUNK_ROWS = 1_000_000
"""Rows that are looked at together, so that little memory is needed."""

DAY_US = 86_400_000_000
"""Microseconds in a day."""

MONTHS = {"mo": 1, "q": 3, "y": 12}
"""Units of the calendar, in months."""

MICROSECONDS = {
    "w": 7 * DAY_US,
    "d": DAY_US,
    "h": 3_600_000_000,
    "m": 60_000_000,
    "s": 1_000_000,
    "ms": 1_000,
    "us": 1,
}
"""Units of the clock, in microseconds, the longest first."""

_EVERY = re.compile(r"^(\d+)([a-z]+)$")


# --- where times lie ------------------------------------------------------------------------------


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
    if _counts_rows(frequency):
        return np.arange(len(times), dtype=np.int64) - np.repeat(starts[:-1], lengths), _weekends(times, frequency)
    ordinals, step = ordinals_of(times, frequency)
    remainders = ordinals % step
    phases = _phases(remainders, starts)
    positions = (ordinals - phases) // step
    is_off = remainders != phases % step
    positions -= np.repeat(positions[starts[:-1]], lengths)
    is_off[1:] |= (np.diff(positions) == 0) & stays_inside(starts)
    return positions, is_off


def is_regular(times: pl.Series, starts: Integers, frequency: Frequency) -> bool:
    """Whether each time lies exactly one step after the time before it in its series.

    Cheap in memory: the times are looked at a million at a time. "rows" are always regular, business days when none
    falls on a weekend.

    Args:
        times: length N, ascending within a series.
        starts: first row of each series and the end, int64 [S + 1].
        frequency: the step.
    """
    if _counts_rows(frequency):
        return not _weekends(times, frequency).any()
    for first in range(0, len(times), CHUNK_ROWS):
        ordinals, step = ordinals_of(times.slice(first, CHUNK_ROWS + 1), frequency)
        is_step = np.diff(ordinals) == step
        breaks = starts[(starts > first) & (starts < first + len(ordinals))] - first - 1
        is_step[breaks] = True
        if not is_step.all():
            return False
    return True


def _counts_rows(frequency: Frequency) -> bool:
    return frequency.every == "rows" or frequency.every.endswith("b")


def _weekends(times: pl.Series, frequency: Frequency) -> Flags:
    """Which times break the rule of business days, bool [N]; none where the step has another unit."""
    if not frequency.every.endswith("b"):
        return np.zeros(len(times), dtype=np.bool_)
    return (times.dt.weekday() > 5).to_numpy()


def step_parts(every: str) -> tuple[int, str]:
    """Count and unit of a step other than "rows": `3mo` is 3 and `mo`."""
    match = _EVERY.match(every)
    assert match, f"not a step: {every}"
    return int(match[1]), match[2]


def ordinals_of(times: pl.Series, frequency: Frequency) -> tuple[Integers, int]:
    """Times as whole numbers of the smallest unit the step is counted in, int64 [N], and the step in that unit."""
    count, unit = step_parts(frequency.every)
    if unit == "i":
        return times.to_numpy().astype(np.int64, copy=False), count
    if unit in MONTHS:
        months = times.dt.year().to_numpy().astype(np.int64) * 12 + times.dt.month().to_numpy() - 1
        return months, count * MONTHS[unit]
    step = count * MICROSECONDS[unit]
    if _zone(times) and step >= DAY_US:
        times = times.dt.date()
    return microseconds_of(times), step


def microseconds_of(times: pl.Series) -> Integers:
    """Dates or datetimes as microseconds since 1970, int64 [N]."""
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


def stays_inside(starts: Integers) -> Flags:
    """Whether a row and the next belong to one series, bool [N - 1]."""
    inside = np.ones(max(int(starts[-1]) - 1, 0), dtype=np.bool_)
    inside[starts[1:-1] - 1] = False
    return inside


def are_business_days(times: pl.Series, inside: Flags) -> bool:
    """Whether no time falls on a weekend, some step leaps one, and at least half of the steps skip no weekday."""
    if (times.dt.weekday() > 5).any():
        return False
    days = times.dt.date().to_numpy().astype("datetime64[D]")
    weekdays = np.busday_count(days[:-1], days[1:])[inside]
    leaps = np.diff(days).astype(np.int64)[inside] > weekdays
    return bool(leaps.any() and (weekdays == 1).mean() >= 0.5)


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
    count, unit = step_parts(frequency.every)
    amount = pl.Series("by", steps, dtype=pl.Int64) * count
    if unit == "i":
        return times + amount
    if unit == "b":
        return _shift_business_days(times, amount)
    if unit not in MONTHS and MICROSECONDS[unit] < DAY_US:
        return (times + (amount * MICROSECONDS[unit]).cast(pl.Duration("us"))).cast(times.dtype)
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
            the median step, or by business days where dates fall on weekdays only.
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
    microseconds = max(int(np.median(np.diff(microseconds_of(history)))), 1)
    if history.dtype != pl.Date and microseconds % DAY_US:
        return Frequency(f"{microseconds}us")
    days = max(round(microseconds / DAY_US), 1)
    inside = np.ones(len(history) - 1, dtype=np.bool_)
    return Frequency("1b" if days == 1 and are_business_days(history, inside) else f"{days}d")
