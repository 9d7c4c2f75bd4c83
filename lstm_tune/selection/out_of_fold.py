"""How every finished trial did on every validation block: what selection, estimates and tests are computed from.

Smaller scores are better throughout. Shape letters: N trials, B blocks, C cells, K folds, R resamples, U units.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.spec.errors import InputError

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Finish = Callable[[Floats], Floats]
"""What a metric does with the ratio of its sums, elementwise on an array: the identity, `numpy.sqrt`, a factor."""

MANY_SERIES = 8
"""Series from which on they, and not times, are the independent units: fewer say too little about one another."""

SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "trial": pl.Int64,
    "fold": pl.Int64,
    "series": pl.Int64,
    "step": pl.Int64,
    "sum": pl.Float64,
    "count": pl.Float64,
}


@dataclass(frozen=True)
class OutOfFold:
    """A metric before its ratio is taken, on the blocks that all trials share; a block is one forecast of one series.

    Attributes:
        trials: their numbers, int64 [N].
        sums: numerators at each trial's best epoch, float64 [N, B]; NaN where the trial has none.
        counts: denominators, float64 [N, B]; zero for a block without a valid target.
        folds: fold of each block, in the order of time, int64 [B].
        series: index of its series, int64 [B].
        steps: position of its first target step in the series, int64 [B].
    """

    trials: Integers
    sums: Floats
    counts: Floats
    folds: Integers
    series: Integers
    steps: Integers

    def __post_init__(self) -> None:
        shape = len(self.trials), len(self.folds)
        assert self.sums.shape == self.counts.shape == shape, "sums and counts are [trials, blocks]"
        assert self.series.shape == self.steps.shape == self.folds.shape, "a block has a fold, a series and a step"

    @property
    def blocks(self) -> int:
        """Number of blocks."""
        return len(self.folds)

    def of(self, trials: Iterable[int]) -> "OutOfFold":
        """The rows of these trials, in the order given.

        Raises:
            KeyError: a trial has no row.
        """
        row_of = {int(trial): row for row, trial in enumerate(self.trials)}
        rows = np.array([row_of[trial] for trial in trials], dtype=np.int64)
        return OutOfFold(self.trials[rows], self.sums[rows], self.counts[rows], self.folds, self.series, self.steps)

    def within(self, blocks: NDArray[np.bool_]) -> "OutOfFold":
        """All trials on some of the blocks, bool [B]."""
        return OutOfFold(
            self.trials,
            self.sums[:, blocks],
            self.counts[:, blocks],
            self.folds[blocks],
            self.series[blocks],
            self.steps[blocks],
        )


def scores(oof: OutOfFold, finish: Finish) -> Floats:
    """What the search saw: each trial's mean over the folds of the finished ratio of sums.

    Args:
        oof: N trials on B blocks.
        finish: applied to the ratios.

    Returns:
        Float64 [N], in the metric's unit; NaN where a sum is NaN or a fold counts nothing.
    """
    folds = [oof.folds == fold for fold in np.unique(oof.folds)]
    ratios = [_ratio(oof.sums[:, fold].sum(axis=1), oof.counts[:, fold].sum(axis=1)) for fold in folds]
    means: Floats = np.mean([finish(ratio) for ratio in ratios], axis=0)
    return means


def _ratio(sums: Floats, counts: Floats) -> Floats:
    """Sums over counts, NaN where nothing counts; the shapes broadcast."""
    shape = np.broadcast_shapes(sums.shape, counts.shape)
    empty: Floats = np.full(shape, np.nan)
    return np.divide(sums, counts, out=empty, where=np.broadcast_to(counts > 0, shape))


@dataclass(frozen=True)
class Units:
    """Which blocks are drawn together because their losses depend on each other.

    Attributes:
        kind: `series`: independent of each other; `times`: cross-sections of all series, neighbours depend.
        of_block: unit of each block, int64 [B]; times are numbered in their order.
        number: U.
    """

    kind: Literal["series", "times"]
    of_block: Integers
    number: int

    @property
    def run(self) -> int:
        """Neighbouring units that are drawn as one: the cube root of their number, for times.

        Source: Künsch (1989), "The jackknife and the bootstrap for general stationary observations", section 3.
        """
        return max(1, round(self.number ** (1 / 3))) if self.kind == "times" else 1

    def words(self, number: int | None = None) -> str:
        """So many of them, or all, for a sentence: `20 series`, `1 point in time`."""
        number = self.number if number is None else number
        if self.kind == "series":
            return f"{number:,} series"
        return f"{number:,} point{'' if number == 1 else 's'} in time"


def independent_units(oof: OutOfFold) -> Units:
    """The units that trials are compared over: the series where they are many, or else the times."""
    names, of_block = np.unique(oof.series, return_inverse=True)
    if len(names) >= MANY_SERIES:
        return Units("series", of_block.astype(np.int64), len(names))
    return time_units(oof)


def time_units(oof: OutOfFold) -> Units:
    """Cross-sections: the n-th blocks of a fold of all series are one unit, whatever the series' lengths."""
    order = np.lexsort((oof.steps, oof.series, oof.folds))
    cell = np.stack((oof.folds[order], oof.series[order]))  # [2, B]
    is_first = np.r_[True, (cell[:, 1:] != cell[:, :-1]).any(axis=0)]
    position = np.arange(oof.blocks)
    rank = np.empty(oof.blocks, dtype=np.int64)
    rank[order] = position - np.maximum.accumulate(np.where(is_first, position, 0))
    times, of_block = np.unique(np.stack((oof.folds, rank)), axis=1, return_inverse=True)
    return Units("times", of_block.reshape(-1).astype(np.int64), times.shape[1])


