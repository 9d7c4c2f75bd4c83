"""A worker that trains nothing, for measuring what lies between workers and the search."""

import math
import os
import random
import sys
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import ray

from lstm_tune.search import pool, tuning


@dataclass(frozen=True)
class Manner:
    """How a worker passes its time.

    Attributes:
        epochs: the epochs it reports of each trial, in order.
        blocks: validation blocks of the losses that a complete trial brings; 0 for none.
        trial_s: seconds of a trial on average, spread evenly from half to one and a half of it by the trial's number,
            as configurations cost differently; then `epochs` is not used and a report comes each second. 0 for none.
        gate: folder in which workers wait for each other before their first trial; empty for no waiting.
        workers: how many wait.
    """

    epochs: tuple[int, ...] = (1, 3, 9)
    blocks: int = 0
    trial_s: float = 0.0
    gate: str = ""
    workers: int = 0


class IdleWorker:
    """Reports as `TrialWorker` does, with a score that follows from the hyperparameters.

    Where torch is not loaded it stays away: the reports' classes are then stand-ins of the same names, which is what
    keeps a hundred such processes small. What a worker writes as a trial's reason is `worker begun ended`.
    """

    def __init__(self, manner: Manner) -> None:
        self._manner = manner
        self._node = "here"
        self._name = str(os.getpid())
        self._is_first = True
        _stand_in("lstm_tune.search.worker", "Order", "Report")
        _stand_in("lstm_tune.training.lockstep", "EpochResult")

    def begin(self, order: Any) -> None:
        if self._manner.gate and self._is_first:
            _wait_for_others(self._manner, self._name)
        self._is_first = False
        self._order, self._told, self._begun = order, 0, time.time()
        self._end = self._begun + self._manner.trial_s * random.Random(order.trial).uniform(0.5, 1.5)

    def step(self) -> Any:
        manner, epoch = self._manner, self._told + 1
        if manner.trial_s:
            time.sleep(max(0.0, min(self._end, self._begun + epoch) - time.time()))
            is_done = time.time() >= self._end
        else:
            epoch, is_done = manner.epochs[self._told], self._told == len(manner.epochs) - 1
        self._told += 1
        return self._report(epoch, is_done=is_done, at=time.time())

    def _report(self, epoch: int, *, is_done: bool, at: float) -> Any:
        score = 1 + sum(abs(math.sin(value)) for value in self._order.hyperparameters.values()) + 1 / epoch
        last = _made("lstm_tune.training.lockstep", "EpochResult", (epoch, (score, score), (score, score)))
        losses = _losses(self._manner.blocks, score) if self._manner.blocks and is_done else None
        curve, hyperparameters = ((epoch, score, score),), dict(self._order.hyperparameters)
        outcome, reason = ("complete", f"{self._name} {self._begun} {at}") if is_done else (None, "")
        seconds = at - self._begun
        fields = (hyperparameters, epoch, last, last, curve, seconds, self._node, outcome, reason, "", losses, "")
        return _made("lstm_tune.search.worker", "Report", fields)


FIELDS = {
    "EpochResult": "epoch fold_scores train_scores",
    "Report": "hyperparameters epoch last best curve seconds node outcome reason traceback losses warning",
}
"""Of each class, in order."""


def _stand_in(module: str, *names: str) -> None:
    """Classes of the given names in a module that is not loaded, which are sent as the real ones."""
    if module not in sys.modules:
        sys.modules[module] = types.ModuleType(module)
        for name in names:
            setattr(sys.modules[module], name, type(name, (), {"__module__": module}))


def _made(module: str, name: str, values: tuple[Any, ...]) -> Any:
    """An instance whose fields have these values, of the real class or its stand-in."""
    kind = getattr(sys.modules[module], name)
    made = kind.__new__(kind)
    made.__dict__.update(zip(FIELDS[name].split(), values, strict=True))
    return made


def _losses(blocks: int, score: float) -> Any:
    import numpy as np  # only where there are any

    return np.stack([np.full(blocks, score), np.ones(blocks)])


def _wait_for_others(manner: Manner, name: str) -> None:
    open(os.path.join(manner.gate, name), "w").close()
    while len(os.listdir(manner.gate)) < manner.workers:
        time.sleep(0.5)


@contextmanager
def idle_workers(manner: Manner) -> Iterator[None]:
    """Puts such workers in the place of those that train; they get neither the data nor the settings."""

    class Idle(IdleWorker):
        def __init__(self, task: None, settings: None) -> None:
            super().__init__(manner)

    def without_data(task: object, settings: object, *arguments: Any, **others: Any) -> pool.Pool:
        return pool.Pool(None, None, *arguments, **{**others, "shared": 0})  # type: ignore[arg-type]

    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this module
    try:
        with patch.object(pool, "TrialWorker", Idle), patch.object(tuning, "Pool", without_data):
            yield
    finally:
        ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])
