"""Steps in a season: what a step suggests, and what values show."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lstm_tune.data.grid import DAY_US, MICROSECONDS, MONTHS, step_parts
from lstm_tune.data.panel import Floats, Frequency, Integers

_SEASONS = (4, 5, 7, 12, 24, 48, 52, 96)


def infer_season(frequency: Frequency) -> int:
    """Steps in the season that a step suggests; 1 where it suggests none.

    A year of months, quarters or weeks, a week of days, a day of hours or minutes.
    """
    if frequency.every == "rows":
        return 1
    count, unit = step_parts(frequency.every)
    if unit in MONTHS:
        return _whole_part(12, count * MONTHS[unit])
    whole = {"w": 52, "d": 7, "b": 5}.get(unit)
    if whole is not None:
        return whole if count == 1 else 1
    if unit in ("h", "m"):
        return _whole_part(DAY_US, count * MICROSECONDS[unit])
    return 1


def _whole_part(whole: int, part: int) -> int:
    return whole // part if whole % part == 0 else 1


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
