"""A search space in Optuna's terms."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import cast

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from lstm_tune.spec.errors import Fault, InputError
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Value, completed
from lstm_tune.spec.space import Choice, Dimension, Fixed, Range, Space, active

Distribution = CategoricalDistribution | IntDistribution | FloatDistribution

LARGEST_GRID = 10_000
"""Configurations a grid may have."""

LONGEST = 100_000
"""No window is longer, so the longest one of a space is nearest to it."""

WIDE = 12
"""Values from which on a sampler draws a number between them, which is rounded. TPE weighs each value by itself: with
180 trials and two ranges of whole numbers a proposal takes three to four times as long."""

BOLD: dict[str, Value] = {"learning_rate": 0.012, "dropout": 0.0}
PORTFOLIO: tuple[dict[str, Value], ...] = (
    {**BOLD, "window": LONGEST, "log_transform": True},
    {"normalization": "mean"},
    BOLD,
)
"""What a search tries after the default configuration, as changes to it: each is often good where those before are not.

Chosen one after the other among eleven such changes, each time the one that lowered the best of those chosen most, on
the validation folds of ten files of medium size that no benchmark of search efficiency uses: the best of the four had
5.9 % less error than the default.

Source: Feurer et al. 2022, "Auto-sklearn 2.0", for portfolios built greedily."""


def searched(space: Space) -> list[str]:
    """The hyperparameters with more than one value."""
    return [name for name, dimension in space.items() if not isinstance(dimension, Fixed)]


def is_conditional(space: Space) -> bool:
    """Whether a searched hyperparameter may be switched off."""
    return any(space[name].when for name in searched(space))


def distribution(dimension: Choice | Range) -> Distribution:
    """A dimension in Optuna's terms."""
    if isinstance(dimension, Choice):
        return CategoricalDistribution(dimension.values)
    if dimension.is_integer:
        step = int(dimension.step or 1)
        return IntDistribution(int(dimension.low), int(dimension.high), log=dimension.log, step=step)
    return FloatDistribution(dimension.low, dimension.high, log=dimension.log, step=dimension.step)


def drawn_from(dimension: Choice | Range) -> Distribution:
    """What a sampler draws from: the dimension, or the numbers that are rounded to the values of a wide one."""
    if isinstance(dimension, Range) and WIDE <= dimension.size < math.inf:
        margin = (dimension.step or 1) / 2
        last = _point(dimension, int(dimension.size) - 1)
        return FloatDistribution(dimension.low - margin, last + margin, log=dimension.log)
    return distribution(dimension)


def distributions(
    space: Space, names: Iterable[str], of: Callable[[Choice | Range], BaseDistribution] = distribution
) -> dict[str, BaseDistribution]:
    """Those of the named hyperparameters that a space holds and does not fix, in Optuna's terms."""
    dimensions = {name: space[name] for name in names if name in space}
    return {name: of(one) for name, one in dimensions.items() if not isinstance(one, Fixed)}


def suggest(trial: optuna.Trial, space: Space) -> dict[str, Value]:
    """Draws the active hyperparameters of one configuration, parents before children."""
    values: dict[str, Value] = {}
    for name, dimension in space.items():
        if all(condition.holds(values) for condition in dimension.when):
            values[name] = _draw(trial, name, dimension)
    return values


def _draw(trial: optuna.Trial, name: str, dimension: Dimension) -> Value:
    if isinstance(dimension, Fixed):
        return dimension.value
    if isinstance(dimension, Choice):
        return cast(Value, trial.suggest_categorical(name, dimension.values))
    numbers = drawn_from(dimension)
    if isinstance(numbers, IntDistribution):
        return trial.suggest_int(name, numbers.low, numbers.high, log=numbers.log, step=numbers.step)
    assert isinstance(numbers, FloatDistribution), "only a choice is categorical"
    number = trial.suggest_float(name, numbers.low, numbers.high, log=numbers.log, step=numbers.step)
    return clipped(dimension, number)


def is_enumerable(space: Space) -> bool:
    """Whether `grid` can list the space."""
    return math.prod(dimension.size for dimension in space.values()) <= LARGEST_GRID


