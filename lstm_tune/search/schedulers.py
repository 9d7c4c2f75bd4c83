"""Schedulers: which trials are stopped early, and at which epochs that is decided."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray import tune
from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    FIFOScheduler,
    MedianStoppingRule,
    PopulationBasedTraining,
    TrialScheduler,
)

from lstm_tune.spec.errors import InputError, lookup
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS
from lstm_tune.spec.space import Choice, Fixed, Range, Space

REDUCTION = 3
"""One trial in three goes on at each rung."""

RUNG_SPAN = 27
"""The last epoch over the first rung: three reductions by three (Li et al. 2020, section 3)."""

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


def _pbt(max_epochs: int, space: Space, seed: int) -> Schedule:
    knobs = HYPERPARAMETERS["forecast"]
    mutable = {name: space[name] for name in space if not knobs[name].shapes_network and not space[name].when}
    mutations = {name: _mutation(entry) for name, entry in mutable.items() if not isinstance(entry, Fixed)}
    if not mutations:
        raise InputError.at(
            "search.scheduler",
            "pbt changes hyperparameters while trials train, and the space varies none that can be changed then. "
            "Search learning_rate, dropout or weight_decay, or use scheduler: asha",
        )

    def clipped(config: dict[str, Any]) -> dict[str, Any]:
        for name in mutations:
            entry = mutable[name]
            if isinstance(entry, Range):
                value = min(max(config["hyperparameters"][name], entry.low), entry.high)
                config["hyperparameters"][name] = round(value) if entry.is_integer else value
        return config

    interval = max(1, max_epochs // 10)
    scheduler = PopulationBasedTraining(
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        perturbation_interval=interval,
        hyperparam_mutations={"hyperparameters": mutations},
        custom_explore_fn=clipped,
        log_config=False,
    )
    return Schedule(scheduler, frozenset(range(interval, max_epochs, interval)), needs_checkpoints=True)


def _mutation(dimension: Choice | Range | Fixed) -> Any:
    if isinstance(dimension, Choice):
        return list(dimension.values)
    assert isinstance(dimension, Range)
    if dimension.is_integer:
        return tune.randint(int(dimension.low), int(dimension.high) + 1)
    return (tune.loguniform if dimension.log else tune.uniform)(dimension.low, dimension.high)


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
    return lookup(SCHEDULERS, name, what="scheduler", where="search.scheduler")(max_epochs, space, seed)
