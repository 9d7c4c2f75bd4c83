"""Metrics of forecasts, as sums and counts: a metric over many series is one ratio of sums, taken once.

Shape letters: E forecasts, h horizon, Y targets, Q quantiles.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_tune.tasks.losses import pinball


@dataclass(frozen=True)
class Judged:
    """Forecasts beside the truth.

    Attributes:
        point: [E, h, Y], the median where quantiles were forecast.
        truth: [E, h, Y], NaN where it does not count.
        scale: [E, 1, Y] the series' seasonal error of the metric's power; NaN for a series that does not count.
        quantiles: [E, h, Y, Q], or the point forecast as [E, h, Y, 1].
        levels: [Q]; 0.5 alone for a point forecast.
    """

    point: Tensor
    truth: Tensor
    scale: Tensor
    quantiles: Tensor
    levels: Tensor


Terms = Callable[[Judged], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Metric:
    """How forecasts are scored.

    Attributes:
        terms: numerator and denominator of each element, both [E, h, Y]. An element whose denominator is NaN does not
            count; a NaN in a forecast never takes an element out, it makes the score NaN.
        finish: what is done with the ratio of their sums, elementwise on an array.
        scale_power: 1 or 2: which seasonal error `Judged.scale` must hold.
        description: one line.
    """

    terms: Terms
    finish: Callable[[Any], Any]
    description: str
    scale_power: int = 1

    def sums(self, judged: Judged) -> tuple[Tensor, Tensor]:
        """Numerators and denominators, summed within each forecast; two float64 [E]."""
        numerators, denominators = (term.double() for term in self.terms(judged))
        counts = ~denominators.isnan()
        zero = torch.zeros((), dtype=torch.float64)
        return tuple(torch.where(counts, term, zero).sum(dim=(1, 2)) for term in (numerators, denominators))  # type: ignore[return-value]


def _same(ratio: float) -> float:
    return ratio


def _absolute(judged: Judged) -> Tensor:
    return (judged.point - judged.truth).abs()


def _squared(judged: Judged) -> Tensor:
    return (judged.point.double() - judged.truth.double()).square()


def _ones(judged: Judged) -> Tensor:
    return torch.where(judged.truth.isnan(), judged.truth, torch.ones_like(judged.truth))


def _scalable(judged: Judged) -> Tensor:
    return torch.where(judged.scale.isnan(), judged.scale, _ones(judged))


def _smape(judged: Judged) -> tuple[Tensor, Tensor]:
    size = judged.point.abs() + judged.truth.abs()
    return torch.where(size > 0, 2 * _absolute(judged) / size, size), _ones(judged)


def _weighted_quantile_loss(judged: Judged) -> tuple[Tensor, Tensor]:
    losses = pinball(judged.quantiles.double(), judged.truth.double(), judged.levels.double())
    return 2 * losses.mean(dim=-1), judged.truth.abs()


def _coverage(judged: Judged) -> tuple[Tensor, Tensor]:
    inside = (judged.truth >= judged.quantiles[..., 0]) & (judged.truth <= judged.quantiles[..., -1])
    return inside.double(), _ones(judged)


FORECAST_METRICS: dict[str, Metric] = {
    "mase": Metric(
        lambda judged: (_absolute(judged) / judged.scale, _scalable(judged)),
        _same,
        "mean absolute error over the in-sample seasonal naive's (Hyndman and Koehler 2006)",
    ),
    "smape": Metric(_smape, lambda ratio: 100 * ratio, "symmetric mean absolute percentage error, 0 to 200"),
    "mae": Metric(lambda judged: (_absolute(judged), _ones(judged)), _same, "mean absolute error"),
    "rmse": Metric(lambda judged: (_squared(judged), _ones(judged)), np.sqrt, "root mean squared error"),
    "rmsse": Metric(
        lambda judged: (_squared(judged) / judged.scale, _scalable(judged)),
        np.sqrt,
        "root of the mean squared error over the in-sample seasonal naive's, pooled over the series",
        scale_power=2,
    ),
    "wql": Metric(
        _weighted_quantile_loss,
        _same,
        "twice the pinball loss over the sum of absolute values, mean over the quantiles (Salinas et al. 2020)",
    ),
    "coverage": Metric(_coverage, _same, "share of truths between the outer quantiles; described, not optimised"),
}
"""Name to metric."""


def applicable(quantiles: tuple[float, ...]) -> list[str]:
    """Names of the metrics that say something about a point forecast, or about one with quantiles."""
    return [name for name in FORECAST_METRICS if quantiles or name not in ("wql", "coverage")]


def ratio(metric: Metric, sums: Tensor, counts: Tensor) -> float:
    """The metric of pooled sums; NaN when nothing counts.

    Args:
        metric: how to finish.
        sums: float64 [E].
        counts: float64 [E].
    """
    total = float(counts.sum())
    return float(metric.finish(float(sums.sum()) / total)) if total > 0 else math.nan
