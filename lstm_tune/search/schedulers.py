"""Schedulers: which trials are stopped early, and at which epochs that is decided."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from lstm_tune.search.proposals import clipped, defaults
from lstm_tune.spec.errors import InputError, lookup
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Value
from lstm_tune.spec.space import Choice, Fixed, Range, Space

REDUCTION = 3
"""One trial in three goes on at each rung."""

RUNG_SPAN = 27
"""The last epoch over the first rung: three reductions by three (Li et al. 2020, section 3)."""

RESAMPLED = 0.25
"""Share of population based training's changes that draw a new value; the others take a step of a fifth, or none in a
list (Jaderberg et al. 2017, section 4; the figures are Ray's defaults)."""

TIME, METRIC = "epoch", "best_score"
"""The fields of a report that schedulers read."""


@dataclass(frozen=True)
class Schedule:
    """A scheduler and the epochs it wants to hear of.

    Attributes:
        scheduler: Ray Tune's.
        rungs: epochs at which a trial reports whatever the clock says.
        needs_checkpoints: whether trials are copied or paused.
    """

    scheduler: TrialScheduler
    rungs: frozenset[int]
    needs_checkpoints: bool = False


def _rungs(max_epochs: int) -> tuple[int, frozenset[int]]:
    first = max(1, max_epochs // RUNG_SPAN)
    rungs, rung = set(), first
    while rung < max_epochs:
        rungs.add(rung)
        rung *= REDUCTION
    return first, frozenset(rungs)


def _asha(max_epochs: int, space: Space, seed: int, *, brackets: int = 1) -> Schedule:
    first, rungs = _rungs(max_epochs)
    scheduler = AsyncHyperBandScheduler(
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        max_t=max_epochs,
        grace_period=first,
        reduction_factor=REDUCTION,
        brackets=brackets,
    )
    return Schedule(scheduler, rungs)


def _hyperband(max_epochs: int, space: Space, seed: int) -> Schedule:
    return _asha(max_epochs, space, seed, brackets=min(3, len(_rungs(max_epochs)[1]) or 1))


def _median(max_epochs: int, space: Space, seed: int) -> Schedule:
    first, rungs = _rungs(max_epochs)
    scheduler = MedianStoppingRule(
        time_attr=TIME, metric=METRIC, mode="min", grace_period=first, min_samples_required=3
    )
    return Schedule(scheduler, rungs)


def _none(max_epochs: int, space: Space, seed: int) -> Schedule:
    return Schedule(FIFOScheduler(), frozenset())


class _Population(PopulationBasedTraining):  # type: ignore[misc]
    """Ray's, together with a searcher: the study proposes each member's first configuration."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Ray refuses searchers here, as it cannot tell them what was changed; our reports carry the configuration."""
        super().on_trial_add(SimpleNamespace(search_alg=None), trial)


def _pbt(max_epochs: int, space: Space, seed: int) -> Schedule:
    names = changeable(space)
    if not names:
        raise InputError.at(
            "search.scheduler",
            "pbt changes hyperparameters while trials train, and the space varies none that can be changed then. "
            "Search learning_rate, dropout or weight_decay, or use scheduler: asha",
        )
    generator = random.Random(seed)

    def explore(config: dict[str, Any]) -> dict[str, Any]:
        values = config["hyperparameters"]
        return config | {
            "hyperparameters": values | {name: explored(space[name], values[name], generator) for name in names}
        }

    interval = max(1, max_epochs // 10)
    scheduler = _Population(
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        perturbation_interval=interval,
        custom_explore_fn=explore,
        log_config=False,
    )
    return Schedule(scheduler, frozenset(range(interval, max_epochs, interval)), needs_checkpoints=True)


def changeable(space: Space) -> list[str]:
    """Searched hyperparameters that may change while a trial trains: no weight and no condition depends on them."""
    knobs = HYPERPARAMETERS["forecast"]
    parents = {condition.parent for dimension in space.values() for condition in dimension.when}
    return [
        name
        for name, dimension in space.items()
        if not (isinstance(dimension, Fixed) or dimension.when or knobs[name].shapes_network or name in parents)
    ]


def explored(dimension: Choice | Range | Fixed, value: Value, generator: random.Random) -> Value:
    """A value near another one or, now and then, anywhere in the dimension."""
    anywhere = generator.random() < RESAMPLED
    if isinstance(dimension, Choice):
        return generator.choice(dimension.values) if anywhere else value
    assert isinstance(dimension, Range), "a fixed value is never explored"
    if not anywhere:
        return clipped(dimension, float(value) * generator.choice((0.8, 1.2)))
    if dimension.log:
        return clipped(dimension, math.exp(generator.uniform(math.log(dimension.low), math.log(dimension.high))))
    return clipped(dimension, generator.uniform(dimension.low, dimension.high))


SCHEDULERS: dict[str, Callable[[int, Space, int], Schedule]] = {
    "asha": _asha,
    "hyperband": _hyperband,
    "median": _median,
    "pbt": _pbt,
    "none": _none,
}
"""Name to (epochs at most, space, seed) -> schedule. `hyperband` is its asynchronous form."""


def build_schedule(name: str, *, max_epochs: int, space: Space, seed: int) -> Schedule:
    """A scheduler and its rungs.

    Raises:
        InputError: there is no such scheduler, or it cannot work on this space.
    """
    schedule = lookup(SCHEDULERS, name, what="scheduler", where="search.scheduler")(max_epochs, space, seed)
    _spare_defaults(schedule.scheduler, space)
    return schedule


def _spare_defaults(scheduler: TrialScheduler, space: Space) -> None:
    """Lets the default configuration train to its end: it stays unless another is proven better, block by block."""
    decide, wanted = scheduler.on_trial_result, defaults(space).items()
    spared: set[str] = set()

    def decide_for_others(controller: Any, trial: Any, result: dict[str, Any]) -> str:
        goes_on: str = TrialScheduler.CONTINUE
        decision: str = goes_on if trial.trial_id in spared else decide(controller, trial, result)
        if decision == TrialScheduler.STOP and wanted <= trial.config["hyperparameters"].items():
            spared.add(trial.trial_id)
            return goes_on
        return decision

    scheduler.on_trial_result = decide_for_others
