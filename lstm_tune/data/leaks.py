"""Covariates that give the target away: a column that is the target itself, rescaled or moved in time.

Shape letters: N rows.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Feature, Floats, Integers
from lstm_tune.data.scaling import Doubles, training_rows
from lstm_tune.data.sequences import Sequences

Role = Literal["past", "known"]

SAME = 0.999
"""Correlation of two columns' changes from which on they are one column; what merely explains a target stays below."""

FEWEST_MOVES = 12
"""Rows in which both columns must have changed: a few jumps at the same time are no proof."""

TIE = 1e-6
"""Difference of two correlations that counts as none."""

MOST_ROWS = 50_000
"""The latest rows are enough to tell, and each lag costs a pass over them."""


@dataclass(frozen=True)
class Leak:
    """A covariate that shows the target of a time it must not know.

    Attributes:
        covariate: the column's name.
        role: past or known.
        target: index of the target column.
        lag: steps by which the covariate follows the target; below zero it runs ahead of it.
        correlation: of their changes, in size.
    """

    covariate: str
    role: Role
    target: int
    lag: int
    correlation: float


def find_leaks(sequences: Sequences, fold: Fold, *, horizon: int, season: int) -> list[Leak]:
    """The numeric covariates whose changes are those of a target, at a time when a forecast cannot know it.

    A known covariate may repeat the target from a horizon back (last year's value), a past one up to the present.
    Changes are compared, not levels, so a common trend is no leak; ranks too, which finds a logarithm or any other
    rising function. A column that fits just as well at an allowed lag, such as the calendar of a target that repeats
    itself exactly, is none. Static covariates cannot be judged so, as they do not change.

    Args:
        sequences: the data.
        fold: only the rows that it trains on are looked at.
        horizon: steps of a forecast.
        season: steps in a season.
    """
    rows = np.flatnonzero(training_rows(sequences, fold))[-MOST_ROWS:]
    series = np.searchsorted(sequences.starts, rows, side="right")
    targets = [_Moves.of(column[rows], series) for column in sequences.target.T]
    found = []
    for role, feature, column in _numeric(sequences):
        covariate, first_allowed = _Moves.of(column[rows], series), horizon if role == "known" else 0
        lags = range(-horizon, first_allowed), range(first_allowed, first_allowed + 2 * horizon + season + 1)
        for k, target in enumerate(targets):
            lag, correlation = _closest(target, covariate, lags[0])
            if correlation >= SAME and correlation > _closest(target, covariate, lags[1])[1] + TIE:
                found.append(Leak(feature.name, role, k, lag, correlation))
    return found


def _numeric(sequences: Sequences) -> Iterator[tuple[Role, Feature, Floats]]:
    """Role, description and values [N] of the covariates that are numbers and change."""
    for k, feature in enumerate(sequences.past_features):
        if feature.categories is None:
            yield "past", feature, sequences.past[:, k]
    for k, feature in enumerate(sequences.known_features):
        if feature.categories is None:
            yield "known", feature, sequences.known[:, k]


@dataclass(frozen=True)
class _Moves:
    """How a column changes from row to row, NaN where a series begins or a value is missing.

    Attributes:
        values: changes of its values, [N].
        ranks: changes of their ranks, [N].
        series: index of each row's series, [N].
    """

    values: Doubles
    ranks: Doubles
    series: Integers

    @classmethod
    def of(cls, column: Floats, series: Integers) -> "_Moves":
        ranks = np.unique(column, return_inverse=True)[1].astype(np.float64)
        ranks[np.isnan(column)] = np.nan
        return cls(_changes(column.astype(np.float64), series), _changes(ranks, series), series)


def _changes(values: Doubles, series: Integers) -> Doubles:
    changes = np.full(len(values), np.nan)
    changes[1:] = np.where(series[1:] == series[:-1], np.diff(values), np.nan)
    return changes


def _closest(target: _Moves, covariate: _Moves, lags: Iterable[int]) -> tuple[int, float]:
    """The lag at which both are most alike, and how much: the correlation, in size, of changes or of rank changes."""
    likeness = {}
    for lag in lags:
        pairs = ((target.values, covariate.values), (target.ranks, covariate.ranks))
        likeness[lag] = max(_correlation(*pair, target.series, lag) for pair in pairs)
    best = max(likeness, key=lambda lag: (likeness[lag] // TIE, -abs(lag)))
    return best, likeness[best]


def _correlation(target: Doubles, covariate: Doubles, series: Integers, lag: int) -> float:
    """Of the target and the covariate `lag` steps later, in size; 0 where fewer than twelve rows say anything."""
    size = max(len(target) - abs(lag), 0)
    earlier, later = slice(0, size), slice(len(target) - size, None)
    at, beside = (earlier, later) if lag >= 0 else (later, earlier)
    a, b = target[at], covariate[beside]
    is_known = (series[at] == series[beside]) & ~np.isnan(a) & ~np.isnan(b)
    a, b = a[is_known], b[is_known]
    if np.count_nonzero((a != 0) & (b != 0)) < FEWEST_MOVES:
        return 0.0
    a, b = a - a.mean(), b - b.mean()
    spread = float(np.sqrt((a @ a) * (b @ b)))
    return abs(float(a @ b)) / spread if spread > 0 else 0.0
