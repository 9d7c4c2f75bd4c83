"""What error to expect of the chosen trial on new data, and how far a test of a given size may fall from it.

Shape letters: B blocks, N trials, R resamples, U units.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special  # type: ignore[import-untyped]

from lstm_tune.selection.out_of_fold import (
    MANY_SERIES,
    Finish,
    Floats,
    Integers,
    OutOfFold,
    Pooled,
    Units,
    independent_units,
    scores,
    time_units,
)
from lstm_tune.selection.rules import Rule, scored_means

FEWEST_UNITS = 8
"""Units that a bootstrap needs: the range of eight exchangeable values holds a ninth with probability 7/9, so with
fewer an 80 % interval would have to reach beyond everything ever seen."""

FEWEST_TIMES = 3
"""Times that an interval needs: two leave one degree of freedom, and an interval wider than any use."""

MOST_PIECES = 50
"""Pieces that are left out in turn for the spread: more would change the choice by no more than 2 % of the data."""

BATCH = 128
"""Resamples at once: few enough that 6,000 blocks of 500 trials stay below 100 MB."""


@dataclass(frozen=True)
class Interval:
    """Where the error of a future test is expected to lie.

    Attributes:
        low: lower end in the metric's unit; None where no interval can be given.
        high: upper end; None likewise.
        reason: what it rests on, or why there is none, in words.
    """

    low: float | None
    high: float | None
    reason: str


@dataclass(frozen=True)
class Estimate:
    """What to expect of the trial that a rule chose.

    Attributes:
        naive: its own validation score: too good, as it was chosen for it.
        corrected: the expected error on new data, in the metric's unit.
        low: lower end of the interval for a future test's error; None where none can be given.
        high: upper end; None likewise.
        blocks: validation blocks it rests on.
        reason: how it was computed and what it lacks, in words.
    """

    naive: float
    corrected: float
    low: float | None
    high: float | None
    blocks: int
    reason: str


def bias_corrected(
    oof: OutOfFold,
    *,
    finish: Finish,
    rule: Rule,
    test_blocks: int,
    seed: int,
    repeats: int = 1000,
    level: float = 0.8,
) -> Estimate:
    """The expected error of whatever the rule chooses, free of the optimism of having chosen it, approximately.

    Units (`independent_units`: series, or runs of times) are drawn with replacement; the rule chooses on the units
    drawn and its choice is scored on those left out. Each of these scores is taken relative to the finally chosen
    trial's own on the same units, which leaves the expectation alone but takes out which units happened to be left out,
    and the bias of a nonlinear `finish` on few of them. With fewer than eight units the rule chooses on all folds but
    one and is scored on that one, for each fold.

    Args:
        oof: the trials among which the rule chooses, N of them on B blocks.
        finish: applied to a fold's ratio.
        rule: chooses on rows of mean scores [R, N].
        test_blocks: blocks of the test part that the interval is for, all series together.
        seed: of the resampling.
        repeats: R.
        level: share of future tests that the interval should hold.

    Returns:
        The estimate, in the metric's unit. With one trial nothing was chosen, and naive and corrected agree.

    Raises:
        SearchFailedError: no trial has a score.

    Source: Tsamardinos, Greasidou and Borboudakis (2018), "Bootstrapping the out-of-sample predictions for efficient
        and accurate cross-validation", algorithm 4; moving blocks as in Künsch (1989).
    """
    means = scored_means(oof, finish)
    winner = int(rule(means[None])[0])
    naive = float(means[winner])
    corrected, how = _corrected(oof, winner, finish=finish, rule=rule, seed=seed, repeats=repeats)
    spread = interval(
        _cross_chosen(oof, finish=finish, rule=rule),
        corrected,
        finish=finish,
        test_blocks=test_blocks,
        seed=seed,
        repeats=repeats,
        level=level,
    )
    return Estimate(naive, corrected, spread.low, spread.high, oof.blocks, f"{how}; {spread.reason}")


def _corrected(
    oof: OutOfFold, winner: int, *, finish: Finish, rule: Rule, seed: int, repeats: int
) -> tuple[float, str]:
    """The corrected estimate and how it was made."""
    units = independent_units(oof)
    naive = float(scores(oof, finish)[winner])
    if len(oof.trials) == 1:
        return naive, "nothing was chosen, so nothing is corrected"
    if units.number < FEWEST_UNITS:
        return _leave_one_out(oof, units, naive, finish=finish, rule=rule)
    pooled = Pooled(oof, units, finish)
    excess = np.concatenate([_excess(pooled, drawn, winner, rule) for drawn in resamples(units, seed, repeats)])
    how = f"chosen and scored on different ones of {units.words()} in {repeats:,} resamples"
    return naive + float(np.nanmean(excess)), how


def _excess(pooled: Pooled, drawn: Floats, winner: int, rule: Rule) -> Floats:
    """How much worse than the winner the rule's choice is on the units left out, [R]; NaN where none is left out."""
    left_out = (drawn == 0).astype(np.float64)
    chosen = rule(pooled.scores(drawn))
    return pooled.scores_of(left_out, chosen) - pooled.scores_of(left_out, np.full_like(chosen, winner))