def grid(space: Space) -> list[dict[str, Value]]:
    """Every configuration of a space whose dimensions are all finite, those that conditions make equal only once.

    Raises:
        InputError: a range has no step, or the grid is too large.
    """
    faults = [
        Fault(f"space.{name}", "is a range without a step, which a grid cannot enumerate; add step: or write a list")
        for name in searched(space)
        if space[name].size == float("inf")
    ]
    if faults:
        raise InputError(faults)
    axes = [_values(dimension) for dimension in space.values()]
    if not is_enumerable(space):
        size = math.prod(len(axis) for axis in axes)
        problem = f"has {size:,} configurations; a grid may have {LARGEST_GRID:,}. Use sampler: tpe or fewer values"
        raise InputError.at("space", problem)
    found: dict[tuple[tuple[str, Value], ...], dict[str, Value]] = {}
    for values in itertools.product(*axes):
        configuration = active(space, dict(zip(space, values, strict=True)))
        found.setdefault(tuple(configuration.items()), configuration)
    return list(found.values())


def _values(dimension: Dimension) -> list[Value]:
    if isinstance(dimension, Fixed):
        return [dimension.value]
    if isinstance(dimension, Choice):
        return list(dimension.values)
    return [_point(dimension, i) for i in range(int(dimension.size))]


def _point(dimension: Range, i: int) -> float:
    """A point of a range with a step; rounding errors do not carry the last one beyond the end."""
    return min(dimension.low + i * (dimension.step or 1), dimension.high)


def nearest(space: Space, wanted: dict[str, Value]) -> dict[str, Value]:
    """The searched part of a configuration, moved into the space: clipped to ranges, to the nearest value of a list.

    Args:
        space: parents first.
        wanted: values to come close to; hyperparameters that are not named get the middle of their range.
    """
    values: dict[str, Value] = {}
    for name, dimension in space.items():
        if isinstance(dimension, Fixed):
            values[name] = dimension.value
        elif isinstance(dimension, Choice):
            values[name] = _nearest_of(dimension.values, wanted.get(name))
        else:
            values[name] = clipped(dimension, wanted.get(name))
    kept = active(space, values)
    return {name: kept[name] for name in searched(space) if name in kept}


def _nearest_of(values: Sequence[Value], wanted: Value | None) -> Value:
    """The wanted value where it is listed, the nearest number to a wanted number, or else the first."""
    if wanted is not None and wanted in values:
        return wanted
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    if isinstance(wanted, bool) or not isinstance(wanted, int | float) or not numbers:
        return values[0]
    return min(numbers, key=lambda number: abs(number - wanted))


def defaults(space: Space) -> dict[str, Value]:
    """The default configuration, moved into the space: what a search begins with and has to beat."""
    return nearest(space, completed({}, task="forecast"))


def whole(space: Space, searched: Mapping[str, Value]) -> dict[str, Value]:
    """Every hyperparameter of a configuration: what was searched, what the space fixes, the defaults of the rest."""
    fixed = {name: dimension.value for name, dimension in space.items() if isinstance(dimension, Fixed)}
    return completed(active(space, {**fixed, **searched}), task="forecast")


def portfolio(space: Space) -> list[dict[str, Value]]:
    """Configurations to try after the default one, moved into the space; those that it makes equal are among them."""
    return [nearest(space, completed(changes, task="forecast")) for changes in PORTFOLIO]


def clipped(dimension: Range, wanted: Value | None) -> Value:
    """The value of a range that is nearest to the wanted one; the middle where none, or no number, is wanted."""
    if isinstance(wanted, bool) or not isinstance(wanted, int | float):
        wanted = (dimension.low * dimension.high) ** 0.5 if dimension.log else (dimension.low + dimension.high) / 2
    value = min(max(wanted, dimension.low), dimension.high)
    if dimension.step or dimension.is_integer:
        step = dimension.step or 1
        value = _point(dimension, min(round((value - dimension.low) / step), int(dimension.size) - 1))
    return int(value) if dimension.is_integer else float(value)


def changeable(space: Space) -> list[str]:
    """Searched hyperparameters that may change while a trial trains: no weight and no condition depends on them."""
    knobs = HYPERPARAMETERS["forecast"]
    parents = {condition.parent for dimension in space.values() for condition in dimension.when}
    return [
        name
        for name, dimension in space.items()
        if not (isinstance(dimension, Fixed) or dimension.when or knobs[name].shapes_network or name in parents)
    ]
