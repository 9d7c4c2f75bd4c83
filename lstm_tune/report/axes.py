"""The scale of one hyperparameter: where a value stands on it, and what is written at its ends."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.space import Dimension, Range

INACTIVE = -0.12
"""Where a line crosses the axis of a hyperparameter that is not active: below its least value."""


@dataclass(frozen=True)
class Axis:
    """A hyperparameter's scale.

    Attributes:
        name: the hyperparameter.
        values: of a list, in order; empty for a range.
        low: least value of a range.
        high: its largest.
        is_log: whether equal ratios are equally far apart.
    """

    name: str
    values: tuple[Value, ...] = ()
    low: float = 0.0
    high: float = 1.0
    is_log: bool = False

    def place(self, value: Value | None) -> float:
        """From 0 at the low end to 1 at the high one; below for None."""
        if value is None:
            return INACTIVE
        if self.values:
            return self.values.index(value) / (len(self.values) - 1) if len(self.values) > 1 else 0.5
        assert isinstance(value, int | float), "a range holds numbers"
        if self.high == self.low:
            return 0.5
        if self.is_log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def labels(self) -> list[tuple[float, str]]:
        """Places and texts: each value of a list, both ends of a range."""
        if self.values:
            return [(self.place(value), spoken(value)) for value in self.values]
        return [(0.0, spoken(self.low)), (1.0, spoken(self.high))]


def axis_of(name: str, dimension: Dimension | None, tried: Iterable[Value | None]) -> Axis:
    """The scale of a range as the space has it; of anything else the values that trials tried, in order.

    Args:
        name: the hyperparameter.
        dimension: as the experiment has it; None where that is not known.
        tried: the trials' values.
    """
    if isinstance(dimension, Range):
        return Axis(name, (), float(dimension.low), float(dimension.high), dimension.log)
    known = {value for value in tried if value is not None}
    is_numeric = all(is_number(value) for value in known)
    return Axis(name, tuple(sorted(known, key=(lambda value: value) if is_numeric else str)))


def is_number(value: object) -> bool:
    """Whether a hyperparameter's value is a number rather than one of several names."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def spoken(value: object) -> str:
    """A hyperparameter's value as a reader wants it: 0.0031, 64, yes, last."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
