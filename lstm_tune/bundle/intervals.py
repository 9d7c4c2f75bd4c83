"""Prediction intervals of a model: how far from a forecast the truth may lie, in units of each series' own errors.

Shape letters: E forecasts, h horizon, Y targets.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.data.panel import Integers
from lstm_tune.data.scaling import Doubles, seasonal_errors
from lstm_tune.data.sequences import Sequences


@dataclass(frozen=True)
class Intervals:
    """A calibrated interval around every forecast step.

    Attributes:
        level: share of truths that it should hold.
        reach: half of its width for each step and target, as a multiple of the series' mean seasonal error; h rows of
            Y numbers, NaN where nothing could be calibrated.
        floors: a value below which no interval reaches, or None, for each target.
    """

    level: float
    reach: tuple[tuple[float, ...], ...]
    floors: tuple[float | None, ...]

    @classmethod
    def of(cls, level: float, reach: Doubles, floors: Sequence[float | None]) -> "Intervals":
        """From an array of reaches, float64 [h, Y]."""
        return cls(level, tuple(tuple(row) for row in reach.tolist()), tuple(floors))

    def around(self, forecast: Doubles, scale: Doubles) -> tuple[Doubles, Doubles]:
        """Both ends of the interval of each forecast step.

        Args:
            forecast: float64 [E, h, Y], the median where quantiles were forecast.
            scale: float64 [E, 1, Y], mean seasonal error of the forecast's series; NaN where it has none.

        Returns:
            Low and high, float64 [E, h, Y]; NaN where there is no interval.
        """
        half = np.array(self.reach, dtype=np.float64) * scale
        floors = np.array([-np.inf if floor is None else floor for floor in self.floors])
        low = forecast - half
        return np.where(np.isnan(low), low, np.maximum(low, np.minimum(floors, forecast))), forecast + half


def scales(sequences: Sequences, ends: Integers, *, season: int) -> Doubles:
    """The mean seasonal error of each series before its end, as in MASE; NaN for one that never changes.

    Args:
        sequences: the data.
        ends: steps of each series that may be used, int64 [S].
        season: steps in a season.

    Returns:
        [S, Y].
    """
    return seasonal_errors(sequences, ends, season=season, power=1)
