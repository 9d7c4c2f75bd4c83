"""Ridge autoregression: one linear map from the last steps of any series to all steps of the horizon, in closed form.

Shape letters: B batch, C context steps, W window steps, h horizon, Y targets, E examples.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Integers
from lstm_tune.data.sequences import Examples, Gatherer, Sequences, complete_origins
from lstm_tune.models.forecaster import Design
from lstm_tune.models.linear import solve_ridge
from lstm_tune.tasks.naive import carried

LONGEST_WINDOW = 512
"""Steps of a window at most: a year of days and a week of half hours fit in."""

MOST_WINDOWS = 50_000
"""Training windows at most, evenly spread: more move a few hundred coefficients by less than their own error."""

MOST_VALUES = 20_000_000
"""Values in the training windows at most, 160 MB; reached only where window and horizon are long."""


@dataclass(frozen=True)
class RidgeAutoregression:
    """A fitted map: forecast = last value + weights * (window - last value) + slope * deviation.

    The deviation is the window's root mean square difference from its last value. So the forecast moves and grows with
    the history: forecast(a + b * history) = a + b * forecast(history) for b > 0, and a constant history goes on.

    Attributes:
        weights: float64 [Y, W - 1, h] of the steps before the last.
        slope: float64 [Y, h].
    """

    weights: Tensor
    slope: Tensor

    def forecast(self, history: Tensor) -> Tensor:
        """Forecasts [B, h, Y] of histories [B, C, Y]; NaN where a history has no value or nothing could be fitted.

        Missing steps repeat the value before them, those before the first value repeat that one.
        """
        window = _filled(history.double(), self.weights.shape[1] + 1)  # [B, W, Y]
        moves, deviation = _centred(window)
        change = torch.einsum("bwy,ywh->bhy", moves, self.weights) + torch.einsum("by,yh->bhy", deviation, self.slope)
        return (window[:, -1:] + change).to(history.dtype)


def fit_ridge(sequences: Sequences, fold: Fold, design: Design) -> Callable[[Tensor], Tensor]:
    """A ridge autoregression fitted to a fold's training steps, each target by itself, all series together.

    A window holds a season more than the longer of season and horizon, or fewer steps where that leaves fewer windows
    than steps. Errors count in units of the series' own deviation, so that large series do not drown small ones. Each
    step of the horizon has its own penalty, the best by generalised cross-validation on the training windows; only
    windows whose whole horizon lies in the training part are used, and missing targets are left out.

    Args:
        sequences: the data.
        fold: where training ends in each series.
        design: horizon, season and number of targets.

    Returns:
        [B, C, Y] histories -> [B, h, Y] forecasts in the same units, NaN for steps without a training window.

    Source:
        `solve_ridge`. Centring, weights and window length were chosen
        by the validation folds of 9 panels and 28 single series, not by their test parts.
    """
    window = _window_steps(fold.train_ends, season=design.season, horizon=design.horizon)
    examples = complete_examples(sequences, fold, window=window, horizon=design.horizon)
    weights = torch.full((design.targets, window - 1, design.horizon), torch.nan, dtype=torch.float64)
    slope = torch.full((design.targets, design.horizon), torch.nan, dtype=torch.float64)
    if len(examples):
        batch = Gatherer(sequences, context=window, horizon=design.horizon).batch(examples)
        past, future, series = _filled(batch.target.double(), window), batch.future.double(), _tensor(examples.series)
        for k in range(design.targets):
            weights[k], slope[k] = _fit(past[:, :, k], future[:, :, k], series)
    return RidgeAutoregression(weights, slope).forecast


def _window_steps(ends: Integers, *, season: int, horizon: int) -> int:
    """The wanted window, or the longest of which there are at least as many as it has steps; 2 or more."""
    wanted = min(max(season, horizon) + season + 1, LONGEST_WINDOW)
    for window in range(wanted, 2, -1):
        if np.maximum(ends - window - horizon + 1, 0).sum() >= window:
            return window
    return 2


def complete_examples(sequences: Sequences, fold: Fold, *, window: int, horizon: int) -> Examples:
    """Training forecasts with a full window and a full horizon, thinned where there are many."""
    complete = complete_origins(sequences, fold, window=window, horizon=horizon)
    return complete.spread(min(MOST_WINDOWS, MOST_VALUES // (window + horizon)))


def _filled(history: Tensor, window: int) -> Tensor:
    """The last W steps [B, W, Y] without holes; NaN only where nothing was observed."""
    missing = max(window - history.shape[1], 0)
    padded = torch.nn.functional.pad(history, (0, 0, missing, 0), value=torch.nan)[:, -window:]
    return carried(carried(padded).flip(1)).flip(1)


def _centred(window: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of the earlier steps from the last [B, W - 1, ...], and their root mean square [B, ...]."""
    moves = window[:, :-1] - window[:, -1:]
    return moves, moves.square().mean(dim=1).sqrt()


def _fit(past: Tensor, future: Tensor, series: Tensor) -> tuple[Tensor, Tensor]:
    """Weights [W - 1, h] and slope [h] of one target from windows [E, W], futures [E, h] and their series [E]."""
    moves, deviation = _centred(past)
    moving = deviation > 0  # False for NaN, and a window that stands still says nothing
    moves, deviation, series = moves[moving], deviation[moving], series[moving]
    change = future[moving] - past[moving, -1:]
    count = int(series.max()) + 1 if len(series) else 0
    unit = series_scale(deviation, series, count=count)[series]
    inputs, trend, targets = moves / unit[:, None], deviation / unit, change / unit[:, None]
    weights = torch.full((inputs.shape[1], targets.shape[1]), torch.nan, dtype=torch.float64)
    slope = torch.full((targets.shape[1],), torch.nan, dtype=torch.float64)
    observed = ~targets.isnan()
    for rows, steps in _groups(observed):
        if rows.sum() > 1:
            weights[:, steps], slope[steps] = solve_ridge(inputs[rows], trend[rows], targets[rows][:, steps])
    return weights, slope


def series_scale(scale: Tensor, series: Tensor, *, count: int) -> Tensor:
    """The root mean square of each series' scales.

    Args:
        scale: [E, ...].
        series: [E] which series an example is of.
        count: S, number of series.

    Returns:
        [S, ...]; NaN for a series without examples.
    """
    squares = scale.new_zeros((count, *scale.shape[1:])).index_add(0, series, scale.square())
    examples = torch.bincount(series, minlength=count).reshape(-1, *(1,) * (scale.dim() - 1))
    return (squares / examples).sqrt()


def _groups(observed: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The distinct columns of `observed` [E, h], each with its steps of the horizon; one where nothing is missing."""
    if observed.all():
        return [(observed[:, 0], torch.arange(observed.shape[1]))]
    columns, numbers = torch.unique(observed, dim=1, return_inverse=True)
    return [(columns[:, k], torch.nonzero(numbers == k).flatten()) for k in range(columns.shape[1])]


def _tensor(values: Integers) -> Tensor:
    return torch.from_numpy(values)
