"""Some folds of a trial, trained epoch by epoch in one process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import FoldTrainer, Portions, below


@dataclass(frozen=True)
class FoldResult:
    """How a fold stands after an epoch.

    Attributes:
        score: the metric on its validation targets.
        train_score: the metric on a sample of its training targets.
        tally: sums and counts of its validation blocks.
    """

    score: float
    train_score: float
    tally: Tally


class Group(Protocol):
    """Some folds of a trial, wherever they are trained."""

    @property
    def numbers(self) -> Sequence[int]:
        """Which folds, in order."""

    def begin_epoch(self) -> None:
        """Begins to train an epoch, if that happens in another process."""

    def end_epoch(self) -> list[FoldResult]:
        """How the folds stand after the epoch.

        Raises:
            DivergedError: a loss became NaN or infinite.
        """

    def keep(self) -> None:
        """Remembers the weights as they are now as the best."""

    def best_forecasts(self) -> list[Tensor]:
        """What each fold's network predicts for its validation blocks with its best weights."""

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors."""

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to these folds' part of what `state` returned, their best weights included where it has any."""


def fold_seed(seed: int, fold: int) -> int:
    """Seed of a fold's network: the same for every trial of a run, so that trials can be compared."""
    return seed * 10_007 + fold


class FoldGroup:
    """Some folds of a trial, trained in this process.

    Args:
        task: gives the folds and takes the ratio of their tallies.
        hyperparameters: one value for each of the task's.
        portions: epochs and batches.
        numbers: which folds, in order; None for all of them.
        seed: the run's.
        device: where to train.
    """

    def __init__(
        self,
        task: Task,
        hyperparameters: Hyperparameters,
        portions: Portions,
        *,
        numbers: Sequence[int] | None = None,
        seed: int,
        device: torch.device,
    ) -> None:
        problems = task.problems(hyperparameters)
        self._score = task.score
        self.folds = {
            k: FoldTrainer(problems[k], hyperparameters, portions, seed=fold_seed(seed, k), device=device)
            for k in (range(len(problems)) if numbers is None else numbers)
        }
        self.best_weights: dict[int, dict[str, Tensor]] = {}

    @property
    def numbers(self) -> Sequence[int]:
        """Which folds, in order."""
        return list(self.folds)

    def begin_epoch(self) -> None:
        """Nothing: `end_epoch` takes this process's time."""

    def end_epoch(self) -> list[FoldResult]:
        """Trains an epoch.

        Raises:
            DivergedError: a loss became NaN or infinite.
        """
        for fold in self.folds.values():
            fold.train(fold.steps_per_epoch)
        return [self._result(fold) for fold in self.folds.values()]

    def _result(self, fold: FoldTrainer) -> FoldResult:
        tally = fold.tally("validation")
        return FoldResult(self._score(tally), self._score(fold.tally("training")), tally)

    def keep(self) -> None:
        """Remembers the weights as they are now as the best."""
        self.best_weights = {k: fold.weights() for k, fold in self.folds.items()}

    def leave(self, numbers: Sequence[int]) -> None:
        """Gives up folds that are trained elsewhere from now on."""
        for k in numbers:
            self.folds.pop(k, None)
            self.best_weights.pop(k, None)

    def best_forecasts(self) -> list[Tensor]:
        """What each fold's network predicts for its validation blocks with its best weights."""
        return [fold.forecasts(self.best_weights[k]) for k, fold in self.folds.items()]

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors."""
        state = {f"{k}.{name}": value for k, fold in self.folds.items() for name, value in fold.state().items()}
        for k, weights in self.best_weights.items():
            state |= {f"best.{k}.{name}": value for name, value in weights.items()}
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Goes back to these folds' part of what `state` returned, their best weights included where it has any."""
        for k, fold in self.folds.items():
            fold.load_state(below(f"{k}.", state))
        best = {k: below(f"best.{k}.", state) for k in self.folds}
        self.best_weights = {k: weights for k, weights in best.items() if weights}