def total_by(groups: Integers, values: Floats, number: int) -> Floats:
    """Sum of the values [n] in each of `number` groups [n]; float64 [number]."""
    return np.bincount(groups, values, number).astype(np.float64)


class Pooled:
    """Sums and counts by fold and unit, ready to be scored under many weightings of the units at once.

    A trial with a NaN keeps its place and scores NaN.

    Args:
        oof: N trials on B blocks.
        units: U units of the blocks.
        finish: applied to a fold's ratio.
    """

    def __init__(self, oof: OutOfFold, units: Units, finish: Finish) -> None:
        key = np.unique(oof.folds, return_inverse=True)[1] * units.number + units.of_block
        order = np.argsort(key, kind="stable")
        cells, firsts = np.unique(key[order], return_index=True)
        self.finish = finish
        self.units = units
        self.is_scored: NDArray[np.bool_] = np.all(np.isfinite(oof.sums + oof.counts), axis=1)
        self._folds, self._unit_of = np.divmod(cells, units.number)
        # Most metrics count the same for every trial: one row then stands for all.
        is_same = bool((oof.counts == oof.counts[:1]).all())
        self._sums = np.add.reduceat(np.where(self.is_scored[:, None], oof.sums, 0.0)[:, order], firsts, axis=1)
        counts = oof.counts[:1] if is_same else np.where(self.is_scored[:, None], oof.counts, 0.0)
        self._counts = np.add.reduceat(counts[:, order], firsts, axis=1)  # [N or 1, C]

    @cached_property
    def _columns(self) -> list[NDArray[np.bool_]]:
        return [self._folds == fold for fold in np.unique(self._folds)]

    def scores(self, weights: Floats) -> Floats:
        """Every trial under every weighting: the mean over those folds that have weight.

        Args:
            weights: float64 [R, U], not negative.

        Returns:
            Float64 [R, N]; NaN for a trial without scores and where nothing has weight.
        """
        total = np.zeros((len(weights), len(self._sums)))
        folds = np.zeros((len(weights), 1))
        for columns in self._columns:
            chosen = weights[:, self._unit_of[columns]]
            counts = chosen @ self._counts[:, columns].T  # [R, N or 1]
            ratio = _ratio(chosen @ self._sums[:, columns].T, counts)  # [R, N]
            total += np.where(counts > 0, self.finish(ratio), 0.0)
            folds = folds + (counts > 0)
        mean = _ratio(total, folds)
        mean[:, ~self.is_scored] = np.nan
        return mean

    def scores_of(self, weights: Floats, rows: Integers) -> Floats:
        """One trial under each weighting.

        Args:
            weights: float64 [R, U].
            rows: the trial scored under each, int64 [R].

        Returns:
            Float64 [R]; NaN where nothing has weight.
        """
        firsts = np.flatnonzero(np.r_[True, np.diff(self._folds) > 0])
        chosen = weights[:, self._unit_of]  # [R, C]
        sums = np.add.reduceat(chosen * self._sums[rows], firsts, axis=1)  # [R, K]
        counts = np.add.reduceat(chosen * self._counts[rows % len(self._counts)], firsts, axis=1)
        finished = np.where(counts > 0, self.finish(_ratio(sums, counts)), 0.0)
        return _ratio(finished.sum(axis=1), (counts > 0).sum(axis=1).astype(np.float64))

    def totals(self, row: int) -> tuple[Floats, Floats]:
        """Sums and counts of one trial in each unit, all folds together; two float64 [U]."""
        sums, counts = self._sums[row], self._counts[row % len(self._counts)]
        size = self.units.number
        return total_by(self._unit_of, sums, size), total_by(self._unit_of, counts, size)

    def contributions(self) -> Floats:
        """How much each unit moves each trial's score from its mean, to first order.

        A fold's score is linearised in its sums and counts; the folds themselves are drawn too, so a fold that is
        harder than the others moves the score although it is the only block there.

        Returns:
            Float64 [N, U]; each row adds up to zero; zeros for a trial without scores.
        """
        every = self.scores(np.ones((1, self.units.number))).T  # [N, 1]
        moved = np.zeros((len(self._sums), self.units.number))
        for columns in self._columns:
            sums, counts = self._sums[:, columns], self._counts[:, columns]
            total = counts.sum(axis=1, keepdims=True)
            ratio = _ratio(sums.sum(axis=1, keepdims=True), total)  # [N, 1]
            share = _ratio(counts, np.broadcast_to(total, counts.shape))
            change = share * (self.finish(ratio) - every) + self._slope(ratio) * (_ratio(sums, total) - ratio * share)
            moved[:, self._unit_of[columns]] += np.where(np.isfinite(change), change, 0.0)
        return moved / len(self._columns)

    def _slope(self, ratio: Floats) -> Floats:
        """Derivative of `finish` by a central difference; zero at a ratio of zero, where a root has none."""
        step = np.where(ratio == 0, 1.0, 1e-5 * np.abs(ratio))
        rise = self.finish(np.abs(ratio) + step) - self.finish(np.abs(ratio) - np.where(ratio == 0, 0.0, step))
        return np.where(ratio == 0, 0.0, rise / (2 * step))