def _leave_one_out(oof: OutOfFold, units: Units, naive: float, *, finish: Finish, rule: Rule) -> tuple[float, str]:
    """Chooses on all folds but one and scores on that one; by units where there is one fold."""
    folds = np.unique(oof.folds)
    groups, of_block = (folds, oof.folds) if len(folds) > 1 else (np.arange(units.number), units.of_block)
    what = "folds" if len(folds) > 1 else "blocks"
    if len(groups) < 2:
        return naive, "not corrected for the choice: one block cannot both choose and judge"
    held_out = []
    for group in groups:
        chosen = rule(scores(oof.within(of_block != group), finish)[None])
        held_out.append(scores(oof.within(of_block == group), finish)[chosen[0]])
    return float(np.mean(held_out)), f"chosen on all {what} but one and scored on that one, {len(groups)} times"


def _cross_chosen(oof: OutOfFold, *, finish: Finish, rule: Rule) -> OutOfFold:
    """One row of losses whose spread is not flattered: each block's are of the trial chosen without that block.

    The winner's own losses vary too little, as a trial is chosen for having had few bad ones.
    """
    units = _future_units(oof)
    pieces = np.arange(units.number) * min(units.number, MOST_PIECES) // units.number  # [U], contiguous
    without = (np.arange(pieces[-1] + 1)[:, None] != pieces).astype(np.float64)  # [P, U]
    means = Pooled(oof, units, finish).scores(without) if len(without) > 1 else scores(oof, finish)[None]
    chosen = rule(means)  # [P]
    rows, blocks = chosen[pieces[units.of_block]], np.arange(oof.blocks)
    losses = oof.sums[rows, blocks][None], oof.counts[rows, blocks][None]
    return OutOfFold(np.zeros(1, dtype=np.int64), *losses, oof.folds, oof.series, oof.steps)


def resamples(units: Units, seed: int, repeats: int) -> Iterator[Floats]:
    """How often each unit is drawn, float64 [R, U] in batches: runs of neighbours around a circle, U units in all."""
    random = np.random.default_rng(seed)
    for first in range(0, repeats, BATCH):
        drawn = _runs(units, min(BATCH, repeats - first), units.number, random)
        rows = np.repeat(np.arange(len(drawn)), drawn.shape[1])
        flat = np.bincount(rows * units.number + drawn.ravel(), minlength=len(drawn) * units.number)
        yield flat.reshape(len(drawn), units.number).astype(np.float64)


def _runs(units: Units, repeats: int, length: int, random: np.random.Generator) -> Integers:
    """Units drawn as runs of neighbours, int64 [R, length].

    Source: Politis and Romano (1992), "A circular block-resampling procedure for stationary data".
    """
    run = min(units.run, length)
    starts = random.integers(units.number, size=(repeats, math.ceil(length / run), 1))
    return ((starts + np.arange(run)) % units.number).reshape(repeats, -1)[:, :length]


def interval(
    oof: OutOfFold,
    center: float,
    *,
    finish: Finish,
    test_blocks: int,
    seed: int,
    repeats: int = 1000,
    level: float = 0.8,
) -> Interval:
    """Where one trial's error on a future test of the same kind is expected to lie, approximately.

    It holds the noise of a test of that size and that of the estimate. A later test of the same series differs from
    validation by its time, so the times are resampled, whole cross-sections of a panel together, and the series stay.
    Three cases:

    - eight times or more: a bootstrap of runs of times, its percentiles expanded for the small sample (Hesterberg);
    - fewer, but three or more: a t interval for the logarithm of a time's error. On 28 real series 80 % intervals from
      three to six blocks of the history held the error of the seasonal naive, the last value and the drift on the next
      block in 76 to 79 % of cases; the end is two to six times the beginning;
    - series that are each in one fold only (subjects, documents): a test holds other series, so series are resampled.

    Otherwise there is none, and the reason says so.

    Args:
        oof: one trial on B blocks; for a chosen one `bias_corrected` does better, as its own losses vary too little.
        center: its expected error, such as the corrected estimate.
        finish: applied to a ratio.
        test_blocks: blocks of the test, all series together.
        seed: of the resampling.
        repeats: R.
        level: share of future tests that the interval should hold.

    Source: Hesterberg (2015), "What teachers should know about the bootstrap", section 3.3, for the percentiles.
    """
    assert len(oof.trials) == 1, "an interval is one trial's"
    assert test_blocks > 0, "a test has at least one block"
    units = _future_units(oof)
    pooled = Pooled(oof, units, finish)
    size = max(1, round(test_blocks * units.number / oof.blocks))
    share = f"an approximate interval for {level:.0%} of tests of {units.words(size)}"
    if units.number >= FEWEST_UNITS:
        draws = center + _deviations(pooled, size, seed=seed, repeats=repeats)
        tail = _expanded_tail(units.number, level)
        low, high = np.quantile(draws, [tail, 1 - tail])
        return Interval(float(low), float(high), f"{share}, by a bootstrap of {units.words()}")
    if units.number < FEWEST_TIMES:
        return Interval(None, None, f"no interval: {units.words()} were judged and {FEWEST_TIMES} are needed")
    errors = _errors(pooled)
    if len(errors) < FEWEST_TIMES:
        problem = f"only {len(errors)} of {units.words()} hold true values and {FEWEST_TIMES} are needed"
        return Interval(None, None, f"no interval: {problem}")
    if not errors.all():
        return Interval(None, None, f"no interval: some of {units.words()} were forecast without any error")
    factor = _t_factor(np.log(errors), size, level)
    return Interval(center / factor, center * factor, f"{share}, by the spread over {units.words()}")


