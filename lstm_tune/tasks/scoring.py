"""A finished network on one part of the data: its forecasts, and every metric of them.

Shape letters: E forecasts, h horizon, Y targets, Q quantiles.
"""

from dataclasses import replace

import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.scaling import seasonal_errors
from lstm_tune.data.sequences import Gatherer, validation_examples
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.models.problem import Tally
from lstm_tune.tasks.forecast import EVALUATION_BATCH, ForecastTask, judged
from lstm_tune.tasks.metrics import FORECAST_METRICS, applicable
from lstm_tune.tasks.targets import targets_of


def forecast_fold(task: ForecastTask, fold: Fold, network: Ensemble) -> Tensor:
    """What a network forecasts for a fold's block; float32 [E, h, Y] or, with quantiles, [E, h, Y, Q]."""
    horizon = task.design.horizon
    examples = validation_examples(task.sequences, fold, horizon=horizon)
    gatherer = Gatherer(task.sequences, context=network.context, horizon=horizon)
    with torch.inference_mode():
        return torch.cat([network(*gatherer.batch(some).inputs) for some in examples.batches(EVALUATION_BATCH)])


def tallies_of(task: ForecastTask, fold: Fold, forecasts: Tensor) -> dict[str, Tally]:
    """Sums and counts of every metric that applies, one pair a forecast.

    Args:
        task: the data and the design.
        fold: the block that was forecast, and the steps before it that scale the errors.
        forecasts: [E, h, Y], or [E, h, Y, Q]; a point forecast counts as each of the quantiles.
    """
    design, truth = task.design, targets_of(task, fold)
    levels = torch.tensor(design.quantiles or (0.5,))
    if design.quantiles and forecasts.dim() == truth.truth.dim():
        forecasts = forecasts.unsqueeze(-1).expand(*forecasts.shape, len(levels))
    found = {}
    for name in applicable(design.quantiles):
        metric = FORECAST_METRICS[name]
        errors = seasonal_errors(task.sequences, fold.train_ends, season=design.season, power=metric.scale_power)
        scale = torch.from_numpy(errors[truth.examples.series]).unsqueeze(1)  # [E, 1, Y]
        found[name] = Tally(*metric.sums(judged(forecasts, truth.truth, scale, levels)))
    return found


def scores_of(task: ForecastTask, tallies: dict[str, Tally]) -> dict[str, float]:
    """Every metric of pooled sums and counts, by name."""
    return {name: replace(task, metric=name).score(tally) for name, tally in tallies.items()}