def to_table(oof: OutOfFold) -> pl.DataFrame:
    """One row a trial and block, with the columns of `SCHEMA`."""
    number = len(oof.trials)
    columns = {
        "trial": np.repeat(oof.trials, oof.blocks),
        "fold": np.tile(oof.folds, number),
        "series": np.tile(oof.series, number),
        "step": np.tile(oof.steps, number),
        "sum": oof.sums.ravel(),
        "count": oof.counts.ravel(),
    }
    return pl.DataFrame(columns, schema=SCHEMA)


def from_table(table: pl.DataFrame, *, where: str = "out_of_fold.parquet") -> OutOfFold:
    """The losses of a table, in the order of trials, and of folds, series and steps.

    Args:
        table: as `to_table` made it; the rows may stand in any order.
        where: the table's file, for the message.

    Raises:
        InputError: the trials do not share the same blocks, each once.
    """
    ordered = table.select(*SCHEMA).sort("trial", "fold", "series", "step")
    trials = ordered["trial"].unique(maintain_order=True).to_numpy()
    keys = ordered.select("fold", "series", "step").to_numpy()  # [N * B, 3]
    blocks = len(keys) // max(len(trials), 1)
    first = keys[:blocks]
    is_whole = len(keys) == blocks * len(trials) and np.array_equal(keys, np.tile(first, (len(trials), 1)))
    if not is_whole or not np.array_equal(np.repeat(trials, blocks), ordered["trial"].to_numpy()):
        raise InputError.at(
            where, "every trial must hold the same blocks, each once; the file was changed or damaged. Restore it"
        )
    sums, counts = (ordered[name].to_numpy().reshape(len(trials), blocks) for name in ("sum", "count"))
    return OutOfFold(trials, sums, counts, *first.T)
