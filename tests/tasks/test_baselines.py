import math
from collections.abc import Callable

import pytest
import torch

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.tasks import baselines
from lstm_tune.tasks.baselines import quick_names, score_baseline, score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.naive import RULES

PanelMaker = Callable[..., Panel]
NAN = float("nan")


def forecast(name: str, history: list[float], *, season: int = 1, horizon: int = 3) -> list[float]:
    return RULES[name](torch.tensor(history).reshape(1, -1, 1), season, horizon).flatten().tolist()


@pytest.mark.parametrize(
    ("name", "history", "expected"),
    [
        ("last value", [1, 2, 7], [7, 7, 7]),
        ("last value", [1, 7, NAN], [7, 7, 7]),
        ("last value", [NAN, NAN, 7], [7, 7, 7]),
        ("seasonal naive", [1, 2, 3, 4, 5, 6], [5, 6, 5]),
        ("seasonal naive", [1, 2, 3, 4, NAN, 6], [6, 6, 6]),  # a missing step of the season: the last value
        ("seasonal naive", [NAN, NAN, NAN, NAN, NAN, 6], [6, 6, 6]),  # shorter than a season
        ("drift", [1, 5, 7], [10, 13, 16]),
        ("drift", [NAN, 1, 4, NAN], [10, 13, 16]),
        ("drift", [NAN, NAN, 4], [4, 4, 4]),
    ],
)
def test_baseline_by_hand(name: str, history: list[float], expected: list[float]) -> None:
    assert forecast(name, history, season=2) == expected


def test_baselines_treat_series_and_targets_apart() -> None:
    history = torch.tensor([[[1.0, 10.0], [2.0, NAN]], [[5.0, NAN], [9.0, 7.0]]])
    assert RULES["drift"](history, 1, 1).tolist() == [[[3.0, 10.0]], [[13.0, 7.0]]]


def test_seasonal_naive_runs_only_where_there_is_a_season() -> None:
    assert quick_names(1) == ["last value", "drift", "ridge"]
    assert quick_names(12) == ["last value", "seasonal naive", "drift", "ridge"]


def line_task(panel: Panel, *, metric: str = "mae", test: int = 2, quantiles: tuple[float, ...] = ()) -> ForecastTask:
    sequences = prepare(panel, missing="mask")
    split = split_panel(sequences.lengths, horizon=2, folds=2, block=2, gap=0, test=test)
    return ForecastTask(sequences, split, Design(2, 1, 1, quantiles), metric)


def test_score_is_the_fold_mean_with_its_standard_error(panel_of: PanelMaker) -> None:
    # fold 1: |10-4|, |10-4| around the block (10, 10); fold 2: the last value is 10 and the block (11, 13)
    task = line_task(panel_of([1, 2, 3, 4, 10, 10, 11, 13, 0, 0]))
    scored = score_baseline(task, "last value")
    assert scored.score == pytest.approx((6 + 2) / 2)
    assert scored.standard_error == pytest.approx(math.sqrt(8) / math.sqrt(2))
    assert score_baseline_on_test(task, "last value").score == 13


def test_tallies_hold_one_pair_a_forecast(panel_of: PanelMaker) -> None:
    task = line_task(panel_of([1, 2, 3, 4, 10, 10, 11, 13, 0, 0], [1, 1, 1, 1, 2, 2, 2, 2, 2, 2]))
    first, second = score_baseline(task, "last value").tallies
    assert first.sums.tolist() == [12, 2]
    assert second.sums.tolist() == [4, 0]
    assert first.counts.tolist() == second.counts.tolist() == [2, 2]


def test_drift_is_perfect_on_a_line(panel_of: PanelMaker) -> None:
    task = line_task(panel_of(range(12), range(0, 60, 3)), metric="mase")
    scored = score_baseline(task, "drift")
    assert (scored.score, scored.standard_error) == (0.0, 0.0)
    assert score_baseline(task, "last value").score == pytest.approx(1.5)  # errors of one and two steps of the scale


def test_baseline_answers_for_every_target_even_without_history(panel_of: PanelMaker) -> None:
    panel = panel_of([NAN] * 6 + [3, 5, 0, 0], range(10))
    scored = score_baseline(line_task(panel), "last value")
    # fold 1 has no truth in the first series; fold 2 nothing but zeros to offer for it
    assert scored.score == pytest.approx((1.5 + (3 + 5 + 1 + 2) / 4) / 2)
    assert scored.remark is None  # nobody could have forecast that series


def test_point_baseline_is_judged_as_every_quantile(panel_of: PanelMaker) -> None:
    task = line_task(panel_of([1, 2, 3, 4, 4, 4, 4, 4, 6, 2]), metric="wql", quantiles=(0.1, 0.5, 0.9))
    # errors 2 and -2 at levels 0.1, 0.5, 0.9: 2 x (0.2 + 1 + 1.8 + 1.8 + 1 + 0.2) / 3 over 8
    assert score_baseline_on_test(task, "last value").score == pytest.approx(0.5)


def test_without_a_test_part_there_is_no_test_score(panel_of: PanelMaker) -> None:
    assert math.isnan(score_baseline_on_test(line_task(panel_of(range(12)), test=0), "drift").score)


def test_seasonal_naive_stands_in_where_a_baseline_cannot_forecast(
    panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(history: torch.Tensor) -> torch.Tensor:
        forecast = RULES["last value"](history, 1, 2).clone()
        forecast[0] = torch.nan
        return forecast

    monkeypatch.setitem(baselines.FORECAST_BASELINES, "half", lambda sequences, fold, design: half)
    task = line_task(panel_of([1, 2, 3, 4, 10, 10, 11, 13, 0, 0], range(10)))
    scored = score_baseline(task, "half")
    assert scored.score == score_baseline(task, "last value").score
    assert scored.remark == "half could not make 2 of 4 forecasts; the seasonal naive stands in."
