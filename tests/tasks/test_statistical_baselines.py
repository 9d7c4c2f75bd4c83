from collections.abc import Callable

import numpy as np
import pytest
import torch

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.tasks import baselines, statistical
from lstm_tune.tasks.baselines import offer_statistical, score_baseline, score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.statistical import MODELS, forecast_each

PanelMaker = Callable[..., Panel]
NAN = float("nan")

needs_package = pytest.mark.skipif(not statistical.is_installed(), reason="the extra `baselines` is not installed")


def seasonal_task(panel: Panel) -> ForecastTask:
    split = split_panel(panel.histories, horizon=4, folds=2, block=4, gap=0, test=4)
    return ForecastTask(prepare(panel, missing="interpolate"), split, Design(4, 4, 1), "mae")


def seasonal(steps: int) -> list[float]:
    return [50 + t + 10 * (t % 4 == 0) + (t * 7919 % 13) / 13 for t in range(steps)]


def forecast(name: str, history: list[float], *, season: int = 4) -> list[float]:
    values = torch.tensor(history).reshape(1, -1, 1)
    return forecast_each(values, name=name, season=season, horizon=4).flatten().tolist()


def test_reason_names_the_extra_where_the_package_is_absent(
    panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(baselines, "is_installed", lambda: False)
    offer = offer_statistical(seasonal_task(panel_of(seasonal(40))), budget_s=60)
    assert offer.names == ()
    assert offer.reasons == ('Theta, ETS and ARIMA were not scored: they need pip install "lstm-tune[baselines]".',)


@needs_package
def test_all_are_offered_where_there_is_time(panel_of: PanelMaker) -> None:
    offer = offer_statistical(seasonal_task(panel_of(seasonal(40))), budget_s=600)
    assert offer == baselines.Offer(("Theta", "ETS", "ARIMA"), ())


@needs_package
def test_slow_ones_are_left_out_whole_and_say_why(panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = iter([0.1, 1.0, 0.2])
    monkeypatch.setattr(baselines, "_seconds_a_forecast", lambda *_, at_most_s: next(seconds))
    offer = offer_statistical(seasonal_task(panel_of(seasonal(40), seasonal(40))), budget_s=2)  # six forecasts
    assert offer.names == ("Theta", "ARIMA")
    assert offer.reasons == (
        "ETS was not scored: its 6 forecasts would take about 6 s, and 1 s of the 2 s for statistical baselines"
        " were left.",
    )


@needs_package
@pytest.mark.parametrize("name", MODELS)
def test_statistical_baseline_beats_the_last_value(panel_of: PanelMaker, name: str) -> None:
    task = seasonal_task(panel_of(seasonal(48)))
    scored = score_baseline(task, name)
    assert scored.score < 1.5 < score_baseline(task, "last value").score
    assert score_baseline_on_test(task, name).score < 1.5
    assert scored.replaced == 0


@needs_package
@pytest.mark.parametrize("name", MODELS)
def test_a_constant_history_goes_on(name: str) -> None:
    np.testing.assert_allclose(forecast(name, [7.0] * 24), 7.0, rtol=1e-6)


@needs_package
@pytest.mark.parametrize("name", MODELS)
def test_missing_values_repeat_the_one_before(name: str) -> None:
    history = seasonal(40)
    filled = [history[0], history[0], *history[2:]]
    assert forecast(name, [NAN, NAN, history[0], NAN, *history[2:]]) == pytest.approx(forecast(name, filled))


@needs_package
@pytest.mark.parametrize("name", MODELS)
def test_without_any_value_there_is_no_forecast(name: str) -> None:
    assert np.isnan(forecast(name, [NAN] * 8)).all()


@needs_package
def test_a_long_season_is_taken_out_first() -> None:
    history = [10 * np.sin(t * 2 * np.pi / 30) + (t * 7919 % 13) / 130 for t in range(120)]
    values = torch.tensor(history).reshape(1, -1, 1)
    made = forecast_each(values, name="ETS", season=30, horizon=30).flatten()
    np.testing.assert_allclose(made, 10 * np.sin(np.arange(120, 150) * 2 * np.pi / 30), atol=0.5)


@needs_package
def test_ets_on_a_few_values_is_replaced_and_counted(panel_of: PanelMaker) -> None:
    task = seasonal_task(panel_of([NAN] * 30 + [3.0, 5.0] * 9, seasonal(48)))
    scored = score_baseline_on_test(task, "ETS")
    assert scored.remark is None
    short = seasonal_task(panel_of([NAN] * 41 + [3.0, 5.0, 3.0, 5.0, 3.0, 5.0, 3.0], seasonal(48)))
    scored = score_baseline_on_test(short, "ETS")
    assert scored.remark == "ETS could not make 1 of 2 forecasts; the seasonal naive stands in."


@needs_package
def test_known_values() -> None:
    line = [float(3 * t) for t in range(40)]  # differences without variance: a random walk with drift
    assert forecast("ARIMA", line, season=1) == pytest.approx([120, 123, 126, 129])
    alternating = [10.0, 20.0, 40.0, 30.0] * 12
    for name in MODELS:
        assert forecast(name, alternating) == pytest.approx([10, 20, 40, 30], rel=0.02)
