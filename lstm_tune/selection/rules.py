"""Which of the trials a rule chooses, on all blocks or on many resamples of them at once.

Shape letters: N trials, R resamples, U units.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import special  # type: ignore[import-untyped]

from lstm_tune.selection.out_of_fold import (
    Finish,
    Floats,
    Integers,
    OutOfFold,
    Pooled,
    Units,
    independent_units,
    scores,
)
from lstm_tune.spec.errors import SearchFailedError

FEWEST_UNITS = 4
"""Units that a standard error needs: with fewer than four differences it is itself off by half or more."""

DOUBT = 0.1
"""Probability, at most, that a search among configurations no better than the defaults takes one of them to be better.
About half of those turn out to be worse than the defaults, so one search in twenty does."""


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
class DefaultTrial:
    """The trial of the default configuration.

    Attributes:
        trial: its number.
        rivals: how many others were tried, those that were stopped early among them. Each had a chance to be lucky.
    """

    trial: int
    rivals: int

    @property
    def level(self) -> float:
        """At which one rival must be proven better, so that all together keep within `DOUBT`.

        Source: Dunn (1961), "Multiple comparisons among means", for the bound of Bonferroni.
        """
        return DOUBT / max(self.rivals, 1)


@dataclass(frozen=True)
class Defaults:
    """The configuration that stays unless the search proves another one better.

    Attributes:
        index: row of its trial.
        proof: how much better than it trial n must be, float64 [N].
    """

    index: int
    proof: Floats


@dataclass(frozen=True)
class FewestWithin:
    """The rule of one standard error: the fewest parameters among the trials that are hardly worse than the best.

    Attributes:
        margins: how much worse than trial n trial m may be, float64 [N, N]; one standard error of their difference.
        parameters: free parameters, int64 [N].
        defaults: what stays unless one of these trials is proven better; None where there is nothing to stay with.
    """

    margins: Floats
    parameters: Integers
    defaults: Defaults | None = None

    def __call__(self, means: Floats) -> Integers:
        """Chooses for each row of mean scores [R, N]; of equally small networks the better, of equals the first."""
        best = smallest(means)
        limit = np.take_along_axis(means, best[:, None], axis=1) + self.margins[best]  # [R, N]
        is_near = means <= limit
        is_near[np.arange(len(best)), best] = True
        if self.defaults is None:
            return self._smallest(means, is_near)
        gain = means[:, [self.defaults.index]] - means  # [R, N]
        is_near &= ~(gain <= self.defaults.proof)  # NaN, where the defaults have no score, proves enough
        return np.where(is_near.any(axis=1), self._smallest(means, is_near), self.defaults.index)

    def _smallest(self, means: Floats, is_near: NDArray[np.bool_]) -> Integers:
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


def one_standard_error(
    oof: OutOfFold, parameters: Integers, *, finish: Finish, defaults: DefaultTrial | None = None
) -> Selected:
    """The fewest parameters among the trials within one standard error of the best, if proven better than the defaults.

    The standard error is that of the paired difference from the best trial (`paired_errors`). A trial replaces the
    default configuration only where a one-sided paired t test says that it is better, at a level that is the stricter
    the more were tried (`DefaultTrial.level`): a search among equals picks one of them by luck, and then the well-tried
    one is the better guess. With fewer than four independent units there is no standard error worth the name: the
    defaults stay, or without them the best mean is chosen.

    Args:
        oof: N trials on B blocks.
        parameters: free parameters of each trial's network, int64 [N].
        finish: applied to a fold's ratio.
        defaults: the trial with the default configuration, if it is one of them.

    Raises:
        SearchFailedError: no trial has a score.

    Source: Breiman, Friedman, Olshen and Stone (1984), "Classification and Regression Trees", section 3.4.3; paired
        differences as in Hastie, Tibshirani and Friedman (2009), "The Elements of Statistical Learning", section 7.10.
    """
    units = independent_units(oof)
    best = best_mean(oof, finish=finish)
    means = scores(oof, finish)
    rule = one_standard_error_rule(oof, parameters, finish=finish, defaults=defaults)
    index = int(rule(means[None])[0])
    if rule.defaults and index == rule.defaults.index:
        return Selected(index, int(oof.trials[index]), _defaults_stay(means, index, best, units))
    if units.number < FEWEST_UNITS:
        reason = f"{best.reason}; {units.words()} are too few for the one-standard-error rule"
        return Selected(best.index, best.trial, reason)
    if index == best.index:
        return Selected(index, best.trial, f"{best.reason}; no smaller network comes within one standard error of it")
    margin = rule.margins[best.index, index]
    reason = (
        f"the fewest parameters ({parameters[index]:,}) within one standard error ({margin:.2g}, paired over"
        f" {units.words()}) of trial {best.trial}, {means[index]:.4g} beside {means[best.index]:.4g}"
        f" with {parameters[best.index]:,}"
    )
    return Selected(index, int(oof.trials[index]), reason)


def _defaults_stay(means: Floats, index: int, best: Selected, units: Units) -> str:
    if index == best.index:
        return f"{best.reason}, which the default configuration has"
    found = f"{means[best.index]:.4g} of trial {best.trial} beside {means[index]:.4g}"
    if units.number < FEWEST_UNITS:
        return f"the default configuration: {units.words()} are too few to prove another one better ({found})"
    return f"the default configuration: no other is better by more than chance over {units.words()} ({found})"


def one_standard_error_rule(
    oof: OutOfFold, parameters: Integers, *, finish: Finish, defaults: DefaultTrial | None = None
) -> FewestWithin:
    """The same rule for resamples of these trials.

    The margins come from all blocks: a resample's own would differ little and cost a product of matrices each. With too
    few units they are zero, so the best is chosen, and nothing proves the defaults worse.
    """
    units = independent_units(oof)
    has_error = units.number >= FEWEST_UNITS
    margins = paired_errors(oof, finish=finish) if has_error else np.zeros((len(parameters), len(parameters)))
    if defaults is None or defaults.trial not in oof.trials:
        return FewestWithin(margins, parameters)
    index, proof = int(np.flatnonzero(oof.trials == defaults.trial)[0]), np.full(len(parameters), np.inf)
    if has_error:
        proof = margins[index] * special.stdtrit(units.number - 1, 1 - defaults.level)
    return FewestWithin(margins, parameters, Defaults(index, proof))


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
