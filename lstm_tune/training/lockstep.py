"""A trial: the networks of all folds, trained epoch by epoch side by side, judged by their mean."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

import torch
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import FoldTrainer, Patience, Portions, below


@dataclass(frozen=True)
class EpochResult:
    """How all folds stand after an epoch.

    Attributes:
        epoch: epochs trained, from 1.
        fold_scores: the metric on each fold's validation targets.
        train_scores: the metric on a sample of each fold's training targets.
    """

    epoch: int
    fold_scores: tuple[float, ...]
    train_scores: tuple[float, ...]

    @property
    def score(self) -> float:
        """Mean over the folds."""
        return fmean(self.fold_scores)

    @property
    def standard_error(self) -> float | None:
        """Standard error of the mean over the folds; None with one fold."""
        count = len(self.fold_scores)
        return stdev(self.fold_scores) / math.sqrt(count) if count > 1 else None

    @property
    def train_score(self) -> float:
        """Mean of the training metric over the folds."""
        return fmean(self.train_scores)

    @property
    def gap(self) -> float:
        """Generalisation gap: validation over training metric, minus one; NaN where training is perfect."""
        return self.score / self.train_score - 1 if self.train_score > 0 else math.nan


def fold_seed(seed: int, fold: int) -> int:
    """Seed of a fold's network: the same for every trial of a run, so that trials can be compared."""
    return seed * 10_007 + fold


class Lockstep:
    """The folds of one trial, going forward together.

    Args:
        task: gives the folds and takes the ratio of their tallies.
        hyperparameters: one value for each of the task's.
        portions: epochs and batches.
        max_epochs: epochs at most.
        patience: ends after so many epochs without a better fold mean.
        seed: the run's.
        device: where to train.
    """

    def __init__(
        self,
        task: Task,
        hyperparameters: Hyperparameters,
        portions: Portions,
        *,
        max_epochs: int,
        patience: Patience,
        seed: int,
        device: torch.device,
    ) -> None:
        self._task = task
        self._max_epochs = max_epochs
        self._patience = patience
        self._folds = [
            FoldTrainer(problem, hyperparameters, portions, seed=fold_seed(seed, k), device=device)
            for k, problem in enumerate(task.problems(hyperparameters))
        ]
        self.epoch = 0
        self._since = 0  # epochs before this one were another configuration's
        self.best: EpochResult | None = None
        self.best_weights: list[dict[str, Tensor]] = []
        self.best_tallies: list[Tally] = []

    @property
    def is_done(self) -> bool:
        """Whether all epochs are trained or patience has run out."""
        best_epoch = self.best.epoch if self.best else self._since
        waits = self._patience.epochs(best_epoch - self._since)
        return self.epoch >= self._max_epochs or self.epoch - best_epoch >= waits

    def epochs(self) -> Iterator[EpochResult]:
        """Trains on, one epoch an item, until the trial is done. Stopping early is ceasing to iterate.

        Raises:
            DivergedError: a loss or score became NaN or infinite.
        """
        while not self.is_done:
            yield self._epoch()

    def best_forecasts(self) -> list[Tensor]:
        """What each fold's network predicts for its validation blocks with the weights of the best epoch."""
        return [fold.forecasts(weights) for fold, weights in zip(self._folds, self.best_weights, strict=True)]

    def _epoch(self) -> EpochResult:
        for fold in self._folds:
            fold.train(fold.steps_per_epoch)
        tallies = [fold.tally("validation") for fold in self._folds]
        train_scores = tuple(self._task.score(fold.tally("training")) for fold in self._folds)
        result = EpochResult(self.epoch + 1, tuple(map(self._task.score, tallies)), train_scores)
        if not all(math.isfinite(score) for score in result.fold_scores):
            raise DivergedError(f"the validation score became {result.score} in epoch {result.epoch}")
        self.epoch = result.epoch
        if self.best is None or result.score < self.best.score:
            self.best = result
            self.best_weights = [fold.weights() for fold in self._folds]
            self.best_tallies = tallies
        return result

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors (`best_weights` left out when there are none)."""
        state = {f"{k}.{name}": value for k, fold in enumerate(self._folds) for name, value in fold.state().items()}
        for k, (weights, tally) in enumerate(zip(self.best_weights, self.best_tallies, strict=True)):
            state |= {f"best.{k}.{name}": value for name, value in weights.items()}
            state |= {f"tally.{k}.sums": tally.sums, f"tally.{k}.counts": tally.counts}
        if self.best:
            scores = [self.best.fold_scores, self.best.train_scores]
            state |= {
                "best_scores": torch.tensor(scores, dtype=torch.float64),
                "best_epoch": torch.tensor(self.best.epoch),
            }
        return state | {"epoch": torch.tensor(self.epoch), "since": torch.tensor(self._since)}

    def load_state(self, state: Mapping[str, Tensor], *, is_own: bool = True) -> None:
        """Goes back to what `state` returned, for a configuration with networks of the same shape.

        Args:
            state: from `state`.
            is_own: whether this configuration trained it. What another one reached does not count as this one's best,
                and patience begins anew.
        """
        self.epoch = int(state["epoch"])
        for k, fold in enumerate(self._folds):
            fold.load_state(below(f"{k}.", state))
        self.best, self.best_weights, self.best_tallies = None, [], []
        self._since = int(state["since"]) if is_own else self.epoch
        if is_own and "best_scores" in state:
            fold_scores, train_scores = (tuple(row) for row in state["best_scores"].tolist())
            self.best = EpochResult(int(state["best_epoch"]), fold_scores, train_scores)
            self.best_weights = [below(f"best.{k}.", state) for k in range(len(self._folds))]
            tallies = (below(f"tally.{k}.", state) for k in range(len(self._folds)))
            self.best_tallies = [Tally(tally["sums"], tally["counts"]) for tally in tallies]
