"""The hyperparameters a search may vary, what each means, and the value it has when nobody names it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Value = bool | int | float | str
Hyperparameters = Mapping[str, Value]

Kind = Literal["integer", "number", "flag", "name"]


@dataclass(frozen=True)
class Hyperparameter:
    """One knob of the network or its training.

    Attributes:
        kind: what values it takes.
        default: its value where the file does not mention it or a condition switches it off.
        description: one line for `--help`, the schema and the report.
        minimum: smallest valid number, inclusive; None for flags and names.
        maximum: largest valid number, inclusive; None where there is no bound.
        names: the valid words of a `name`.
        shapes_network: whether another value means other weights, so that it cannot change while a trial runs.
    """

    kind: Kind
    default: Value
    description: str
    minimum: float | None = None
    maximum: float | None = None
    names: tuple[str, ...] = ()
    shapes_network: bool = False

    def fault(self, value: object) -> str | None:
        """Why `value` cannot be this hyperparameter's, or None when it can."""
        if self.kind == "flag":
            return None if isinstance(value, bool) else f"must be true or false, found {value!r}"
        if self.kind == "name":
            return None if value in self.names else f"must be one of {', '.join(self.names)}, found {value!r}"
        return self._number_fault(value)

    def _number_fault(self, value: object) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return f"must be a number, found {value!r}"
        if self.kind == "integer" and not isinstance(value, int):
            return f"must be a whole number, found {value!r}"
        if math.isnan(value):
            return "must be a number, found NaN"
        if self.minimum is not None and value < self.minimum:
            return f"must be at least {self.minimum:g}, found {value!r}"
        if self.maximum is not None and value > self.maximum:
            return f"must be at most {self.maximum:g}, found {value!r}"
        return None


_NETWORK: dict[str, Hyperparameter] = {
    "units": Hyperparameter("integer", 32, "hidden size of each layer", 1, 4096, shapes_network=True),
    "depth": Hyperparameter("integer", 1, "number of stacked layers", 1, 16, shapes_network=True),
    "dropout": Hyperparameter("number", 0.1, "dropout between layers and before the output", 0.0, 0.95),
    "input_dropout": Hyperparameter("number", 0.0, "dropout of the input features", 0.0, 0.95),
    "recurrent_dropout": Hyperparameter("number", 0.0, "weight-drop on the hidden-to-hidden matrix", 0.0, 0.95),
    "locked_dropout": Hyperparameter("flag", True, "one dropout mask a sequence instead of one a step"),
    "layer_norm": Hyperparameter("flag", False, "layer normalisation between layers", shapes_network=True),
    "residual": Hyperparameter("flag", False, "add each layer's input to its output", shapes_network=True),
    "bidirectional": Hyperparameter("flag", False, "read the window in both directions", shapes_network=True),
}

_TRAINING: dict[str, Hyperparameter] = {
    "learning_rate": Hyperparameter("number", 3e-3, "step size of AdamW", 1e-7, 1.0),
    "weight_decay": Hyperparameter("number", 0.01, "decoupled weight decay of AdamW; 0 makes it Adam", 0.0, 10.0),
    "gradient_clip": Hyperparameter("number", 1.0, "largest gradient norm; 0 switches clipping off", 0.0, 1e6),
    "ema": Hyperparameter("number", 0.98, "decay of the weight average a step; 0 switches it off", 0.0, 0.99999),
    "input_noise": Hyperparameter("number", 0.0, "Gaussian noise on the scaled inputs, in their units", 0.0, 10.0),
}

_FORECAST: dict[str, Hyperparameter] = {
    "window": Hyperparameter("integer", 24, "input steps the network reads", 1, 100_000, shapes_network=True),
    "normalization": Hyperparameter(
        "name",
        "last",
        "per-window scaling of the target: none, mean, last or robust",
        names=("none", "mean", "last", "robust"),
        shapes_network=True,
    ),
    "log_transform": Hyperparameter(
        "flag", False, "model the logarithm of the target (99 % of it above zero)", shapes_network=True
    ),
    "highway": Hyperparameter(
        "flag", True, "a linear path from the window to the horizon beside the LSTM", shapes_network=True
    ),
    "seasonal_residual": Hyperparameter(
        "flag", True, "predict the difference from the seasonal naive forecast", shapes_network=True
    ),
    "seasonal_adjustment": Hyperparameter(
        "flag",
        True,
        "take the usual season of the history out of it and add it to the forecast",
        shapes_network=True,
    ),
    "loss": Hyperparameter(
        "name", "mae", "training loss of point forecasts: mae, huber or mse", names=("mae", "huber", "mse")
    ),
}

HYPERPARAMETERS: dict[str, dict[str, Hyperparameter]] = {"forecast": {**_NETWORK, **_TRAINING, **_FORECAST}}
"""Task kind to its hyperparameters."""


def completed(hyperparameters: Hyperparameters, *, task: str) -> dict[str, Value]:
    """All hyperparameters of a task: the given ones, and the defaults of the others.

    Args:
        hyperparameters: the sampled or fixed ones; every name must be the task's.
        task: task kind, a key of `HYPERPARAMETERS`.

    Returns:
        One value for each hyperparameter of the task.
    """
    known = HYPERPARAMETERS[task]
    assert not set(hyperparameters) - set(known), f"unknown: {set(hyperparameters) - set(known)}"
    return {name: hyperparameters.get(name, knob.default) for name, knob in known.items()}
