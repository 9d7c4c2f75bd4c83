"""Schedulers: which trials are stopped early, and at which epochs that is decided."""

import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Protocol, final

import numpy as np

from lstm_tune.search.proposals import changeable, defaults
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.errors import InputError, lookup
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.spec.space import Space

REDUCTION = 3
"""One trial in three goes on at each rung."""

RUNG_SPAN = 27
"""The last epoch over the first rung: three reductions by three (Li et al. 2020, section 3)."""

BRACKETS = 3
"""Brackets of hyperband, as far as there are rungs: the first begins to stop trials at the first rung, the next one
rung later."""

FEWEST_OTHERS = 3
"""Trials that a median is taken of, at least."""


class Judge(Protocol):
    """Decides which trials go on. Scores are the best so far, lower is better."""

    def goes_on(self, trial: int, epoch: int, score: float) -> bool:
        """Hears of a trial that has trained so many epochs; whether it goes on."""
        ...


@final
class Everyone:
    """Stops nobody."""

    def goes_on(self, trial: int, epoch: int, score: float) -> bool:
        """Always."""
        return True


@final
class Halving:
    """Asynchronous successive halving: the best third of those that have come to a rung go on at once.

    With several sets of rungs each trial is assigned to one at random, larger sets more often by a factor of e, as Ray
    Tune does; that is hyperband's asynchronous form.

    Source: Li et al. (2020), "A System for Massively Parallel Hyperparameter Tuning", algorithm 2.

    Args:
        brackets: each with the epochs at which it decides.
        seed: of the assignment.
    """

    def __init__(self, brackets: Iterable[Iterable[int]], *, seed: int = 0) -> None:
        self._brackets: list[dict[int, dict[int, float]]] = [
            {rung: {} for rung in sorted(rungs, reverse=True)} for rungs in brackets
        ]
        self._assigned: dict[int, dict[int, dict[int, float]]] = {}
        self._generator = random.Random(seed)

    def goes_on(self, trial: int, epoch: int, score: float) -> bool:
        """Compares it with those that came to the last rung that it has passed, once a rung; the first one goes on."""
        for rung, scores in self._bracket(trial).items():
            if epoch < rung:
                continue
            if trial in scores:
                return True
            others = list(scores.values())
            scores[trial] = score
            return not others or score <= float(np.quantile(others, 1 / REDUCTION))
        return True

    def _bracket(self, trial: int) -> dict[int, dict[int, float]]:
        if trial not in self._assigned:
            weights = [np.e ** len(bracket) for bracket in self._brackets]
            (self._assigned[trial],) = self._generator.choices(self._brackets, weights)
        return self._assigned[trial]


@final
class Median:
    """Stops a trial whose best score is worse than the median of what the others averaged until the same epoch.

    Source: Golovin et al. (2017), "Google Vizier", section 3.1.2.

    Args:
        first: epochs before which nothing is decided.
    """

    def __init__(self, first: int) -> None:
        self._first = first
        self._scores: dict[int, list[tuple[int, float]]] = {}

    def goes_on(self, trial: int, epoch: int, score: float) -> bool:
        """Compares it with those that have come as far."""
        self._scores.setdefault(trial, []).append((epoch, score))
        if epoch < self._first:
            return True
        means = [
            fmean(score for at, score in told if self._first <= at <= epoch)
            for other, told in self._scores.items()
            if other != trial and told[-1][0] >= epoch and any(self._first <= at <= epoch for at, _ in told)
        ]
        return len(means) < FEWEST_OTHERS or min(score for _, score in self._scores[trial]) <= median(means)


@dataclass(frozen=True)
class Schedule:
    """A judge and the epochs it wants to hear of.

    Attributes:
        judge: stops trials early.
        rungs: epochs at which a trial reports whatever the clock says.
        spared: the default configuration, which trains to its end: it stays unless another is proven better, block by
            block.
        needs_checkpoints: whether trials are copied or paused, for which Ray Tune's controller is used.
    """

    judge: Judge
    rungs: frozenset[int]
    spared: Hyperparameters
    needs_checkpoints: bool = False

    def goes_on(self, trial: int, hyperparameters: Hyperparameters, epoch: int, score: float) -> bool:
        """Whether a trial that has trained so many epochs goes on; `score` is its best so far."""
        return self.judge.goes_on(trial, epoch, score) or self.spares(hyperparameters)

    def spares(self, hyperparameters: Hyperparameters) -> bool:
        """Whether they are the default configuration."""
        return self.spared.items() <= hyperparameters.items()

    def remember(self, records: Iterable[TrialRecord]) -> None:
        """Lets the judge hear of trials of earlier processes, as it did then; what it decides of them is past."""
        for record in records:
            best = math.inf
            for epoch, score, _ in record.curve:
                best = min(best, score)
                if epoch in record.reports:
                    self.judge.goes_on(record.trial, int(epoch), best)


def rungs_of(max_epochs: int) -> list[int]:
    """The epochs at which halving decides, in order."""
    rungs, rung = [], max(1, max_epochs // RUNG_SPAN)
    while rung < max_epochs:
        rungs.append(rung)
        rung *= REDUCTION
    return rungs


def interval_of(max_epochs: int) -> int:
    """Epochs between two decisions of population based training."""
    return max(1, max_epochs // 10)


def _asha(max_epochs: int, space: Space, seed: int) -> Schedule:
    rungs = rungs_of(max_epochs)
    return Schedule(Halving([rungs]), frozenset(rungs), defaults(space))


def _hyperband(max_epochs: int, space: Space, seed: int) -> Schedule:
    rungs = rungs_of(max_epochs)
    brackets = [rungs[skipped:] for skipped in range(max(1, min(BRACKETS, len(rungs))))]
    return Schedule(Halving(brackets, seed=seed), frozenset(rungs), defaults(space))


def _median(max_epochs: int, space: Space, seed: int) -> Schedule:
    rungs = rungs_of(max_epochs)
    return Schedule(Median(rungs[0] if rungs else 1), frozenset(rungs), defaults(space))


def _none(max_epochs: int, space: Space, seed: int) -> Schedule:
    return Schedule(Everyone(), frozenset(), defaults(space))


def _pbt(max_epochs: int, space: Space, seed: int) -> Schedule:
    if not changeable(space):
        raise InputError.at(
            "search.scheduler",
            "pbt changes hyperparameters while trials train, and the space varies none that can be changed then. "
            "Search learning_rate, dropout or weight_decay, or use scheduler: asha",
        )
    interval = interval_of(max_epochs)
    rungs = frozenset(range(interval, max_epochs, interval))
    return Schedule(Everyone(), rungs, defaults(space), needs_checkpoints=True)


SCHEDULERS: dict[str, Callable[[int, Space, int], Schedule]] = {
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "pbt": _pbt,
    "none": _none,
}
"""Name to (epochs at most, space, seed) -> schedule. `hyperband` is its asynchronous form; `pbt` only says when trials
report, `population.py` has the rest."""


def build_schedule(name: str, *, max_epochs: int, space: Space, seed: int) -> Schedule:
    """A scheduler and its rungs.

    Raises:
        InputError: there is no such scheduler, or it cannot work on this space.
    """
    return lookup(SCHEDULERS, name, what="scheduler", where="search.scheduler")(max_epochs, space, seed)
