import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lstm_tune.data.folds import Split, split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import Sequences, prepare
from lstm_tune.models.forecaster import Design, count_parameters
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameters, completed
from lstm_tune.tasks.forecast import ForecastProblem, ForecastTask

PanelMaker = Callable[..., Panel]
NAN = float("nan")
MISSING = ["interpolate", "forward", "mask"]


def chosen(**values: Any) -> Hyperparameters:
    return completed({"units": 4, "window": 6, **values}, task="forecast")


def rich_panel(panel_of: PanelMaker) -> Panel:
    """Three series with gaps at the borders of folds, numeric and categorical covariates."""
    generator = np.random.default_rng(3)
    lengths = (40, 46, 30)
    values = [np.where(generator.random(n) < 0.2, np.nan, 50 + 10 * generator.normal(size=n)) for n in lengths]
    for one in values:
        one[0], one[-20:-17], one[-13:-10] = 50, np.nan, np.nan  # gaps across the ends of training
    rows = sum(lengths)
    known = np.column_stack([generator.normal(size=rows), generator.integers(0, 3, rows)]).astype(np.float32)
    known[generator.random(rows) < 0.2, 0] = np.nan
    return panel_of(
        *values,
        past=generator.normal(size=rows),
        known=known,
        known_categories=[None, ("a", "b", "c")],
        static=[1.0, 2.0, 4.0],
    )


def split_of(panel: Panel, *, test: int = 6, block: int = 6, gap: int = 0, horizon: int = 3) -> Split:
    return split_panel(panel.histories, horizon=horizon, folds=2, block=block, gap=gap, test=test)


def task_of(panel: Panel, *, missing: str = "interpolate", metric: str = "mase", **split: int) -> ForecastTask:
    design = Design(horizon=split.get("horizon", 3), season=4, targets=1, indicator=True)
    return ForecastTask(prepare(panel, missing=missing), split_of(panel, **split), design, metric)


def with_other_judging_rows(panel: Panel, split: Split, fold: int) -> Panel:
    """The panel with different values in every row from a fold's training end on."""
    generator = np.random.default_rng(9)
    within = np.arange(len(panel.target)) - np.repeat(panel.starts[:-1], np.diff(panel.starts))
    judging = (within >= np.repeat(split.folds[fold].train_ends, np.diff(panel.starts)))[:, None]

    def other(values: np.ndarray) -> np.ndarray:
        drawn = np.where(generator.random(values.shape) < 0.3, np.nan, 1e4 * generator.normal(size=values.shape))
        return np.where(judging, drawn, values).astype(np.float32)

    known = other(panel.known)
    known[:, 1] = np.where(judging[:, 0], 2, panel.known[:, 1])
    return replace(panel, target=other(panel.target), past=other(panel.past), known=known)


def seeded_network(problem: ForecastProblem, values: Hyperparameters) -> nn.Module:
    torch.manual_seed(0)
    return problem.network(values)


