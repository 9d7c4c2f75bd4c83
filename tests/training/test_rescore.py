from collections.abc import Callable

import numpy as np
import pytest
import torch

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.rescore import Rescored, rescore

PanelMaker = Callable[..., Panel]


def noisy_task(panel_of: PanelMaker, quantiles: tuple[float, ...] = ()) -> ForecastTask:
    sequences = prepare(panel_of(10 + np.random.default_rng(0).normal(size=60)), missing="error")
    split = split_panel(sequences.lengths, horizon=4, folds=2, block=6, gap=0, test=6)
    return ForecastTask(sequences, split, Design(4, 1, 1, quantiles), "mae")


def repeated(task: ForecastTask, values: Hyperparameters) -> Rescored:
    """A training that is at its best long before its end."""
    cpu = torch.device("cpu")
    return rescore(task, values, Portions(8), max_epochs=12, patience=Patience(12), seed=0, device=cpu)


@pytest.mark.parametrize("ema", [0.0, 0.98])
def test_forecasts_are_those_of_the_best_epoch(panel_of: PanelMaker, ema: float) -> None:
    task = noisy_task(panel_of)
    values = completed(
        {"units": 8, "window": 6, "learning_rate": 0.1, "ema": ema, "loss": "mse", "highway": False}, task="forecast"
    )
    found = repeated(task, values)
    assert found.best.epoch < 12
    for problem, forecasts, tally in zip(task.problems(values), found.forecasts, found.tallies, strict=True):
        assert (forecasts.dtype, forecasts.shape) == (torch.float32, (2, 4, 1))
        assert torch.equal(problem.judge(forecasts, "validation").sums, tally.sums)


def test_forecasts_hold_every_quantile(panel_of: PanelMaker) -> None:
    values = completed({"units": 4, "window": 6}, task="forecast")
    found = repeated(noisy_task(panel_of, (0.1, 0.5, 0.9)), values)
    assert [tuple(forecasts.shape) for forecasts in found.forecasts] == [(2, 4, 1, 3)] * 2
