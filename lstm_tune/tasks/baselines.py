"""Forecasts that need no network: what an LSTM has to beat. They see the same past and answer for the same targets.

Shape letters: B batch, C context steps, h horizon, Y targets.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np
import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.sequences import Sequences
from lstm_tune.models.forecaster import Design
from lstm_tune.models.problem import Tally
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.tasks.forecast import ForecastProblem, ForecastTask
from lstm_tune.tasks.naive import RULES, Rule, seasonal_naive
from lstm_tune.tasks.ridge import fit_ridge
from lstm_tune.tasks.statistical import MODELS, is_installed, load, local_model

Forecast = Callable[[Tensor], Tensor]
"""History [B, C, Y] with NaN where missing -> forecast [B, h, Y]; NaN where it cannot tell."""

Baseline = Callable[[Sequences, Fold, Design], Forecast]
"""Fits to a fold's training steps, and to no later ones."""


def _by_rule(rule: Rule) -> Baseline:
    return lambda sequences, fold, design: lambda history: rule(history, design.season, design.horizon)


QUICK: dict[str, Baseline] = {**{name: _by_rule(rule) for name, rule in RULES.items()}, "ridge": fit_ridge}
"""Name to baseline: at most a second or two for thousands of series."""

STATISTICAL: dict[str, Baseline] = {name: local_model(name) for name in MODELS}
"""Name to baseline: they need `statsforecast`, and fit a model for each forecast."""

FORECAST_BASELINES: dict[str, Baseline] = {**QUICK, **STATISTICAL}
"""Name to baseline."""

LONGEST_HISTORY = 512
"""Steps of history a baseline is shown, or four seasons where these are more; the drift's line starts there."""

SHOWN_SEASONS = 4
"""Seasons of history a baseline is shown where the season is long."""

TIMED_FORECASTS = 5
"""Forecasts, evenly spread, by whose time a statistical baseline's whole time is estimated."""

TIMED_SHARE = 0.1
"""Share of the time left after which the estimate rests on fewer forecasts."""


@dataclass(frozen=True)
class BaselineScore:
    """How well a baseline forecasts, on the targets that every trial answers for.

    Attributes:
        name: the baseline.
        score: the metric: the mean over the folds, or on the test part.
        standard_error: of the fold mean; None with one fold and on the test part.
        tallies: the metric's sums and counts, one tally a fold; in it one pair a forecast, in a trial's order.
        forecasts: what was forecast, float32 [E, h, Y], one tensor a fold.
        replaced: forecasts that the baseline could not make; the seasonal naive stands in.
    """

    name: str
    score: float
    standard_error: float | None
    tallies: tuple[Tally, ...]
    forecasts: tuple[Tensor, ...]
    replaced: int

    @property
    def remark(self) -> str | None:
        """What to say about replaced forecasts; None where there are none."""
        total = sum(len(tally.sums) for tally in self.tallies)
        if not self.replaced:
            return None
        return f"{self.name} could not make {self.replaced:,} of {total:,} forecasts; the seasonal naive stands in."


@dataclass(frozen=True)
class Offer:
    """Which statistical baselines can be scored.

    Attributes:
        names: those that can, the fastest first.
        reasons: why the others cannot, one sentence each.
    """

    names: tuple[str, ...]
    reasons: tuple[str, ...]


def quick_names(season: int) -> list[str]:
    """The quick baselines that differ from each other: without a season the seasonal naive is the last value."""
    return [name for name in QUICK if season > 1 or name != "seasonal naive"]


def offer_statistical(task: ForecastTask, *, budget_s: float) -> Offer:
    """The statistical baselines that fit into a time together, on all folds and the test part.

    The time is estimated from a few forecasts of the last fold. A baseline that takes too long is left out whole:
    scored on fewer series, it would answer for other targets.

    Args:
        task: the folds and the test part.
        budget_s: seconds for all of them together.
    """
    if not is_installed():
        return Offer((), (f'{_listed(STATISTICAL)} were not scored: they need pip install "lstm-tune[baselines]".',))
    load()
    sample, total = _timed_histories(task)
    names, reasons, left_s = [], [], budget_s
    for name, baseline in STATISTICAL.items():
        forecast = baseline(task.sequences, task.split.folds[-1], task.design)
        expected_s = total * _seconds_a_forecast(forecast, sample, at_most_s=left_s * TIMED_SHARE)
        if expected_s <= left_s:
            names.append(name)
            left_s -= expected_s
        else:
            reasons.append(
                f"{name} was not scored: its {total:,} forecasts would take about {expected_s:,.0f} s, and"
                f" {left_s:.0f} s of the {budget_s:.0f} s for statistical baselines were left."
            )
    return Offer(tuple(names), tuple(reasons))


