"""Whether the finalists forecast better together: greedy weights, kept only where they are proven out of bag.

Shape letters: M members, K folds, B blocks, R bags, U units, N mixtures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from lstm_tune.selection.estimates import FEWEST_UNITS, Estimate, resamples
from lstm_tune.selection.out_of_fold import Finish, Floats, Integers, OutOfFold, Pooled, Units, independent_units
from lstm_tune.selection.rules import Rule, smallest

MOST_DRAWS = 12
"""Draws of the greedy selection at most: a weight is then known to a twelfth, finer than a few networks can follow."""

BAGS = 200
"""Resamples of the units in which the ensemble and the single configuration are chosen and compared."""

LARGEST_WORSE = 0.1
"""Share of the bags in which a kept ensemble may not be better than a single configuration.

Simulated with 4, 12, 32 and 200 blocks and five members: of equal skill and with independent errors they were kept in
78, 100, 100 and 100 % of 40 runs; with errors correlated at 0.5 in 35, 90, 100 and 100 %, at 0.9 in 15, 7, 50 and
100 %, at 0.99 in 10 % at most; beside one member with errors half as large in 17, 7, 3 and 0 %, or in 3 % at most where
their errors are correlated at 0.5; and never where all forecast the same."""

FEWEST_GROUPS = 4
"""Groups of blocks that the comparison needs: of three, all favour the ensemble by chance in one of eight runs."""

Judge = Callable[[Sequence[Tensor]], tuple[Floats, Floats]]
"""Forecasts of each fold -> the metric's sums and counts of every block, two float64 [B]."""


@dataclass(frozen=True)
class Mixture:
    """A weighting of trials that forecast together.

    Attributes:
        weights: share of each member's forecast, by trial, the largest first; they add up to one.
        score: mean of the metric over the folds; too good, as the weights were chosen for it.
        gain: how much better it is out of bag than the configuration that the rule chooses there, in the metric's unit.
        worse: share of the bags in which it was not better than a single configuration.
    """

    weights: Mapping[int, float]
    score: float
    gain: float
    worse: float


def proven_mixture(
    forecasts: Mapping[int, Sequence[Tensor]],
    blocks: OutOfFold,
    judge: Judge,
    *,
    finish: Finish,
    rule: Callable[[OutOfFold], Rule],
    seed: int,
) -> Mixture | None:
    """The weights of an ensemble that is better than any single configuration by more than chance; else None.

    Weights come from greedy forward selection with replacement: members are drawn one by one, each time the one with
    which the mean forecast scores best, until none makes it better. Whether that pays is judged as in BBC-CV: on bags
    of units (series or runs of times) the ensemble is selected and a single configuration chosen, and both are scored
    on the units left out; with fewer than eight units each fold is left out in turn. It is kept when it holds more than
    one member, is better than the single configuration on average, and is not better in a tenth of the bags at most.
    The single configuration is the better one of the rule's choice and the best mean.

    The members' forecasts are of one network each, so that the ensemble's lead is partly what averaging the networks of
    one configuration would give too; the final model has as many networks either way.

    Args:
        forecasts: out-of-fold forecasts by trial, one tensor [E, ...] a fold, in the order of the blocks.
        blocks: the blocks, with the losses of the same trials or of others.
        judge: scores forecasts.
        finish: what the metric does with a fold's ratio.
        rule: how a single configuration is chosen among the members' losses.
        seed: of the resampling.

    Source: Caruana et al. (2004), "Ensemble selection from libraries of models", section 2; Tsamardinos, Greasidou and
        Borboudakis (2018), algorithm 4, for the bags.
    """
    if len(forecasts) < 2:
        return None
    mixtures, bags = _Mixtures(forecasts, blocks, judge), _bags(independent_units(blocks), blocks, seed)
    if len(bags.inside) < FEWEST_GROUPS:
        return None
    everything = np.ones((1, bags.units.number))
    drawn = _select(mixtures, bags.units, everything, finish)
    if np.count_nonzero(drawn) < 2:
        return None
    together = mixtures.scores_outside(_select(mixtures, bags.units, bags.inside, finish), bags, finish)
    by_rule, by_mean = _singles(mixtures, bags, rule, finish)
    lead = np.fmin(by_rule, by_mean) - together
    lead = lead[np.isfinite(lead)]
    if not len(lead) or lead.mean() <= 0 or (lead <= 0).mean() > LARGEST_WORSE:
        return None
    score = Pooled(mixtures.losses(drawn), bags.units, finish).scores(everything)[0, 0]
    shares = zip(forecasts, (drawn[0] / drawn.sum()).tolist(), strict=True)
    weights = {trial: share for trial, share in sorted(shares, key=lambda pair: -pair[1]) if share}
    return Mixture(weights, float(score), float(np.nanmean(by_rule - together)), float((lead <= 0).mean()))


def _singles(
    mixtures: "_Mixtures", bags: "_Bags", rule: Callable[[OutOfFold], Rule], finish: Finish
) -> tuple[Floats, Floats]:
    """The scores outside each bag of the rule's choice inside it and of the best mean; two float64 [R]."""
    singles = mixtures.singles()
    pooled = Pooled(singles, bags.units, finish)
    inside, outside = pooled.scores(bags.inside), pooled.scores(bags.outside)
    chosen = (choose(inside) for choose in (rule(singles), smallest))
    by_rule, by_mean = (np.take_along_axis(outside, one[:, None], axis=1)[:, 0] for one in chosen)
    return by_rule, by_mean


