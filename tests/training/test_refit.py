from collections.abc import Callable

import pytest
import torch

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Portions
from lstm_tune.training.refit import refit, refit_steps

PanelMaker = Callable[..., Panel]
VALUES = completed({"units": 4, "window": 10, "highway": False, "seasonal_residual": False}, task="forecast")


def line_task(panel_of: PanelMaker, *, steps: int = 80, block: int = 10) -> ForecastTask:
    sequences = prepare(panel_of(range(steps)), missing="error")
    split = split_panel(sequences.lengths, horizon=5, folds=2, block=block, gap=0, test=10)
    return ForecastTask(sequences, split, Design(horizon=5, season=1, targets=1), "mase")


def test_refit_takes_the_steps_of_the_best_epoch_times_the_growth_of_the_examples(panel_of: PanelMaker) -> None:
    # training ends at 50 and 60: 40 and 50 examples, 5 and 7 steps of 8; the final training has 60
    steps = refit_steps(line_task(panel_of), VALUES, Portions(8), epochs=10)
    assert steps == round(10 * (5 + 7) / 2 * 60 / 45)


def test_refit_never_takes_more_than_twice_the_steps(panel_of: PanelMaker) -> None:
    # training ends at 20 and 45: 10 and 35 examples; the final training has 60, 2.67 times their mean
    assert refit_steps(line_task(panel_of, block=25), VALUES, Portions(8, 4), epochs=3) == 3 * 4 * 2


def test_refit_takes_at_least_one_step(panel_of: PanelMaker) -> None:
    assert refit_steps(line_task(panel_of), VALUES, Portions(64, 1), epochs=1) == 1


def test_refit_repeats_with_its_seed_and_differs_with_another(panel_of: PanelMaker) -> None:
    task = line_task(panel_of)
    runs = [refit(task, VALUES, Portions(8), steps=5, seed=s, device=torch.device("cpu"))[0] for s in (1, 1, 2)]
    assert all(torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not torch.equal(runs[0]["head.weight"], runs[2]["head.weight"])


@pytest.mark.parametrize("ema", [0.0, 0.98])
def test_refit_learns_and_its_weights_fit_the_final_network(panel_of: PanelMaker, ema: float) -> None:
    task, values = line_task(panel_of), {**VALUES, "learning_rate": 0.02, "ema": ema}
    tallies = []
    for steps in (1, 150):
        weights, tally = refit(task, values, Portions(8), steps=steps, seed=0, device=torch.device("cpu"))
        tallies.append(task.score(tally))
    problem = task.final_problem(values)
    network = problem.network(values)
    network.load_state_dict(weights)
    with torch.inference_mode():
        assert task.score(problem.tally(network.eval(), "training")) == tallies[1]
    assert tallies[1] < tallies[0] / 2