def score_interval(oof: OutOfFold, *, finish: Finish, seed: int, repeats: int = 1000, level: float = 0.8) -> Interval:
    """How far the score of a test may be from what endless tests of its kind would give, by a bootstrap of its blocks.

    Series are drawn where there are at least eight, runs of times otherwise; the percentiles are expanded for the small
    sample as in `interval`. Fewer than eight units give none: a resample of few knows nothing of the others.

    Args:
        oof: one model on the B blocks of the test, all of one fold.
        finish: applied to the ratio.
        seed: of the resampling.
        repeats: resamples.
        level: share of such intervals that should hold the endless score.
    """
    assert len(oof.trials) == 1, "an interval is one model's"
    units = independent_units(oof)
    if oof.blocks == 1:
        return Interval(None, None, "one forecast: no interval")
    if units.number < FEWEST_UNITS:
        return Interval(None, None, f"no interval: {units.words()} are too few")
    pooled = Pooled(oof, units, finish)
    draws = np.concatenate([pooled.scores(drawn)[:, 0] for drawn in resamples(units, seed, repeats)])
    tail = _expanded_tail(units.number, level)
    low, high = np.nanquantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high), f"{100 * level:.0f} % interval {low:.4g} to {high:.4g}")


def _future_units(oof: OutOfFold) -> Units:
    """What differs between validation and a future test: other series where each was judged in one fold, or times."""
    pairs = np.unique(np.stack((oof.series, oof.folds)), axis=1)
    names = np.unique(oof.series)
    is_cross_section = len(names) == pairs.shape[1] and len(np.unique(oof.folds)) > 1
    return independent_units(oof) if is_cross_section and len(names) >= MANY_SERIES else time_units(oof)


def _deviations(pooled: Pooled, size: int, *, seed: int, repeats: int) -> Floats:
    """Simulated errors of a test of `size` units less the expected error, [R]."""
    first = np.zeros(1, dtype=np.int64)
    every = pooled.scores_of(np.ones((1, pooled.units.number)), first)
    of_mean = np.concatenate([pooled.scores(drawn)[:, 0] for drawn in resamples(pooled.units, seed, repeats)]) - every
    sums, counts = pooled.totals(0)
    random = np.random.default_rng([seed, 1])
    of_test = []
    for batch in range(0, repeats, BATCH):
        drawn = _runs(pooled.units, min(BATCH, repeats - batch), size, random)
        counted = counts[drawn].sum(axis=1)
        ratio = np.divide(sums[drawn].sum(axis=1), counted, out=np.full(len(drawn), np.nan), where=counted > 0)
        of_test.append(pooled.finish(ratio) - every)
    deviations = of_mean + np.concatenate(of_test)
    return deviations[~np.isnan(deviations)]


def _expanded_tail(number: int, level: float) -> float:
    """Probability beyond each percentile such that a normal mean of `number` units would be covered exactly."""
    reach = special.stdtrit(number - 1, (1 + level) / 2) * math.sqrt(number / (number - 1))
    return float(special.ndtr(-reach))


def _errors(pooled: Pooled) -> Floats:
    """The error of each unit that holds a true value."""
    sums, counts = pooled.totals(0)
    return pooled.finish(sums[counts > 0] / counts[counts > 0])


def _t_factor(logarithms: Floats, size: int, level: float) -> float:
    """What a t prediction interval for `size` further units multiplies and divides by, from the errors' logarithms."""
    number = len(logarithms)
    reach = special.stdtrit(number - 1, (1 + level) / 2)
    return math.exp(reach * logarithms.std(ddof=1) * math.sqrt(1 / size + 1 / number))
