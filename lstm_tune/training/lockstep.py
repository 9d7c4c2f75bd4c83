"""A trial: the networks of all folds, trained epoch by epoch side by side, judged by their mean."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import TypeVar

import torch
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import Patience, Portions, below
from lstm_tune.training.group import FoldGroup, Group

T = TypeVar("T")


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
        self._max_epochs = max_epochs
        self._patience = patience
        self.here = FoldGroup(task, hyperparameters, portions, seed=seed, device=device)
        self._elsewhere: Sequence[Group] = ()
        self.epoch = 0
        self._since = 0  # epochs before this one were another configuration's
        self.best: EpochResult | None = None
        self.best_tallies: list[Tally] = []

    @property
    def _groups(self) -> Sequence[Group]:
        """All of them, the one in this process first."""
        return [self.here, *self._elsewhere]

    @property
    def fold_count(self) -> int:
        """Folds in all, wherever they are trained."""
        return sum(len(group.numbers) for group in self._groups)

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
        """What each fold's network predicts for its validation blocks with its best weights."""
        return self._in_order(lambda group: group.best_forecasts())

    def hand_over(self, elsewhere: Sequence[Group]) -> None:
        """Lets other processes train some folds from now on, which changes no number.

        Args:
            elsewhere: the groups of these folds. Those that trained some before are named again.
        """
        state = self.state()
        for group in elsewhere:
            group.load_state(state)
            self.here.leave(group.numbers)
        self._elsewhere = elsewhere

    def _epoch(self) -> EpochResult:
        for group in self._groups:
            group.begin_epoch()
        folds = self._in_order(lambda group: group.end_epoch())
        scores, train_scores = (fold.score for fold in folds), (fold.train_score for fold in folds)
        result = EpochResult(self.epoch + 1, tuple(scores), tuple(train_scores))
        if not all(math.isfinite(score) for score in result.fold_scores):
            raise DivergedError(f"the validation score became {result.score} in epoch {result.epoch}")
        self.epoch = result.epoch
        if self.best is None or result.score < self.best.score:
            self.best = result
            self.best_tallies = [fold.tally for fold in folds]
            for group in self._groups:
                group.keep()
        return result

    def _in_order(self, ask: Callable[[Group], list[T]]) -> list[T]:
        """What the groups answer for each of their folds, by its number."""
        answers = {k: answer for group in self._groups for k, answer in zip(group.numbers, ask(group), strict=True)}
        return [answers[k] for k in sorted(answers)]

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors."""
        state = {name: value for group in self._groups for name, value in group.state().items()}
        for k, tally in enumerate(self.best_tallies):
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
        for group in self._groups:
            group.load_state({name: value for name, value in state.items() if is_own or not name.startswith("best.")})
        self.best, self.best_tallies = None, []
        self._since = int(state["since"]) if is_own else self.epoch
        if is_own and "best_scores" in state:
            fold_scores, train_scores = (tuple(row) for row in state["best_scores"].tolist())
            self.best = EpochResult(int(state["best_epoch"]), fold_scores, train_scores)
            tallies = (below(f"tally.{k}.", state) for k in range(len(fold_scores)))
            self.best_tallies = [Tally(tally["sums"], tally["counts"]) for tally in tallies]
