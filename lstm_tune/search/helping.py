"""Folds of a trial that another worker trains."""

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from torch import Tensor

from lstm_tune.training.group import FoldResult
from lstm_tune.training.lockstep import Lockstep


def shared_out(folds: int, *, workers: int) -> list[list[int]]:
    """The numbers of each worker's folds, in order.

    A later fold has more to train on. They are dealt out to and fro, the last one first, so that no worker waits long
    for another.
    """
    to_and_fro = [*range(workers), *reversed(range(workers))]
    dealt = [(to_and_fro[turn % len(to_and_fro)], fold) for turn, fold in enumerate(reversed(range(folds)))]
    return [sorted(fold for whose, fold in dealt if whose == worker) for worker in range(workers)]


def share_folds(lockstep: Lockstep, helpers: Sequence[Any], hyperparameters: dict[str, Any], *, threads: int) -> None:
    """Hands folds over to other workers, one each at least; where there are more workers than that, some get none.

    Args:
        lockstep: the trial, one fold of which stays at least.
        helpers: handles of `TrialWorker`s that have nothing else to do until it has ended.
        hyperparameters: the active ones.
        threads: torch threads that each may use.
    """
    if not helpers:
        return
    _, *shares = shared_out(lockstep.fold_count, workers=1 + len(helpers))
    pairs = zip(helpers, filter(None, shares), strict=False)
    lockstep.hand_over([Elsewhere(one, hyperparameters, share, threads=threads) for one, share in pairs])


class Elsewhere:
    """Folds that another worker trains; as a group like those of `FoldGroup`.

    Whatever goes wrong with the other worker's process raises a `RayError`.

    Args:
        worker: handle of its `TrialWorker`.
        hyperparameters: the active ones.
        numbers: which folds, in order.
        threads: torch threads that it may use.
    """

    def __init__(self, worker: Any, hyperparameters: dict[str, Any], numbers: Sequence[int], *, threads: int) -> None:
        self.numbers = numbers
        self._worker = worker
        self._hyperparameters = hyperparameters
        self._threads = threads
        self._epoch: Any = None

    def begin_epoch(self) -> None:
        """Lets the worker train an epoch."""
        self._epoch = self._worker.ask_folds.remote("end_epoch")

    def end_epoch(self) -> list[FoldResult]:
        """Waits for the epoch.

        Raises:
            DivergedError: a loss became NaN or infinite.
        """
        results: list[FoldResult] = _unless_failed(ray.get(self._epoch))
        return results

    def keep(self) -> None:
        """Lets it remember the weights as they are now as the best."""
        _unless_failed(ray.get(self._worker.ask_folds.remote("keep")))

    def best_forecasts(self) -> list[Tensor]:
        """What each fold's network predicts for its validation blocks with its best weights."""
        forecasts: list[Tensor] = _unless_failed(ray.get(self._worker.ask_folds.remote("best_forecasts")))
        return forecasts

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors."""
        state: dict[str, Tensor] = _unless_failed(ray.get(self._worker.ask_folds.remote("state")))
        return state

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Lets it train these folds from their part of a state on, whatever it did before."""
        ray.get(self._worker.take_folds.remote(self._hyperparameters, self.numbers, dict(state), self._threads))


def _unless_failed(answer: Any) -> Any:
    """The answer, where it is not an error of the training itself."""
    if isinstance(answer, Exception):
        raise answer
    return answer
