"""Forecasts that need no network: what an LSTM has to beat. They see the same past and answer for the same targets."""

import math
from collections.abc import Callable
from statistics import fmean, stdev

import torch
from torch import Tensor

from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameters
from lstm_tune.tasks.forecast import ForecastProblem, ForecastTask, judged
from lstm_tune.tasks.metrics import FORECAST_METRICS, ratio

Baseline = Callable[[Tensor, int, int], Tensor]
"""(history [B, C, Y] with NaN where missing, season, horizon) -> forecast [B, h, Y]."""


def last_value(history: Tensor, season: int, horizon: int) -> Tensor:
    """Repeats the last observed value."""
    return _carried(history)[:, -1:].expand(-1, horizon, -1)


def seasonal_naive(history: Tensor, season: int, horizon: int) -> Tensor:
    """Repeats the last season; steps for which the series has none repeat its last value."""
    carried = _carried(history)
    steps = [carried.shape[1] - season + step % season for step in range(horizon)]
    return torch.where(history[:, steps].isnan(), carried[:, -1:], history[:, steps])


def drift(history: Tensor, season: int, horizon: int) -> Tensor:
    """Continues the line from the first observed value to the last."""
    observed = ~history.isnan()
    count = history.shape[1]
    first_step = observed.int().argmax(dim=1, keepdim=True)
    last_step = count - 1 - observed.flip(1).int().argmax(dim=1, keepdim=True)
    first, last = (torch.gather(history, 1, step) for step in (first_step, last_step))
    slope = (last - first) / (last_step - first_step).clamp(min=1)
    ahead = torch.arange(1, horizon + 1, dtype=history.dtype).reshape(1, -1, 1)
    return last + slope * (ahead + count - 1 - last_step)


FORECAST_BASELINES: dict[str, Baseline] = {
    "last value": last_value,
    "seasonal naive": seasonal_naive,
    "drift": drift,
}
"""Name to baseline."""

LONGEST_HISTORY = 512
"""Steps of history a baseline is shown; the drift's line starts there in longer series."""


def baseline_names(season: int) -> list[str]:
    """The baselines that differ from each other: without a season the seasonal naive is the last value."""
    return [name for name in FORECAST_BASELINES if season > 1 or name != "seasonal naive"]


def score_baseline(task: ForecastTask, name: str) -> tuple[float, float | None]:
    """A baseline's fold mean and its standard error (None with one fold), on the trials' own targets."""
    scores = [_score(problem, task, name) for problem in task.problems(_reading(task))]
    error = stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None
    return fmean(scores), error


def unjudged_folds(task: ForecastTask) -> list[int]:
    """Numbers, from 1, of the folds in which the metric has nothing to count, whatever is forecast."""
    reading = {**_reading(task), "window": 1, "seasonal_residual": False}
    problems = enumerate(task.problems(reading), start=1)
    return [k for k, problem in problems if math.isnan(_score(problem, task, "last value"))]


def score_baseline_on_test(task: ForecastTask, name: str) -> float:
    """A baseline's metric on the locked test part."""
    return _score(task.final_problem(_reading(task)), task, name)


def _reading(task: ForecastTask) -> Hyperparameters:
    """Hyperparameters that matter to a baseline: a window that shows it enough history."""
    defaults = {name: knob.default for name, knob in HYPERPARAMETERS["forecast"].items()}
    window = max(task.design.season, min(int(task.sequences.lengths.max()), LONGEST_HISTORY))
    return {**defaults, "window": window}


def _score(problem: ForecastProblem, task: ForecastTask, name: str) -> float:
    metric, forecast = FORECAST_METRICS[task.metric], FORECAST_BASELINES[name]
    levels = task.design.quantiles or (0.5,)
    sums, counts = [], []
    _, batches, scales = problem.truths("validation")
    for batch, scale in zip(batches, scales, strict=True):
        point = forecast(batch.target, task.design.season, task.design.horizon).nan_to_num(
            0.0
        )  # no history, no better guess
        spread = point.unsqueeze(-1).expand(*point.shape, len(levels)) if task.design.quantiles else point
        part = metric.sums(judged(spread, batch.future, scale, torch.tensor(levels)))
        sums.append(part[0])
        counts.append(part[1])
    return ratio(metric, torch.cat(sums), torch.cat(counts))


def _carried(history: Tensor) -> Tensor:
    """History [B, C, Y] with missing values replaced by the last observed one; leading ones stay NaN."""
    steps = torch.arange(history.shape[1]).reshape(1, -1, 1).expand_as(history)
    last = torch.where(history.isnan(), torch.zeros_like(steps), steps).cummax(dim=1).values
    return torch.gather(history, 1, last)
