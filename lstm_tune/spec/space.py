"""The search space: which values each hyperparameter may take, and under what condition it counts."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from lstm_tune.spec.errors import did_you_mean
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameter, Value


@dataclass(frozen=True)
class Condition:
    """A comparison with another hyperparameter: `{units: {above: 16}}`.

    Attributes:
        parent: the hyperparameter compared.
        operator: a key of `OPERATORS`.
        operand: what it is compared with.
    """

    parent: str
    operator: str
    operand: Any

    def holds(self, values: Mapping[str, Value]) -> bool:
        """Whether it holds; never when the parent itself is switched off."""
        return self.parent in values and bool(OPERATORS[self.operator](values[self.parent], self.operand))


OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "above": lambda value, operand: value > operand,
    "at_least": lambda value, operand: value >= operand,
    "below": lambda value, operand: value < operand,
    "at_most": lambda value, operand: value <= operand,
    "equals": lambda value, operand: value == operand,
    "in": lambda value, operand: value in operand,
}


@dataclass(frozen=True)
class Fixed:
    """One value for every trial."""

    value: Value
    when: tuple[Condition, ...] = ()

    @property
    def corners(self) -> tuple[Value, Value]:
        """Smallest and largest value."""
        return self.value, self.value

    @property
    def size(self) -> float:
        """Number of different values."""
        return 1


@dataclass(frozen=True)
class Choice:
    """One of several values, without an order."""

    values: tuple[Value, ...]
    when: tuple[Condition, ...] = ()

    @property
    def corners(self) -> tuple[Value, Value]:
        """Smallest and largest value; the first and last where words are not comparable."""
        if any(isinstance(value, str) for value in self.values):
            return self.values[0], self.values[-1]
        return min(self.values), max(self.values)

    @property
    def size(self) -> float:
        """Number of different values."""
        return len(self.values)


@dataclass(frozen=True)
class Range:
    """A number between two ends, both included; an integer when both ends are.

    Attributes:
        low: smallest value.
        high: largest value.
        log: sampled uniformly in the logarithm.
        step: spacing of the values, or None for none (1 for integers).
        when: conditions, all of which must hold.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    when: tuple[Condition, ...] = ()

    @property
    def is_integer(self) -> bool:
        """Whether the values are whole numbers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def corners(self) -> tuple[Value, Value]:
        """Smallest and largest value."""
        return self.low, self.high

    @property
    def size(self) -> float:
        """Number of different values; infinite for a range without a step."""
        step = self.step or (1 if self.is_integer else None)
        return math.inf if step is None else math.floor((self.high - self.low) / step + 1e-9) + 1


Dimension = Fixed | Choice | Range
Space = Mapping[str, Dimension]


def parse_space(raw: Mapping[str, Any], *, task: str) -> tuple[dict[str, Dimension], list[tuple[str, str]]]:
    """The dimensions of a `space:` mapping, parents before the hyperparameters that depend on them.

    Args:
        raw: the mapping as it stands in the file.
        task: task kind; says which hyperparameters exist.

    Returns:
        The dimensions that could be read, and every fault as (key path below `space`, problem).
    """
    faults: list[tuple[str, str]] = []
    space: dict[str, Dimension] = {}
    known = HYPERPARAMETERS[task]
    for name, entry in raw.items():
        if name not in known:
            hint = did_you_mean(str(name), known)
            faults.append((str(name), f"is not a hyperparameter of task '{task}'. {hint}"))
            continue
        dimension, problems = _parse_dimension(entry, known[name])
        faults += [(f"{name}{path}", problem) for path, problem in problems]
        if dimension is not None:
            space[name] = dimension
    faults += _condition_faults(space, names_in_file=[str(name) for name in raw])
    if faults:
        return space, faults
    return _parents_first(space), []


_RANGE_KEYS = {"low", "high", "log", "step", "when"}
_CHOICE_KEYS = {"choices", "when"}
_FIXED_KEYS = {"value", "when"}
Problems = list[tuple[str, str]]


def _parse_dimension(entry: Any, knob: Hyperparameter) -> tuple[Dimension | None, Problems]:
    if isinstance(entry, list):
        return _parse_choice(entry, (), knob)
    if not isinstance(entry, dict):
        problem = knob.fault(entry)
        return (None, [("", problem)]) if problem else (Fixed(entry), [])
    conditions, problems = _parse_when(entry.get("when"))
    if "choices" in entry and set(entry) <= _CHOICE_KEYS:
        dimension, more = _parse_choice(entry["choices"], conditions, knob)
        return dimension, problems + more
    if "value" in entry and set(entry) <= _FIXED_KEYS:
        dimension, more = _parse_fixed(entry["value"], conditions, knob)
        return dimension, problems + more
    if {"low", "high"} & set(entry) and set(entry) <= _RANGE_KEYS:
        dimension, more = _parse_range(entry, conditions, knob)
        return dimension, problems + more
    for key in entry:
        if key not in _RANGE_KEYS | _CHOICE_KEYS | _FIXED_KEYS:
            hint = did_you_mean(str(key), _RANGE_KEYS | _CHOICE_KEYS | _FIXED_KEYS)
            problems.append((f".{key}", f"is not a key of a range. {hint}"))
    if not problems:
        shown = ", ".join(str(key) for key in entry)
        problems.append(("", f"must be a value, a list, or {{low, high, log, step}}; found the keys {shown}"))
    return None, problems


def _parse_fixed(value: Any, when: tuple[Condition, ...], knob: Hyperparameter) -> tuple[Dimension | None, Problems]:
    problem = knob.fault(value)
    return (None, [("", problem)]) if problem else (Fixed(value, when), [])


def _parse_choice(values: Any, when: tuple[Condition, ...], knob: Hyperparameter) -> tuple[Dimension | None, Problems]:
    if not isinstance(values, list) or not values:
        return None, [("", "must be a list of at least one value")]
    problems = [(f"[{i}]", problem) for i, value in enumerate(values) if (problem := knob.fault(value))]
    if not problems and len(set(values)) < len(values):
        problems.append(("", f"names a value twice: {values}"))
    return (None, problems) if problems else (Choice(tuple(values), when), [])


def _parse_range(
    entry: Mapping[str, Any], when: tuple[Condition, ...], knob: Hyperparameter
) -> tuple[Dimension | None, Problems]:
    if knob.kind in ("flag", "name"):
        return None, [("", "takes no range; write a list of values")]
    if missing := {"low", "high"} - set(entry):
        return None, [("", f"is a range without {' and '.join(sorted(missing))}")]
    problems = [(f".{end}", problem) for end in ("low", "high") if (problem := knob.fault(entry[end]))]
    log, step = entry.get("log", False), entry.get("step")
    if not isinstance(log, bool):
        problems.append((".log", f"must be true or false, found {log!r}"))
    if problems := problems + _step_faults(step, knob):
        return None, problems
    low, high = entry["low"], entry["high"]
    if low > high:
        return None, [("", f"has its low end above its high end: low {low}, high {high}")]
    if log and low <= 0:
        return None, [(".low", f"must be above 0 for a logarithmic range, found {low}")]
    if log and step is not None:
        return None, [(".step", "cannot be combined with log: true; leave one of them out")]
    if knob.kind == "number":
        low, high = float(low), float(high)
    return Range(low, high, log, step, when), []


def _step_faults(step: Any, knob: Hyperparameter) -> Problems:
    if step is None:
        return []
    if _kind(step) is not float or not 0 < step < math.inf:
        return [(".step", f"must be a number above 0, found {step!r}")]
    if knob.kind == "integer" and not isinstance(step, int):
        return [(".step", f"must be a whole number, as both ends are, found {step!r}")]
    return []


def _parse_when(raw: Any) -> tuple[tuple[Condition, ...], Problems]:
    if raw is None:
        return (), []
    if not isinstance(raw, dict) or not raw:
        return (), [(".when", "must be a mapping such as {units: {above: 16}}")]
    conditions: list[Condition] = []
    problems: Problems = []
    for parent, test in raw.items():
        tests = test if isinstance(test, dict) else {"in" if isinstance(test, list) else "equals": test}
        for operator, operand in tests.items():
            if operator not in OPERATORS:
                hint = did_you_mean(str(operator), OPERATORS)
                problems.append((f".when.{parent}.{operator}", f"is not a comparison. {hint}"))
            else:
                frozen = tuple(operand) if isinstance(operand, list) else operand
                conditions.append(Condition(str(parent), str(operator), frozen))
    return tuple(conditions), problems


def _condition_faults(space: Space, *, names_in_file: list[str]) -> Problems:
    faults: Problems = []
    for name, dimension in space.items():
        for condition in dimension.when:
            path = f"{name}.when.{condition.parent}"
            if condition.parent not in names_in_file:
                hint = did_you_mean(condition.parent, names_in_file)
                faults.append((path, f"names a hyperparameter that is not in the space. {hint}"))
            elif condition.parent in space and not _is_comparable(condition, space[condition.parent]):
                faults.append((path, f"compares with {condition.operand!r}, which is not of its kind"))
    if cycle := _cycle(space):
        faults.append((f"{cycle[0]}.when", f"is a circle of conditions: {' -> '.join(cycle)}"))
    return faults


def _is_comparable(condition: Condition, parent: Dimension) -> bool:
    wanted = _kind(parent.corners[0])
    if condition.operator == "in":
        return isinstance(condition.operand, tuple) and all(_kind(value) is wanted for value in condition.operand)
    return _kind(condition.operand) is wanted and (condition.operator == "equals" or wanted is float)


def _kind(value: Any) -> type:
    """The type of a value, float for every number that is not a flag."""
    return float if type(value) is int else type(value)


def _cycle(space: Space) -> list[str] | None:
    """A circle of conditions as `[a, b, a]`, or None."""

    def walk(name: str, path: list[str]) -> list[str] | None:
        if name in path:
            return [*path[path.index(name) :], name]
        for parent in _parents(space, name):
            if found := walk(parent, [*path, name]):
                return found
        return None

    return next((found for name in space if (found := walk(name, []))), None)


def _parents(space: Space, name: str) -> Iterator[str]:
    return (condition.parent for condition in space[name].when if condition.parent in space)


def _parents_first(space: dict[str, Dimension]) -> dict[str, Dimension]:
    ordered: dict[str, Dimension] = {}

    def place(name: str) -> None:
        if name in ordered:
            return
        for parent in _parents(space, name):
            place(parent)
        ordered[name] = space[name]

    for name in space:
        place(name)
    return ordered


def active(space: Space, values: Mapping[str, Value]) -> dict[str, Value]:
    """The values whose conditions hold, in the order of the space.

    Args:
        space: dimensions, parents first.
        values: one value for each dimension (more are ignored).
    """
    kept: dict[str, Value] = {}
    for name, dimension in space.items():
        if name in values and all(condition.holds(kept) for condition in dimension.when):
            kept[name] = values[name]
    return kept


def as_raw(space: Space) -> dict[str, Any]:
    """The space as it would be written in a file; `parse_space` reads it back to an equal one."""
    return {name: _raw_dimension(dimension) for name, dimension in space.items()}


def _raw_dimension(dimension: Dimension) -> Any:
    when: dict[str, dict[str, Any]] = {}
    for condition in dimension.when:
        operand = list(condition.operand) if isinstance(condition.operand, tuple) else condition.operand
        when.setdefault(condition.parent, {})[condition.operator] = operand
    conditional = {"when": when} if when else {}
    if isinstance(dimension, Fixed):
        return {"value": dimension.value, **conditional} if conditional else dimension.value
    if isinstance(dimension, Choice):
        values = list(dimension.values)
        return {"choices": values, **conditional} if conditional else values
    extra: dict[str, Any] = {"log": True} if dimension.log else {}
    if dimension.step is not None:
        extra["step"] = dimension.step
    return {"low": dimension.low, "high": dimension.high, **extra, **conditional}
