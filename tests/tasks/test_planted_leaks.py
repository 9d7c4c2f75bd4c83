"""Leaks planted on purpose: each must be caught, by the check that guards against it or by `validate`."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lstm_tune.data import folds as folds_module
from lstm_tune.data.folds import Fold, Split, split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import Sequences, prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.spec.loading import parse_experiment
from lstm_tune.tasks import forecast as forecast_module
from lstm_tune.tasks.assembly import assemble
from lstm_tune.tasks.forecast import ForecastTask

PanelMaker = Callable[..., Panel]


def panel_of_two(panel_of: PanelMaker) -> Panel:
    random = np.random.default_rng(1)
    return panel_of(*(50 + 10 * random.normal(size=steps) for steps in (40, 46)))


def learned(panel: Panel, split: Split, fold: int) -> list[torch.Tensor]:
    """Everything that is fitted to a fold's training rows, and the gradient of its whole training loss."""
    task = ForecastTask(prepare(panel, missing="error"), split, Design(horizon=3, season=4, targets=1), "mase")
    values = completed({"units": 4, "window": 6, "normalization": "none"}, task="forecast")
    problem = task.problems(values)[fold]
    torch.manual_seed(0)
    network = problem.network(values)
    problem.loss(network, torch.arange(problem.examples)).backward()  # type: ignore[no-untyped-call]
    gradients = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    return [*network.state_dict().values(), *gradients]


def judged_rows_leave_no_trace(panel: Panel) -> bool:
    """Whether a fold learns the same when every row that judges it, and every later one, has another value."""
    split = split_panel(panel.histories, horizon=3, folds=2, block=6, gap=0, test=6)
    sizes = np.diff(panel.starts)
    step = np.arange(len(panel.target)) - np.repeat(panel.starts[:-1], sizes)
    for k, fold in enumerate(split.folds):
        first_judged = np.repeat(panel.histories - 6 - (2 - k) * 6, sizes)  # by hand: two blocks of 6, then a test of 6
        other = np.where((step >= first_judged)[:, None], 1e4 + panel.target, panel.target)
        pairs = zip(learned(panel, split, k), learned(replace(panel, target=other), split, k), strict=True)
        if not all(torch.equal(one, changed) for one, changed in pairs):
            return False
        assert fold.series == 2
    return True


def test_folds_learn_nothing_from_the_rows_that_judge_them(panel_of: PanelMaker) -> None:
    assert judged_rows_leave_no_trace(panel_of_two(panel_of))


def test_planted_scaler_of_all_rows_is_caught(panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def every_row(sequences: Sequences, fold: Fold) -> np.ndarray:
        return np.ones(len(sequences.target), dtype=bool)

    monkeypatch.setattr(forecast_module, "training_rows", every_row)
    assert not judged_rows_leave_no_trace(panel_of_two(panel_of))


def test_planted_rows_on_both_sides_of_a_fold_are_caught(panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = folds_module._fold
    monkeypatch.setattr(folds_module, "_fold", lambda starts, ends, gap: whole(starts, ends, -1))
    assert not judged_rows_leave_no_trace(panel_of_two(panel_of))


def test_planted_target_among_the_known_covariates_is_caught(tmp_path: Path) -> None:
    values = 50 + np.random.default_rng(2).normal(size=60)
    frame = pl.DataFrame({"t": np.arange(60), "y": values, "sales_in_euro": 1.96 * values})
    frame.write_csv(tmp_path / "a.csv")
    data = {"path": "a.csv", "time": "t", "target": "y", "covariates": {"known": "sales_in_euro"}}
    raw = {"name": "a", "task": {"kind": "forecast", "horizon": 3}, "data": data, "validation": {"folds": 2}}
    with pytest.raises(InputError, match=r"column 'sales_in_euro' \(known\) must be known 3 steps ahead"):
        assemble(parse_experiment(raw), folder=tmp_path)


def test_planted_group_is_refused_as_folds_of_forecasts_follow_time() -> None:
    raw = {"name": "a", "task": {"kind": "forecast", "horizon": 3}, "data": {"path": "a.csv", "target": "y"}}
    with pytest.raises(InputError, match=r"groups does not apply to forecasting, whose folds follow time"):
        parse_experiment({**raw, "validation": {"groups": "customer"}})


def test_planted_series_under_one_name_twice_is_caught(tmp_path: Path) -> None:
    frame = pl.DataFrame({"s": ["a"] * 80, "t": [*range(40), *range(40)], "y": np.arange(80.0)})
    frame.write_csv(tmp_path / "a.csv")
    data = {"path": "a.csv", "time": "t", "target": "y", "series": "s"}
    raw = {"name": "a", "task": {"kind": "forecast", "horizon": 3}, "data": data}
    with pytest.raises(InputError, match=r"must have each time once"):
        assemble(parse_experiment(raw), folder=tmp_path)
