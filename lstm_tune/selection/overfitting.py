"""How likely the best trial of a search is no better than half of the others on data it was not chosen on.

Shape letters: B blocks, N trials, R splits into halves, U units.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from lstm_tune.selection.out_of_fold import Finish, Floats, OutOfFold, Pooled, Units, independent_units, scores
from lstm_tune.selection.rules import Rule, smallest

MOST_GROUPS = 16
"""Groups at most: 12,870 splits, as in the paper's examples; more cost time and say little more."""

FEWEST_UNITS = 8
"""Units that are needed: eight make 70 splits, six only 20."""

BATCH = 512
"""Splits at once."""


@dataclass(frozen=True)
class Overfitting:
    """How far the search overfitted the validation blocks.

    Attributes:
        probability: of backtest overfitting, 0 to 1; about 0.5 where the choice tells nothing, None with too few
            blocks.
        reason: what it rests on, or why there is none, in words.
    """

    probability: float | None
    reason: str


def backtest_overfitting(oof: OutOfFold, *, finish: Finish, rule: Rule = smallest) -> Overfitting:
    """The share of splits in which the trial chosen on one half is in the worse half of the trials on the other half.

    The blocks are put into an even number of groups, contiguous in time or of whole series in a panel
    (`independent_units`); every half of the groups chooses once and the other half judges. A rank exactly in the
    middle, as among trials that are all equal, counts as overfitted.

    Args:
        oof: N trials on B blocks; those without scores are left out.
        finish: applied to a fold's ratio.
        rule: what chooses; the best mean in the paper.

    Source: Bailey, Borwein, Lopez de Prado and Zhu (2015), "The probability of backtest overfitting", section 2
        (combinatorially symmetric cross-validation).
    """
    units = independent_units(oof)
    if int(np.isfinite(scores(oof, finish)).sum()) < 2:
        return Overfitting(None, "one trial cannot be overfitted by choosing")
    if units.number < FEWEST_UNITS:
        return Overfitting(None, f"{units.words()} were judged and {FEWEST_UNITS} are needed")
    groups = min(MOST_GROUPS, units.number - units.number % 2)
    halves = _halves(groups)
    contiguous = units.of_block * groups // units.number  # [B]
    pooled = Pooled(oof, Units(units.kind, contiguous, groups), finish)
    failed = [_is_overfitted(pooled, halves[i : i + BATCH], rule) for i in range(0, len(halves), BATCH)]
    reason = f"{len(halves):,} splits of {units.words()} in {groups} groups"
    return Overfitting(float(np.concatenate(failed).mean()), reason)


def _halves(groups: int) -> Floats:
    """All choices of half of the groups, as zeros and ones [R, groups]."""
    chosen = np.array(list(combinations(range(groups), groups // 2)))
    halves = np.zeros((len(chosen), groups))
    np.put_along_axis(halves, chosen, 1.0, axis=1)
    return halves


def _is_overfitted(pooled: Pooled, half: Floats, rule: Rule) -> Floats:
    """Whether the choice on a half ranks in the worse half on the other one, as zeros and ones [R]."""
    chosen = rule(pooled.scores(half))
    judged = pooled.scores(1 - half)[:, pooled.is_scored]  # [R, trials with scores]
    own = pooled.scores_of(1 - half, chosen)[:, None]
    # Two roundings of one value must count as equal.
    is_equal = np.isclose(judged, own, rtol=1e-9, atol=0.0)
    worse, equal = ((judged > own) & ~is_equal).sum(axis=1), is_equal.sum(axis=1)
    rank = worse + (equal + 1) / 2  # from 1, the worst; ties share theirs
    return np.asarray(rank / (judged.shape[1] + 1) <= 0.5, dtype=np.float64)