def claim_together(claim: Estimate, mixture: Mixture) -> Estimate:
    """What to expect of an ensemble: of the single choice, less the lead that the ensemble has over it out of bag.

    Args:
        claim: corrected for choosing a single configuration among all trials.
        mixture: the ensemble that is used in its place.
    """
    low, high = (None if end is None else end - mixture.gain for end in (claim.low, claim.high))
    reason = f"{claim.reason}; the ensemble's lead over that choice, {mixture.gain:.2g}, was found out of bag too"
    return Estimate(mixture.score, claim.corrected - mixture.gain, low, high, claim.blocks, reason)


def mixed(forecasts: Mapping[int, Sequence[Tensor]], weights: Mapping[int, float]) -> tuple[Tensor, ...]:
    """The weighted mean of some trials' forecasts, fold by fold."""
    folds = zip(*(forecasts[trial] for trial in weights), strict=True)
    shares = torch.tensor(list(weights.values()))
    return tuple(torch.tensordot(shares, torch.stack(fold), dims=1) for fold in folds)


@dataclass(frozen=True)
class _Bags:
    """Which units choose and which judge.

    Attributes:
        units: of the blocks.
        inside: how often each unit chooses, float64 [R, U].
        outside: whether it judges, float64 [R, U].
    """

    units: Units
    inside: Floats
    outside: Floats


def _bags(units: Units, blocks: OutOfFold, seed: int) -> _Bags:
    if units.number >= FEWEST_UNITS:
        inside = np.concatenate(list(resamples(units, seed, BAGS)))
        return _Bags(units, inside, (inside == 0).astype(np.float64))
    folds, numbers = np.unique(blocks.folds, return_inverse=True)
    by_fold = Units("times", numbers.astype(np.int64), len(folds))
    outside = np.eye(len(folds))
    return _Bags(by_fold, 1 - outside, outside)


class _Mixtures:
    """Losses of mixtures, each judged once however many bags ask for it."""

    def __init__(self, forecasts: Mapping[int, Sequence[Tensor]], blocks: OutOfFold, judge: Judge) -> None:
        self._trials = np.array(list(forecasts), dtype=np.int64)
        self._folds = [torch.stack(fold) for fold in zip(*forecasts.values(), strict=True)]
        self._blocks = blocks
        self._judge = judge
        self._known: dict[tuple[int, ...], tuple[Floats, Floats]] = {}

    @property
    def members(self) -> int:
        """M."""
        return len(self._folds[0])

    def singles(self) -> OutOfFold:
        """The losses of the members by themselves, M rows."""
        return replace(self.losses(np.eye(self.members, dtype=np.int64)), trials=self._trials)

    def losses(self, draws: Integers) -> OutOfFold:
        """The losses of mixtures given by how often each member was drawn, int64 [N, M]."""
        found = [self._loss(tuple(row)) for row in draws.tolist()]
        sums, counts = (np.stack(column) for column in zip(*found, strict=True))
        blocks = self._blocks
        return OutOfFold(np.arange(len(draws)), sums, counts, blocks.folds, blocks.series, blocks.steps)

    def scores_outside(self, draws: Integers, bags: _Bags, finish: Finish) -> Floats:
        """The score outside each bag of the mixture [R, M] that was selected inside, float64 [R]."""
        distinct, row = np.unique(draws, axis=0, return_inverse=True)
        scores = Pooled(self.losses(distinct), bags.units, finish).scores(bags.outside)
        found: Floats = np.take_along_axis(scores, row.reshape(-1, 1), axis=1)[:, 0]
        return found

    def _loss(self, draws: tuple[int, ...]) -> tuple[Floats, Floats]:
        if draws not in self._known:
            shares = torch.tensor(draws, dtype=torch.float32) / sum(draws)
            self._known[draws] = self._judge([torch.tensordot(shares, fold, dims=1) for fold in self._folds])
        return self._known[draws]


def _select(mixtures: _Mixtures, units: Units, weights: Floats, finish: Finish) -> Integers:
    """How often greedy selection draws each member under each weighting of the units [R, U]; int64 [R, M]."""
    bags = np.arange(len(weights))
    drawn = np.zeros((len(weights), mixtures.members), dtype=np.int64)
    best = np.full(len(weights), np.inf)
    for _ in range(MOST_DRAWS):
        tried = drawn[bags][:, None] + np.eye(mixtures.members, dtype=np.int64)  # [R', M, M]
        distinct, row = np.unique(tried.reshape(-1, mixtures.members), axis=0, return_inverse=True)
        scores = Pooled(mixtures.losses(distinct), units, finish).scores(weights[bags])  # [R', N]
        found = np.take_along_axis(scores, row.reshape(len(bags), -1), axis=1)
        choice = smallest(found)
        reached = np.take_along_axis(found, choice[:, None], axis=1)[:, 0]
        goes_on = reached < best[bags]
        bags, choice = bags[goes_on], choice[goes_on]
        best[bags] = reached[goes_on]
        drawn[bags, choice] += 1
        if not len(bags):
            break
    return drawn
