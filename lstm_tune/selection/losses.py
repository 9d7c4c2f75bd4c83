"""The out-of-fold losses of a run's trials on disk: a part as each trial ends, one table when the search does."""

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lstm_tune.selection.out_of_fold import Floats, Integers, OutOfFold, from_table, to_table
from lstm_tune.spec.paths import RunPaths, write_atomically


@dataclass(frozen=True)
class Blocks:
    """The validation blocks that all trials share; a block is one forecast of one series.

    Attributes:
        folds: fold of each block, from 0, int64 [B].
        series: index of its series, int64 [B].
        steps: position of its first target step in the series, int64 [B].
    """

    folds: Integers
    series: Integers
    steps: Integers


class LossStore:
    """Keeps losses so that a crash loses none: a trial's part is on the disk before its end is told.

    Args:
        paths: the run's files.
        blocks: what the losses belong to.
    """

    def __init__(self, paths: RunPaths, blocks: Blocks) -> None:
        self._paths = paths
        self._blocks = blocks

    def keep(self, trial: int, losses: Floats) -> None:
        """Writes one trial's sums and counts, float64 [2, B]."""
        part = self._part(trial)
        part.parent.mkdir(exist_ok=True)
        buffer = io.BytesIO()
        np.save(buffer, losses, allow_pickle=False)
        write_atomically(part, buffer.getvalue())

    def collect(self, trials: Iterable[int]) -> OutOfFold:
        """The losses of those of the trials that have any, in rising order of their numbers."""
        table = self._table()
        rows = {int(trial): row for row, trial in enumerate(table.trials)} if table else {}
        found: dict[int, Floats] = {}
        for trial in sorted(trials):
            if self._part(trial).exists():
                found[trial] = np.load(self._part(trial), allow_pickle=False)
            elif table and trial in rows:
                found[trial] = np.stack([table.sums[rows[trial]], table.counts[rows[trial]]])
        losses = np.stack(list(found.values())) if found else np.zeros((0, 2, len(self._blocks.folds)))
        keys = self._blocks
        numbers = np.array(list(found), dtype=np.int64)
        return OutOfFold(numbers, losses[:, 0], losses[:, 1], keys.folds, keys.series, keys.steps)

    def write_table(self, trials: Iterable[int]) -> None:
        """Puts the losses of all trials into one table and removes the parts."""
        collected = self.collect(trials)
        buffer = io.BytesIO()
        to_table(collected).write_parquet(buffer)
        write_atomically(self._paths.out_of_fold, buffer.getvalue())
        for trial in collected.trials.tolist():
            self._part(trial).unlink(missing_ok=True)
        if self._paths.loss_parts.exists() and not any(self._paths.loss_parts.iterdir()):
            self._paths.loss_parts.rmdir()

    def _table(self) -> OutOfFold | None:
        path = self._paths.out_of_fold
        table = pl.read_parquet(path) if path.exists() else None
        return from_table(table, where=str(path)) if table is not None and table.height else None

    def _part(self, trial: int) -> Path:
        return self._paths.loss_parts / f"trial-{trial:05d}.npy"
