"""Whether one forecast is really better than another on the same targets."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from lstm_tune.selection.out_of_fold import Floats, Integers, total_by

SIGNIFICANT = 0.05
"""Probability of a difference this large by chance, below which it is called real."""

FEWEST_CLUSTERS = 6
"""Clusters that a bootstrap needs: five can be signed in 32 ways only, so none is rarer than 1 in 16 on both sides."""


@dataclass(frozen=True)
class Comparison:
    """The first of two forecasts beside the second.

    Attributes:
        difference: mean loss of the first less that of the second; below zero the first is better.
        statistic: the studentised difference; None where it has no spread to be judged by.
        p_value: probability of a difference this large, either way, between equals; None likewise.
        n: independent differences it rests on: losses, or clusters of them.
    """

    difference: float
    statistic: float | None
    p_value: float | None
    n: int

    @property
    def is_real(self) -> bool:
        """Whether the difference is more than chance, at 5 %."""
        return self.p_value is not None and self.p_value < SIGNIFICANT

    @property
    def words(self) -> str:
        """`better`, `worse`, or `no difference that could be told`, of the first."""
        if not self.is_real:
            return "no difference that could be told"
        return "better" if self.difference < 0 else "worse"


def diebold_mariano(loss_a: Floats, loss_b: Floats, *, horizon: int) -> Comparison:
    """The Diebold-Mariano test of equal accuracy with the correction for small samples.

    Losses are in the order of time; those of forecasts that reach `horizon` steps ahead from every step depend on
    `horizon - 1` neighbours. Losses of whole blocks that do not overlap have a horizon of 1. Where the variance with
    all those covariances is not positive, Bartlett weights take their place, under which it cannot be negative. NaN
    losses are left out in pairs.

    Args:
        loss_a: losses of the first, float64 [n].
        loss_b: losses of the second, on the same targets, float64 [n].
        horizon: steps ahead, from 1.

    Returns:
        Without statistic and p-value where fewer than horizon + 2 losses are left or the differences do not vary; two
        forecasts with equal losses everywhere have a p-value of 1.

    Source: Diebold and Mariano (1995), "Comparing predictive accuracy", section 1; Harvey, Leybourne and Newbold
        (1997), "Testing the equality of prediction mean squared errors", equation 9.
    """
    assert loss_a.shape == loss_b.shape, "losses on the same targets"
    assert horizon >= 1, "a forecast reaches one step ahead or more"
    differences = loss_a - loss_b
    differences = differences[~np.isnan(differences)]
    n = len(differences)
    mean = float(differences.mean()) if n else math.nan
    if n and not differences.any():
        return Comparison(0.0, 0.0, 1.0, n)
    if n < horizon + 2 or np.ptp(differences) <= 1e-12 * abs(mean):
        return Comparison(mean, None, None, n)
    variance = _long_run_variance(differences - mean, horizon) / n
    correction = (n + 1 - 2 * horizon + horizon * (horizon - 1) / n) / n
    statistic = mean / math.sqrt(variance) * math.sqrt(correction)
    return Comparison(mean, statistic, float(2 * special.stdtr(n - 1, -abs(statistic))), n)


def _long_run_variance(centered: Floats, horizon: int) -> float:
    """Variance plus twice the covariances of `horizon - 1` lags, each over n."""
    n = len(centered)
    lags = np.arange(1, horizon)
    variance = float(centered @ centered) / n
    covariances = np.array([centered[lag:] @ centered[:-lag] for lag in lags]) / n
    plain = variance + 2 * float(covariances.sum())
    if plain > 1e-12 * variance:
        return plain
    return variance + 2 * float(((1 - lags / horizon) * covariances).sum())


def paired_bootstrap(
    loss_a: Floats, loss_b: Floats, clusters: Integers, *, seed: int, repeats: int = 10_000
) -> Comparison:
    """A test of equal mean loss where losses of one cluster depend on each other: a studentised bootstrap of clusters.

    Clusters (series, subjects) are drawn with replacement; how far the studentised mean difference strays from the
    observed one tells how large it would be between equals. NaN losses are left out in pairs.

    Args:
        loss_a: losses of the first, float64 [n].
        loss_b: losses of the second, on the same targets, float64 [n].
        clusters: the cluster of each, int64 [n].
        seed: of the resampling.
        repeats: resamples.

    Returns:
        Its `n` is the number of clusters. Without statistic and p-value with fewer than six or where the differences do
        not vary; equal losses everywhere have a p-value of 1.

    Source: Efron and Tibshirani (1993), "An introduction to the bootstrap", section 16.4; Cameron, Gelbach and Miller
        (2008), "Bootstrap-based improvements for inference with clustered errors", for clusters.
    """
    assert loss_a.shape == loss_b.shape == clusters.shape, "one cluster for each pair of losses"
    differences = loss_a - loss_b
    is_known = ~np.isnan(differences)
    differences = differences[is_known]
    names, cluster_of = np.unique(clusters[is_known], return_inverse=True)
    number = len(names)
    mean = float(differences.mean()) if number else math.nan
    if number and not differences.any():
        return Comparison(0.0, 0.0, 1.0, number)
    residuals = total_by(cluster_of, differences - mean, number)  # [clusters]
    sizes = total_by(cluster_of, np.ones(len(cluster_of)), number)
    error = _studentise(np.ones((1, number)), residuals, sizes)[1][0] if number > 1 else 0.0
    if number < FEWEST_CLUSTERS or error <= 1e-12 * abs(mean):
        return Comparison(mean, None, None, number)
    statistic = mean / float(error)
    share = _share_as_far(residuals, sizes, statistic, seed=seed, repeats=repeats)
    return Comparison(mean, statistic, share, number)


def _share_as_far(residuals: Floats, sizes: Floats, statistic: float, *, seed: int, repeats: int) -> float:
    """Share of resamples, the observed one among them, whose studentised distance reaches the statistic."""
    random = np.random.default_rng(seed)
    number, reached = len(residuals), 1
    for first in range(0, repeats, 1000):
        drawn = random.multinomial(number, np.full(number, 1 / number), size=min(1000, repeats - first))
        distances, errors = _studentise(drawn.astype(np.float64), residuals, sizes)
        # A resample without spread says nothing against any difference, so it counts as reaching it.
        reached += int((np.abs(distances) >= abs(statistic) * errors).sum())
    return reached / (repeats + 1)


def _studentise(weights: Floats, residuals: Floats, sizes: Floats) -> tuple[Floats, Floats]:
    """How far the mean difference strays under each weighting, and its standard error.

    Args:
        weights: how often each cluster is drawn, float64 [R, clusters].
        residuals: sum of each cluster's differences from the observed mean, float64 [clusters].
        sizes: losses in each cluster, float64 [clusters].

    Returns:
        Two float64 [R].
    """
    total = weights @ sizes
    distances = weights @ residuals / total
    crossed = distances * (weights @ (residuals * sizes))
    squares = weights @ residuals**2 - 2 * crossed + distances**2 * (weights @ sizes**2)
    number = len(sizes)
    return distances, np.sqrt(np.maximum(squares, 0.0) * number / (number - 1)) / total
