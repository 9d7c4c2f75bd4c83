"""What the forecasts of a part - a fold's block or the test part - answer for, apart from any network.

Shape letters: E forecasts, h horizon, Y targets.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.scaling import seasonal_errors
from lstm_tune.data.sequences import Examples, Gatherer, validation_examples
from lstm_tune.tasks.forecast import ForecastTask


@dataclass(frozen=True)
class Targets:
    """The judged steps of one part, in the order of its tally.

    Attributes:
        examples: the forecasts as row numbers, series by series and in each in the order of time.
        truth: float32 [E, h, Y], NaN where missing or beyond the part.
        scale: float64 [E, 1, Y], the seasonal error of the series before the part, as in MASE; NaN where it has none.
    """

    examples: Examples
    truth: Tensor
    scale: Tensor


def targets_of(task: ForecastTask, fold: Fold) -> Targets:
    """The judged steps of a fold, or of the test part.

    Args:
        task: the data and the design.
        fold: one of the task's folds, or its test part.
    """
    horizon = task.design.horizon
    examples = validation_examples(task.sequences, fold, horizon=horizon)
    scale = seasonal_errors(task.sequences, fold.train_ends, season=task.design.season, power=1)
    future = Gatherer(task.sequences, context=1, horizon=horizon).batch(examples).future
    return Targets(examples, future, torch.from_numpy(scale[examples.series]).unsqueeze(1))
