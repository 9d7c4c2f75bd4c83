"""Statistics fitted on a fold's training rows and on nothing else."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Feature, Floats, Integers, category_counts
from lstm_tune.data.sequences import Sequences
from lstm_tune.data.table import row_positions

Doubles = NDArray[np.float64]

ROWS_TOGETHER = 100_000
"""Rows whose differences are taken together: what a process needs for a moment it may keep."""

SMALLEST_SCALE = 1e-30
"""Keeps the deviation of tiny values above zero in float32."""


@dataclass(frozen=True)
class ColumnStatistics:
    """What training rows say about some columns.

    Attributes:
        categories: number of categories of each column, 0 for a numeric one.
        mean: [K], 0 for categorical columns.
        scale: [K] standard deviation; 1 for categorical and for constant columns.
        smallest: [K] smallest value above zero; 1e-30 where there is none.
        seen: per column, the categories that occur, bool.
    """

    categories: tuple[int, ...]
    mean: Floats
    scale: Floats
    smallest: Floats
    seen: tuple[NDArray[np.bool_], ...]


def training_rows(sequences: Sequences, fold: Fold) -> NDArray[np.bool_]:
    """Which rows a fold may learn from, bool [N]."""
    starts = sequences.starts[:-1]
    change = np.zeros(len(sequences.target) + 1, dtype=np.int8)
    change[starts] = 1
    np.subtract.at(change, starts + fold.train_ends, 1)
    return np.cumsum(change[:-1], dtype=np.int8).astype(np.bool_)


def fit_statistics(
    values: Floats, features: tuple[Feature, ...] | None = None, *, is_log: bool = False
) -> ColumnStatistics:
    """Mean, deviation and categories of the given rows.

    Args:
        values: [R, K], NaN where missing; category codes in categorical columns.
        features: description of the columns; None when all are numeric.
        is_log: take mean and deviation of the logarithm, of nothing below half the smallest positive value.
    """
    counts = category_counts(features) if features else (0,) * values.shape[1]
    smallest = np.array([_smallest_positive(column) for column in values.T], dtype=np.float32)
    scaled = np.log(np.maximum(values, 0.5 * smallest)) if is_log else values
    mean, scale = np.zeros(len(counts), np.float32), np.ones(len(counts), np.float32)
    seen: list[NDArray[np.bool_]] = []
    for k, count in enumerate(counts):
        column = values[:, k]
        seen.append(np.isin(np.arange(count), column))
        observed = scaled[:, k][~np.isnan(scaled[:, k])].astype(np.float64)
        if not count and len(observed):
            mean[k] = observed.mean()
            scale[k] = max(observed.std(), SMALLEST_SCALE) if observed.min() < observed.max() else 1.0
    return ColumnStatistics(counts, mean, scale, smallest, tuple(seen))


def _smallest_positive(column: Floats) -> float:
    positive = column[column > 0]
    return float(positive.min()) if len(positive) else 1e-30


def seasonal_errors(sequences: Sequences, ends: Integers, *, season: int, power: int) -> Doubles:
    """Mean |y_t - y_(t-season)|^power of the steps before each series' end: the scale of MASE and RMSSE.

    A series with no seasonal difference, or only zero ones, falls back to differences of one step; where these are all
    zero too the scale is NaN and the series does not count.

    Args:
        sequences: the data.
        ends: first step that is left out, int64 [S].
        season: steps in a season.
        power: 1 for MASE, 2 for RMSSE.

    Returns:
        [S, Y].

    Source:
        Hyndman and Koehler 2006, section 3; Makridakis, Spiliotis and Assimakopoulos 2022 (M5) for RMSSE.
    """
    scale = _mean_difference(sequences, ends, season, power)
    if season > 1:
        fallback = _mean_difference(sequences, ends, 1, power)
        scale = np.where(scale > 0, scale, fallback)
    return np.where(scale > 0, scale, np.nan)


def _mean_difference(sequences: Sequences, ends: Integers, lag: int, power: int) -> Doubles:
    """Mean |y_t - y_(t-lag)|^power over each series' steps before its end; NaN where there is no pair; [S, Y]."""
    means = []
    for first, last in _groups(sequences.starts):
        starts = sequences.starts[first : last + 1]
        target = sequences.target[starts[0] : starts[-1]].astype(np.float64)
        series = np.repeat(np.arange(last - first), np.diff(starts))
        within = row_positions(starts - starts[0])
        counts = (within >= lag) & (within < ends[first:last][series])
        difference = np.zeros_like(target)
        difference[lag:] = np.abs(target[lag:] - target[:-lag]) ** power
        valid = counts[:, None] & ~np.isnan(difference)
        sums, numbers = (
            np.stack([np.bincount(series, column, minlength=last - first) for column in values.T], axis=1)
            for values in (np.where(valid, difference, 0.0), valid)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            means.append(sums / numbers)
    return np.concatenate(means)


def _groups(starts: Integers) -> Iterator[tuple[int, int]]:
    """Series that are looked at together, as the first and the one after the last."""
    first = 0
    while first < len(starts) - 1:
        last = max(int(np.searchsorted(starts, starts[first] + ROWS_TOGETHER, side="right")) - 1, first + 1)
        yield first, last
        first = last
