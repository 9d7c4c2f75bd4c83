"""The step that times follow: found in them, or asked for."""

from collections.abc import Iterator

import numpy as np
import polars as pl

from lstm_tune.data.grid import (
    CHUNK_ROWS,
    DAY_US,
    MICROSECONDS,
    MONTHS,
    Flags,
    are_business_days,
    microseconds_of,
    ordinals_of,
    stays_inside,
    step_parts,
)
from lstm_tune.data.panel import Frequency, Integers
from lstm_tune.spec.errors import InputError


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
    times, starts = times.head(CHUNK_ROWS), np.unique(np.minimum(starts, CHUNK_ROWS))
    for candidate in _candidates(times, starts):
        if _fits(times, starts, candidate):
            return candidate
    return Frequency("rows")


def parse_frequency(every: str, times: pl.Series, *, where: str) -> Frequency:
    """The step a user asked for.

    Integer years take `1y` to mean one apart.

    Args:
        every: `rows`, or a count and a unit such as `1mo`, `1b`, `30m`, or `1i` for whole numbers one apart.
        times: the times it is meant for, at least one.
        where: what the message is about.

    Raises:
        InputError: a calendar step was asked for integers that are not years, or whole numbers for dates.
    """
    if every == "rows":
        return Frequency(every)
    count, unit = step_parts(every)
    if times.dtype.is_integer() and unit in ("y", "i"):
        return Frequency(f"{count}i")
    if not times.dtype.is_integer() and unit != "i":
        return Frequency(every, month_end=unit in MONTHS and _is_month_end(times))
    if unit == "i":
        problem = f"column '{times.name}' (time) must hold whole numbers, as in training, found {times.dtype}"
        raise InputError.at(where, f"{problem}. Write the times as the training data has them")
    problem = f"data.frequency {every} needs dates or datetimes, but column '{times.name}' holds integers"
    raise InputError.at(where, f"{problem}. Set data.frequency: auto, and task.season for the steps in a season")


def _mode(values: Integers) -> int:
    sample = values[:: max(len(values) // 100_000, 1)]
    distinct, counts = np.unique(sample, return_counts=True)
    return int(distinct[counts.argmax()])


def _is_month_end(times: pl.Series) -> bool:
    dates = times.dt.date()
    return bool((dates == dates.dt.month_end()).all())


def _candidates(times: pl.Series, starts: Integers) -> Iterator[Frequency]:
    """Steps to try, the most specific first."""
    inside = stays_inside(starts)
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
    differences = np.diff(ordinals_of(times, Frequency("1mo"))[0])[inside]
    if differences.min() < 1:
        return
    step = _mode(differences)
    unit = next(unit for unit in ("y", "q", "mo") if step % MONTHS[unit] == 0)
    yield Frequency(f"{step // MONTHS[unit]}{unit}", month_end=_is_month_end(times))


def _clock_candidates(times: pl.Series, inside: Flags) -> Iterator[Frequency]:
    step = _mode(np.diff(microseconds_of(times))[inside])
    if step == DAY_US and are_business_days(times, inside):
        yield Frequency("1b")
    unit = next((unit for unit, size in MICROSECONDS.items() if step % size == 0), "us")
    yield Frequency(f"{max(step // MICROSECONDS[unit], 1)}{unit}")


def _fits(times: pl.Series, starts: Integers, frequency: Frequency) -> bool:
    if frequency.every == "1b":
        return True
    ordinals, step = ordinals_of(times, frequency)
    differences = np.diff(ordinals)[stays_inside(starts)]
    multiples = differences[(differences % step == 0) & (differences > 0)] // step
    if len(multiples) < 0.9 * len(differences):
        return False
    holes = int((multiples > 1).sum())
    is_half_full = len(multiples) >= 0.5 * int(multiples.sum())
    return is_half_full or (holes <= 0.1 * len(multiples) and holes <= 3 * (len(starts) - 1))
