"""A configuration once more, from other random starts: was it good, or was its seed lucky?"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.lockstep import EpochResult, Lockstep

FRESH = 500_009
"""Added to a run's seed: no trial of it started there."""


@dataclass(frozen=True)
class Rescored:
    """A trial that was repeated with a fresh seed on the same folds.

    Attributes:
        best: the best epoch's result.
        tallies: sums and counts of every validation block at that epoch, one tally a fold.
        forecasts: what was predicted for these blocks, float32 [blocks, ...], one tensor a fold.
    """

    best: EpochResult
    tallies: tuple[Tally, ...]
    forecasts: tuple[Tensor, ...]


def rescore(
    task: Task,
    hyperparameters: Hyperparameters,
    portions: Portions,
    *,
    max_epochs: int,
    patience: Patience,
    seed: int,
    device: torch.device,
    share: Callable[[Lockstep], None] | None = None,
) -> Rescored:
    """Trains a configuration's folds to the end of its patience from a seed that no trial used.

    Args:
        task: gives the folds.
        hyperparameters: one value for each of the task's.
        portions: epochs and batches.
        max_epochs: epochs at most.
        patience: ends after so many epochs without a better fold mean.
        seed: the run's.
        device: where to train.
        share: lets other processes train some of the folds, before the first epoch.

    Raises:
        DivergedError: a loss or score became NaN or infinite.
    """
    lockstep = Lockstep(
        task,
        hyperparameters,
        portions,
        max_epochs=max_epochs,
        patience=patience,
        seed=seed + FRESH,
        device=device,
    )
    if share:
        share(lockstep)
    for _ in lockstep.epochs():
        pass
    assert lockstep.best is not None, "a trial without an error has a best epoch"
    return Rescored(lockstep.best, tuple(lockstep.best_tallies), tuple(lockstep.best_forecasts()))
