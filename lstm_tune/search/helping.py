"""Folds of a trial that another worker trains."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
from torch import Tensor

from lstm_tune.training.group import FoldResult


def shared_out(folds: int, *, workers: int) -> list[list[int]]:
    """The numbers of each worker's folds, in order; the first ones train one more where they do not come out even."""
    return [part.tolist() for part in np.array_split(np.arange(folds), workers)]


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
