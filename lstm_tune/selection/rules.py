"""Which of the trials a rule chooses, on all blocks or on many resamples of them at once.

Shape letters: N trials, R resamples, U units.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lstm_tune.selection.out_of_fold import Finish, Floats, Integers, OutOfFold, Pooled, independent_units, scores
from lstm_tune.spec.errors import SearchFailedError

FEWEST_UNITS = 4
"""Units that a standard error needs: with fewer than four differences it is itself off by half or more."""


class Rule(Protocol):
    """Chooses one trial for each row of scores."""

    def __call__(self, means: Floats) -> Integers:
        """The chosen trial's index, int64 [R], for mean scores float64 [R, N]; a NaN is never chosen."""


@dataclass(frozen=True)
class Selected:
    """What a rule chose.

    Attributes:
        index: row of the trial.
        trial: its number.
        reason: the rule, in words.
    """

    index: int
    trial: int
    reason: str


def smallest(means: Floats) -> Integers:
    """The rule of the best mean: the smallest score, the first of equals.

    Args:
        means: float64 [R, N], NaN for a trial that must not be chosen.
    """
    chosen: Integers = np.argmin(np.where(np.isnan(means), np.inf, means), axis=1)
    return chosen


@dataclass(frozen=True)
class FewestWithin:
    """The rule of one standard error: the fewest parameters among the trials that are hardly worse than the best.

    Attributes:
        margins: how much worse than trial n trial m may be, float64 [N, N]; one standard error of their difference.
        parameters: free parameters, int64 [N].
    """

    margins: Floats
    parameters: Integers

    def __call__(self, means: Floats) -> Integers:
        """Chooses for each row of mean scores [R, N]; of equally small networks the better, of equals the first."""
        best = smallest(means)
        limit = np.take_along_axis(means, best[:, None], axis=1) + self.margins[best]  # [R, N]
        is_near = means <= limit
        is_near[np.arange(len(best)), best] = True
        sizes = np.where(is_near, self.parameters, np.iinfo(np.int64).max)
        return smallest(np.where(sizes == sizes.min(axis=1, keepdims=True), means, np.nan))


def best_mean(oof: OutOfFold, *, finish: Finish) -> Selected:
    """The trial with the best mean over the folds.

    Raises:
        SearchFailedError: no trial has a score.
    """
    means = scored_means(oof, finish)
    index = int(smallest(means[None])[0])
    return Selected(index, int(oof.trials[index]), f"the best fold mean, {means[index]:.4g}")


def one_standard_error(oof: OutOfFold, parameters: Integers, *, finish: Finish) -> Selected:
    """The fewest parameters among the trials within one standard error of the best.

    The standard error is that of the paired difference from the best trial (`paired_errors`). With fewer than
    four independent units there is none worth the name and the best mean is chosen.

    Args:
        oof: N trials on B blocks.
        parameters: free parameters of each trial's network, int64 [N].
        finish: applied to a fold's ratio.

    Raises:
        SearchFailedError: no trial has a score.

    Source: Breiman, Friedman, Olshen and Stone (1984), "Classification and Regression Trees", section 3.4.3; paired
        differences as in Hastie, Tibshirani and Friedman (2009), "The Elements of Statistical Learning", section 7.10.
    """
    units = independent_units(oof)
    best = best_mean(oof, finish=finish)
    if units.number < FEWEST_UNITS:
        reason = f"{best.reason}; {units.words()} are too few for the one-standard-error rule"
        return Selected(best.index, best.trial, reason)
    means = scores(oof, finish)
    rule = one_standard_error_rule(oof, parameters, finish=finish)
    index = int(rule(means[None])[0])
    if index == best.index:
        return Selected(index, best.trial, f"{best.reason}; no smaller network comes within one standard error of it")
    margin = rule.margins[best.index, index]
    reason = (
        f"the fewest parameters ({parameters[index]:,}) within one standard error ({margin:.2g}, paired over"
        f" {units.words()}) of trial {best.trial}, {means[index]:.4g} beside {means[best.index]:.4g}"
        f" with {parameters[best.index]:,}"
    )
    return Selected(index, int(oof.trials[index]), reason)


def one_standard_error_rule(oof: OutOfFold, parameters: Integers, *, finish: Finish) -> FewestWithin:
    """The same rule for resamples of these trials; with too few units its margins are zero, so the best is chosen.

    The margins come from all blocks: a resample's own would differ little and cost a product of matrices each.
    """
    units = independent_units(oof)
    if units.number < FEWEST_UNITS:
        return FewestWithin(np.zeros((len(parameters), len(parameters))), parameters)
    return FewestWithin(paired_errors(oof, finish=finish), parameters)


def paired_errors(oof: OutOfFold, *, finish: Finish) -> Floats:
    """Standard errors of the differences between all pairs of trials.

    Forecasts of one series depend on each other. In a panel of eight or more series the series are the clusters;
    otherwise the times are (all series at one time together), and the covariance between neighbours is added with
    Bartlett weights, as sums over runs around a circle. As that covariance is biased downwards in short histories, the
    error is never taken to be smaller than without it.

    Returns:
        Float64 [N, N], symmetric, in the metric's unit; zeros for a trial without scores.

    Source: Newey and West (1987), "A simple, positive semi-definite, heteroskedasticity and autocorrelation consistent
        covariance matrix"; Liang and Zeger (1986), "Longitudinal data analysis using generalized linear models", for
        clusters.
    """
    units = independent_units(oof)
    moved = Pooled(oof, units, finish).contributions()  # [N, U]
    variances = _differences(moved @ moved.T)
    if units.run > 1:
        around = np.concatenate((np.zeros((len(moved), 1)), moved, moved[:, : units.run - 1]), axis=1).cumsum(axis=1)
        runs = around[:, units.run :] - around[:, : -units.run]  # [N, U], sums of neighbours
        variances = np.maximum(variances, _differences(runs @ runs.T) / units.run)
    variances = variances * units.number / max(units.number - 1, 1)
    return np.sqrt(np.maximum(variances, 0.0))


def _differences(products: Floats) -> Floats:
    """Squared length of each difference of two rows, from their inner products [N, N]."""
    squares = np.diagonal(products)
    return squares[:, None] + squares[None, :] - 2 * products


def scored_means(oof: OutOfFold, finish: Finish) -> Floats:
    """Each trial's mean score [N], NaN where it has none.

    Raises:
        SearchFailedError: none has one.
    """
    means = scores(oof, finish)
    if np.isnan(means).all():
        raise SearchFailedError(
            "No trial has a score on every fold, so none can be chosen. Look at the trials' reasons"
        )
    return means