def gradients(problem: ForecastProblem, values: Hyperparameters, numbers: Tensor) -> list[Tensor]:
    network = seeded_network(problem, values)
    problem.loss(network, numbers).backward()  # type: ignore[no-untyped-call]
    return [parameter.grad for parameter in network.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("fold", [0, 1])
@pytest.mark.parametrize(
    "options", [{}, {"normalization": "none", "log_transform": True}, {"seasonal_adjustment": True}]
)
def test_rows_that_judge_leave_no_trace_in_what_is_fitted_or_trained(
    panel_of: PanelMaker, missing: str, fold: int, options: dict[str, Any]
) -> None:
    panel, values = rich_panel(panel_of), chosen(**options)
    changed = with_other_judging_rows(panel, split_of(panel, gap=1), fold)
    before, after = (task_of(one, missing=missing, gap=1).problems(values)[fold] for one in (panel, changed))
    assert before.examples == after.examples
    networks = [seeded_network(problem, values).state_dict() for problem in (before, after)]
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    everything = torch.arange(before.examples)
    pairs = zip(gradients(before, values, everything), gradients(after, values, everything), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("missing", MISSING)
@pytest.mark.parametrize("fold", [0, 1])
def test_rows_that_judge_leave_every_training_batch_as_it_is(panel_of: PanelMaker, missing: str, fold: int) -> None:
    panel = rich_panel(panel_of)
    changed = with_other_judging_rows(panel, split_of(panel), fold)
    problems = [task_of(one, missing=missing).problems(chosen())[fold] for one in (panel, changed)]
    before, after = (problem._gatherer.batch(problem._training.all()) for problem in problems)
    for name in ("target", "past", "static", "future"):
        assert torch.equal(getattr(before, name).nan_to_num(-1), getattr(after, name).nan_to_num(-1))
    history = before.target.shape[1]
    assert torch.equal(before.known[:, :history].nan_to_num(-1), after.known[:, :history].nan_to_num(-1))


def test_error_scale_of_a_fold_is_that_of_its_training_rows(panel_of: PanelMaker) -> None:
    panel = rich_panel(panel_of)
    changed = with_other_judging_rows(panel, split_of(panel), 0)
    scales = [task_of(one).problems(chosen())[0].truths("validation")[2][0] for one in (panel, changed)]
    assert torch.equal(*scales)


@pytest.mark.parametrize("options", [{"window": 2}, {"window": 30}, {"window": 500}, {"seasonal_residual": False}])
def test_validation_targets_are_the_same_for_every_window(panel_of: PanelMaker, options: dict[str, Any]) -> None:
    task = task_of(rich_panel(panel_of))
    for one, other in zip(task.problems(chosen()), task.problems(chosen(**options)), strict=True):
        futures = [torch.cat([batch.future for batch in p.truths("validation")[1]]) for p in (one, other)]
        assert torch.equal(futures[0].nan_to_num(-1), futures[1].nan_to_num(-1))


@pytest.mark.parametrize("options", [{}, {"seasonal_adjustment": True}])
def test_no_future_value_reaches_a_forecast(panel_of: PanelMaker, options: dict[str, Any]) -> None:
    panel, values = rich_panel(panel_of), chosen(**options)
    task = task_of(panel)
    changed = replace(with_other_judging_rows(panel, task.split, 1), known=panel.known)
    forecasts = []
    for one in (task, task_of(changed)):
        network = seeded_network(one.problems(values)[1], values).eval()
        _, batches, _ = one.problems(values)[1].truths("validation")
        forecasts.append(network(*batches[0].inputs)[::2])  # the first origin of each series' block of two
    assert torch.equal(*forecasts)


@pytest.mark.parametrize("loss", ["mae", "huber", "mse"])
def test_missing_targets_do_not_reach_the_gradient(panel_of: PanelMaker, loss: str) -> None:
    problem = task_of(panel_of(range(30)), missing="mask").problems(chosen())[0]
    last = torch.tensor([problem.examples - 1])  # one target before the limit, two beyond it
    assert all(bool(one.isfinite().all()) for one in gradients(problem, chosen(loss=loss), last))


def test_loss_is_the_mean_error_of_the_observed_targets_in_units_of_the_series(panel_of: PanelMaker) -> None:
    values = chosen(window=4, normalization="last", highway=False, seasonal_adjustment=False)
    problem = task_of(panel_of([1, 2, 3, 4] * 12)).problems(values)[0]
    network = seeded_network(problem, values)
    nn.init.zeros_(network.head.weight)
    nn.init.constant_(network.head.bias, 0.25)  # the seasonal naive is exact here; this is all that is wrong
    assert float(problem.loss(network.eval(), torch.arange(problem.examples)).detach()) == pytest.approx(0.25, rel=1e-5)


def test_an_error_counts_the_same_after_a_quiet_and_after_a_lively_window(panel_of: PanelMaker) -> None:
    values = chosen(window=4, normalization="last", highway=False, seasonal_adjustment=False)
    problem = task_of(panel_of([1, 2, 3, 4] * 10 + [10, 20, 30, 40] * 10), block=3).problems(values)[0]
    network = seeded_network(problem, values)
    nn.init.zeros_(network.head.weight)
    nn.init.constant_(network.head.bias, 0.25)  # ten times as much in the series' unit where the window is livelier
    quiet, lively = (float(problem.loss(network.eval(), torch.tensor([i])).detach()) for i in (4, problem.examples - 9))
    assert lively == pytest.approx(10 * quiet, rel=1e-4)


def test_median_of_a_quantile_loss_weighs_as_much_as_the_absolute_error(panel_of: PanelMaker) -> None:
    task = task_of(panel_of([1, 2, 3, 4] * 12))
    values = chosen(window=4, highway=False, seasonal_adjustment=False)
    problem = replace(task, design=replace(task.design, quantiles=(0.5,))).problems(values)[0]
    network = seeded_network(problem, values)
    nn.init.zeros_(network.head.weight)
    nn.init.constant_(network.head.bias, 0.25)
    assert float(problem.loss(network.eval(), torch.arange(problem.examples)).detach()) == pytest.approx(0.25, rel=1e-5)


def test_tally_of_a_perfect_forecast_is_zero_with_a_count_for_each_step(panel_of: PanelMaker) -> None:
    values = chosen(highway=False)
    task = task_of(panel_of([1, 2, 3, 4] * 6, [5, 6, 7, NAN] * 6), missing="mask")
    problem = task.problems(values)[0]
    network = seeded_network(problem, values).eval()
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    with torch.inference_mode():
        tally = problem.tally(network, "validation")
    assert task.score(tally) == pytest.approx(0, abs=1e-5)
    assert float(tally.counts.sum()) == 6 + 4  # rows 6 to 11 of both series; every fourth of the second is missing


def test_without_a_test_part_the_final_training_sees_every_row_and_is_not_judged(panel_of: PanelMaker) -> None:
    task = task_of(panel_of(range(24)), test=0, gap=2)
    problem = task.final_problem(chosen())
    batch = problem._gatherer.batch(problem._training.all())
    assert float(batch.future.nan_to_num(-1).max()) == 23
    with torch.inference_mode():
        tally = problem.tally(seeded_network(problem, chosen()).eval(), "validation")
    assert math.isnan(task.score(tally))


def test_horizon_beyond_the_block_is_judged_within_the_block(panel_of: PanelMaker) -> None:
    task = task_of(panel_of(range(40)), horizon=10, block=4)
    _, batches, _ = task.problems(chosen())[0].truths("validation")
    future = batches[0].future[0, :, 0]
    assert future[:4].tolist() == [26, 27, 28, 29]
    assert bool(future[4:].isnan().all())


@pytest.mark.parametrize("options", [{}, {"depth": 3, "bidirectional": True, "layer_norm": True, "highway": False}])
def test_parameters_are_counted_without_building_the_network(panel_of: PanelMaker, options: dict[str, Any]) -> None:
    task, values = task_of(rich_panel(panel_of)), chosen(**options)
    assert task.parameters(values) == count_parameters(task.problems(values)[0].network(values))


OTHER_VALUES = {"integer": 7, "number": 0.5}
FREE = {name: one for name, one in HYPERPARAMETERS["forecast"].items() if not one.shapes_network}


@pytest.mark.parametrize("name", FREE)
def test_what_does_not_shape_the_network_leaves_its_parameters(panel_of: PanelMaker, name: str) -> None:
    task, kind, value = task_of(rich_panel(panel_of)), FREE[name].kind, chosen()[name]
    words = [word for word in FREE[name].names if word != value]
    other = words[0] if words else OTHER_VALUES.get(kind, not value)
    assert other != value
    assert task.parameters(chosen(**{name: other})) == task.parameters(chosen())


@pytest.mark.parametrize("metric", ["mase", "smape", "mae", "rmse", "rmsse"])
def test_untrained_network_has_a_finite_score_on_every_part(panel_of: PanelMaker, metric: str) -> None:
    task, values = task_of(rich_panel(panel_of), missing="mask", metric=metric), chosen(window=25)
    for problem in task.problems(values):
        network = seeded_network(problem, values).eval()
        with torch.inference_mode():
            assert math.isfinite(task.score(problem.tally(network, "validation")))
            assert math.isfinite(task.score(problem.tally(network, "training")))


@pytest.mark.parametrize(("steps", "judged"), [(50, None), (150, 64), (500, None), (2_000, 256)])
def test_the_gap_is_measured_on_a_quarter_of_the_training_within_bounds(
    panel_of: PanelMaker, steps: int, judged: int | None
) -> None:
    task, values = task_of(panel_of(100 + np.random.default_rng(0).normal(size=steps))), chosen()
    problem = task.problems(values)[0]
    with torch.inference_mode():
        tally = problem.tally(seeded_network(problem, values).eval(), "training")
    assert len(tally.sums) == (judged or (problem.examples if steps == 50 else problem.examples // 4))


def test_values_of_a_billion_train_to_finite_gradients(panel_of: PanelMaker) -> None:
    values = chosen(loss="mse")
    problem = task_of(panel_of(1e9 + 1e6 * np.sin(np.arange(40)))).problems(values)[0]
    everything = torch.arange(problem.examples)
    assert all(bool(one.isfinite().all()) for one in gradients(problem, values, everything))


def test_sequences_are_never_written_to(panel_of: PanelMaker) -> None:
    panel = rich_panel(panel_of)
    sequences: Sequences = prepare(panel, missing="interpolate")
    for values in (sequences.target, sequences.inputs, sequences.past, sequences.known, sequences.static):
        values.flags.writeable = False
    design = Design(horizon=3, season=4, targets=1)
    problem = ForecastTask(sequences, split_of(panel), design, "mase").problems(chosen())[0]
    assert len(gradients(problem, chosen(), torch.arange(4))) > 0