def score_baseline(task: ForecastTask, name: str) -> BaselineScore:
    """A baseline on the validation targets of every fold, fitted to each fold's training steps alone."""
    problems = task.problems(_reading(task))
    made = [
        _forecasts(problem, task, FORECAST_BASELINES[name](task.sequences, fold, task.design))
        for fold, problem in zip(task.split.folds, problems, strict=True)
    ]
    forecasts = tuple(forecast for forecast, _ in made)
    tallies = tuple(_tally(problem, task, forecast) for problem, forecast in zip(problems, forecasts, strict=True))
    scores = [task.score(tally) for tally in tallies]
    error = stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else None
    return BaselineScore(name, fmean(scores), error, tallies, forecasts, sum(replaced for _, replaced in made))


def score_baseline_on_test(task: ForecastTask, name: str) -> BaselineScore:
    """A baseline on the locked test part, fitted to the development steps; its score is NaN without a test part."""
    forecast = FORECAST_BASELINES[name](task.sequences, task.split.test, task.design)
    problem = task.final_problem(_reading(task))
    made, replaced = _forecasts(problem, task, forecast)
    tally = _tally(problem, task, made)
    return BaselineScore(name, task.score(tally), None, (tally,), (made,), replaced)


def unjudged_folds(task: ForecastTask) -> list[int]:
    """Numbers, from 1, of the folds in which the metric has nothing to count, whatever is forecast."""
    reading = {**_reading(task), "window": 1, "seasonal_residual": False}
    forecast = QUICK["last value"](task.sequences, task.split.folds[0], task.design)
    tallies = (_tally(problem, task, _forecasts(problem, task, forecast)[0]) for problem in task.problems(reading))
    return [k for k, tally in enumerate(tallies, start=1) if math.isnan(task.score(tally))]


def _reading(task: ForecastTask) -> Hyperparameters:
    """Hyperparameters that matter to a baseline: a window that shows it enough history."""
    shown = max(LONGEST_HISTORY, SHOWN_SEASONS * task.design.season)
    window = max(task.design.season, min(int(task.sequences.lengths.max()), shown))
    return completed({"window": window}, task="forecast")


def _forecasts(problem: ForecastProblem, task: ForecastTask, forecast: Forecast) -> tuple[Tensor, int]:
    """Forecasts [E, h, Y] of the judged targets, and how many had to be replaced."""
    design, made, replaced = task.design, [], 0
    for batch in problem.truths("validation")[1]:
        told = forecast(batch.target)
        missing = told.isnan()
        if missing.any():
            stand_in = seasonal_naive(batch.target, min(design.season, batch.target.shape[1]), design.horizon)
            replaced += int((missing & ~stand_in.isnan()).any(dim=(1, 2)).sum())
            told = torch.where(missing, stand_in, told).nan_to_num(0.0)  # no history, no better guess
        made.append(told)
    return torch.cat(made), replaced


def _tally(problem: ForecastProblem, task: ForecastTask, made: Tensor) -> Tally:
    """Sums and counts of the metric, one pair a forecast; every quantile is the forecast itself."""
    levels = len(task.design.quantiles)
    return problem.judge(made.unsqueeze(-1).expand(*made.shape, levels) if levels else made, "validation")


def _timed_histories(task: ForecastTask) -> tuple[Tensor, int]:
    """Some histories [B, C, Y] of the last fold, and the number of forecasts in all folds and the test part."""
    total = len(task.blocks()[0]) + len(task.test_blocks())
    histories = torch.cat([batch.target for batch in task.problems(_reading(task))[-1].truths("validation")[1]])
    chosen = np.unique(np.linspace(0, len(histories) - 1, TIMED_FORECASTS).round().astype(np.int64))
    return histories[torch.from_numpy(chosen)], total


def _seconds_a_forecast(forecast: Forecast, sample: Tensor, *, at_most_s: float) -> float:
    """Mean time of the sample's forecasts, or of the first ones where these take long enough to judge by."""
    started, elapsed_s, count = time.perf_counter(), 0.0, 0
    while count < len(sample) and elapsed_s <= at_most_s:
        forecast(sample[count : count + 1])
        count += 1
        elapsed_s = time.perf_counter() - started
    return elapsed_s / count if count else 0.0


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}"
