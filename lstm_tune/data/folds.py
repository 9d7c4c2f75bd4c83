"""Rolling-origin folds: which steps of every series train, which judge, and which stay locked.

Blocks are counted back from the end of each series, so a panel of unequal lengths is judged on everyone's latest steps.
With K folds and a test part the steps of one series are

    |<- training of fold 1 ->| gap | block 1 | block 2 | ... | block K | test |

and fold k trains on everything up to `gap` steps before block k.
"""

from dataclasses import dataclass

import numpy as np

from lstm_tune.data.panel import Integers
from lstm_tune.spec.errors import Fault, InputError

LARGEST_AUTO_BLOCK = 8
"""Horizons in an automatic validation block at most: more origins cost evaluation time and say little more."""

AUTO_BLOCK_SHARE = 0.4
"""Share of the median series that the automatic blocks of all folds may take together."""


@dataclass(frozen=True)
class Fold:
    """One split of every series, in steps from the start of the series.

    A series that is too short to take part has all three at zero.

    Attributes:
        train_ends: first step that no training target reaches, int64 [S].
        starts: first step of the validation block, int64 [S].
        ends: first step after it, int64 [S].
    """

    train_ends: Integers
    starts: Integers
    ends: Integers

    @property
    def series(self) -> int:
        """Number of series that take part."""
        return int((self.ends > self.starts).sum())


@dataclass(frozen=True)
class Split:
    """All folds of an experiment and its locked test part.

    Attributes:
        folds: in the order of time.
        test: trains on all development steps up to the gap and judges on the test part. Without a test part its block
            is empty and it trains on every step: nothing is judged that a gap would have to keep apart.
        block: steps of one validation block.
    """

    folds: tuple[Fold, ...]
    test: Fold
    block: int


def auto_block(lengths: Integers, *, horizon: int, folds: int, test: int) -> int:
    """Steps of a validation block: a whole number of horizons, between 1 and 8, within 40 % of the median history.

    Args:
        lengths: steps of history of each series.
        horizon: steps of a forecast.
        folds: number of folds.
        test: steps of the test part.
    """
    development = float(np.median(lengths)) - test
    horizons = int(AUTO_BLOCK_SHARE * development / (folds * horizon))
    return horizon * min(max(horizons, 1), LARGEST_AUTO_BLOCK)


def split_panel(lengths: Integers, *, horizon: int, folds: int, block: int, gap: int, test: int) -> Split:
    """The folds of a panel.

    Args:
        lengths: steps of history of each series, int64 [S].
        horizon: steps of a forecast; for the message only.
        folds: K.
        block: steps of one validation block.
        gap: steps between training targets and validation targets.
        test: steps of the locked test part.

    Returns:
        The folds; a series takes part in a fold when two or more training steps remain for it.

    Raises:
        InputError: no series is long enough for every fold.
    """
    needed = test + folds * block + gap + 2
    longest = int(lengths.max())
    if longest < needed:
        problem = (
            f"{folds} folds of {block} steps, a gap of {gap} and a test part of {test} need a series of at least"
            f" {needed} steps; the longest has {longest}. Lower validation.folds, validation.test or task.horizon"
            f" ({horizon})"
        )
        raise InputError([Fault("validation", problem)])
    development = lengths - test
    made = tuple(
        _fold(development - (folds - k) * block, development - (folds - k - 1) * block, gap) for k in range(folds)
    )
    return Split(made, _fold(development, lengths, gap if test else 0), block)


def _fold(starts: Integers, ends: Integers, gap: int) -> Fold:
    takes_part = starts - gap >= 2
    return Fold(*(np.where(takes_part, steps, 0) for steps in (starts - gap, starts, ends)))
