from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lstm_tune.models.features import FeatureStatistics
from lstm_tune.models.forecaster import Design, Ensemble, Forecaster, ForecastStatistics, context_steps
from lstm_tune.models.linear import Highway
from lstm_tune.models.seasonality import PROFILE_SEASONS
from lstm_tune.spec.hyperparameters import completed

NAN = float("nan")


def statistics(targets: int = 1, known: tuple[int, ...] = (), past: tuple[int, ...] = ()) -> ForecastStatistics:
    """Of a target with mean 50, deviation 10 and smallest value 2."""
    blank = FeatureStatistics.blank
    levels = (torch.full((targets,), value) for value in (50.0, 10.0, 2.0))
    return ForecastStatistics(*levels, past=blank(past), known=blank(known), static=blank([]))


def forecaster(design: Design | None = None, fitted: ForecastStatistics | None = None, **chosen: Any) -> Forecaster:
    """A small forecaster in evaluation mode whose highway and head are random."""
    torch.manual_seed(0)
    values = completed({"units": 6, "window": 8, "seasonal_adjustment": False, **chosen}, task="forecast")
    network = Forecaster(design or Design(horizon=5, season=4, targets=1), fitted or statistics(), values)
    nn.init.normal_(network.head.weight, std=0.1)
    if network.step_head is not None:
        nn.init.normal_(network.step_head[-1].weight, std=0.1)
    if network.highway is not None:
        nn.init.normal_(network.highway.correction.weight, std=0.1)
    return network.eval()


def forecast(network: Forecaster | Ensemble, history: Tensor, known: Tensor | None = None) -> Tensor:
    """The forecast of histories [B, C, Y] without past or static covariates."""
    size, steps, _ = history.shape
    known = torch.zeros(size, steps + network.design.horizon, 0) if known is None else known
    return network(history, torch.zeros(size, steps, 0), known, torch.zeros(size, 0))  # type: ignore[no-any-return]


def histories(steps: int = 8, targets: int = 1, size: int = 3) -> Tensor:
    return 20 + torch.rand(size, steps, targets, generator=torch.Generator().manual_seed(1)) * 30


def silence_heads(network: Forecaster) -> None:
    """Leaves only what stands beside the LSTM."""
    nn.init.zeros_(network.head.weight)
    nn.init.zeros_(network.head.bias)
    network.highway = None


@pytest.mark.parametrize("normalization", ["mean", "last", "robust"])
def test_forecast_moves_with_the_level_and_the_unit_of_the_target(normalization: str) -> None:
    network, history = forecaster(normalization=normalization), histories()
    assert torch.allclose(forecast(network, history * 10 + 5), forecast(network, history) * 10 + 5, rtol=1e-4)


@pytest.mark.parametrize("normalization", ["mean", "last", "robust"])
def test_forecast_moves_with_the_level_where_the_last_steps_are_missing(normalization: str) -> None:
    network, history = forecaster(normalization=normalization), histories()
    history[:, -2:] = NAN
    assert torch.allclose(forecast(network, history * 10 + 5), forecast(network, history) * 10 + 5, rtol=1e-4)


def test_unnormalised_forecast_uses_the_level_of_the_training_rows() -> None:
    network = forecaster(normalization="none", seasonal_residual=False)
    silence_heads(network)
    assert forecast(network, histories()).unique().tolist() == [50.0]


@pytest.mark.parametrize("normalization", ["none", "mean", "last", "robust"])
def test_logarithm_keeps_forecasts_above_zero(normalization: str) -> None:
    network = forecaster(normalization=normalization, log_transform=True)
    history = histories()
    history[0, 3] = 0.0
    history[1, 4] = -5.0
    found = forecast(network, history)
    assert bool(found.isfinite().all())
    assert bool((found > 0).all())


def test_logarithm_makes_forecasts_move_with_the_unit() -> None:
    network, history = forecaster(normalization="last", log_transform=True), histories()
    assert torch.allclose(forecast(network, history * 8), forecast(network, history) * 8, rtol=1e-4)


@pytest.mark.parametrize("value", [0.0, -5.0])
def test_logarithm_counts_what_is_not_positive_as_half_the_smallest_value_of_its_history(value: float) -> None:
    network, history = forecaster(normalization="last", log_transform=True), histories()
    expected = history.clone()
    expected[:, 3] = expected[:, 4:].amin(dim=1) / 2
    expected[:, :3] = expected[:, 4:5]
    history[:, :3], history[:, 3] = expected[:, :3], value
    assert torch.allclose(forecast(network, history), forecast(network, expected), rtol=1e-5)
    assert torch.allclose(forecast(network, history * 8), forecast(network, history) * 8, rtol=1e-4)


def test_logarithm_of_a_history_without_a_positive_value_is_that_of_the_training_rows() -> None:
    network = forecaster(normalization="last", seasonal_residual=False, log_transform=True)
    silence_heads(network)
    assert torch.allclose(forecast(network, torch.zeros(1, 8, 1)), torch.ones(1, 5, 1))  # half of 2


@pytest.mark.parametrize("normalization", ["none", "mean", "last", "robust"])
@pytest.mark.parametrize("observed", [0, 1, 3])
def test_padded_window_gives_a_finite_forecast(normalization: str, observed: int) -> None:
    network = forecaster(Design(horizon=5, season=4, targets=1, indicator=True), normalization=normalization)
    history = histories()
    history[:, : 8 - observed] = NAN
    assert bool(forecast(network, history).isfinite().all())


@pytest.mark.parametrize("normalization", ["none", "mean", "last", "robust"])
def test_window_that_shows_nothing_is_forecast_at_the_level_of_the_training_rows(normalization: str) -> None:
    network = forecaster(normalization=normalization)
    silence_heads(network)
    assert forecast(network, torch.full((1, 8, 1), NAN)).flatten().tolist() == [50.0] * 5


def test_forecast_of_a_window_does_not_depend_on_its_batch() -> None:
    network, history = forecaster(), histories(size=4)
    assert torch.allclose(forecast(network, history)[2:3], forecast(network, history[2:3]), atol=1e-5)


def test_quantiles_never_cross() -> None:
    design = Design(horizon=5, season=4, targets=2, quantiles=(0.05, 0.1, 0.5, 0.9))
    network = forecaster(design, statistics(targets=2))
    nn.init.normal_(network.head.weight, std=20)
    found = forecast(network, histories(targets=2, size=50))
    assert found.shape == (50, 5, 2, 4)
    assert bool((found.diff(dim=-1) >= 0).all())


def test_quantiles_surround_the_median_by_hand() -> None:
    network = forecaster(Design(horizon=1, season=1, targets=1, quantiles=(0.1, 0.3, 0.5, 0.9)))
    raw = torch.tensor([0.0, 1.0, 2.0, -1.0]).reshape(1, 1, 1, 4)
    step = nn.functional.softplus(torch.tensor([0.0, 1.0, -1.0])).tolist()
    expected = [2 - step[0] - step[1], 2 - step[1], 2, 2 + step[2]]
    assert network._ordered(raw).flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_network_starts_at_the_seasonal_naive() -> None:
    values = completed({"seasonal_adjustment": False, "window": 8}, task="forecast")
    network, history = Forecaster(Design(5, 4, 1), statistics(), values), histories()
    expected = history[:, [4, 5, 6, 7, 4]]
    assert torch.allclose(forecast(network.eval(), history), expected, rtol=1e-5)


def test_highway_is_linear_from_the_window_to_each_step() -> None:
    network = forecaster(
        Design(horizon=2, season=1, targets=1), window=3, normalization="none", seasonal_residual=False
    )
    highway = Highway(3, 2)
    silence_heads(network)
    network.highway = highway
    highway.get_buffer("weight").copy_(torch.tensor([[1.0, 0.0, 2.0], [0.0, 3.0, 0.0]]))
    highway.get_buffer("bias").copy_(torch.tensor([0.5, -0.5]))
    nn.init.constant_(highway.correction.bias, 0.25)
    history = torch.tensor([[[40.0], [60.0], [70.0]]])
    scaled = torch.tensor([-1.0 + 4.0 + 0.75, 3.0 - 0.25])
    assert torch.allclose(forecast(network, history).flatten(), scaled * 10 + 50, atol=1e-4)


@pytest.mark.parametrize("normalization", ["none", "mean", "last", "robust"])
@pytest.mark.parametrize("window", [2, 8])
def test_seasonal_residual_without_a_head_is_the_seasonal_naive(normalization: str, window: int) -> None:
    network = forecaster(window=window, normalization=normalization)
    silence_heads(network)
    history = histories(network.context)
    expected = torch.cat([history[:, -4:], history[:, -4:-3]], dim=1)  # horizon 5, season 4
    assert torch.allclose(forecast(network, history), expected, rtol=1e-5)


@pytest.mark.parametrize("normalization", ["none", "mean", "last", "robust"])
def test_seasonal_residual_repeats_the_last_value_where_the_season_is_missing(normalization: str) -> None:
    network = forecaster(normalization=normalization)
    silence_heads(network)
    history = torch.tensor([10.0, 20, 30, 40, NAN, 60, 70, NAN]).reshape(1, 8, 1)
    assert forecast(network, history).flatten().tolist() == pytest.approx([70, 60, 70, 70, 70], rel=1e-5)


def test_context_reaches_back_a_season_only_where_it_is_used() -> None:
    values = {"window": 8, "seasonal_residual": True, "seasonal_adjustment": False}
    assert context_steps(values, season=12) == 12
    assert context_steps(values, season=4) == 8
    assert context_steps({**values, "seasonal_residual": False}, season=12) == 8


def test_context_holds_the_seasons_of_a_profile_where_it_is_used() -> None:
    values = {"window": 8, "seasonal_residual": False, "seasonal_adjustment": True}
    assert context_steps(values, season=12) == PROFILE_SEASONS * 12
    assert context_steps({**values, "window": 60}, season=12) == 60
    assert context_steps(values, season=1) == 8


@pytest.mark.parametrize("normalization", ["mean", "last", "robust"])
@pytest.mark.parametrize("is_log", [False, True])
def test_adjusted_network_without_a_head_repeats_level_and_season(normalization: str, is_log: bool) -> None:
    values = {"seasonal_adjustment": True, "seasonal_residual": False, "window": 4, "log_transform": is_log}
    network = forecaster(Design(horizon=6, season=4, targets=1), normalization=normalization, **values)
    silence_heads(network)
    season = torch.tensor([3.0, -1.0, 0.5, -2.5]).repeat(4) / (100 if is_log else 1)
    history = (3 + season).exp() if is_log else 30 + season
    expected = history[[0, 1, 2, 3, 0, 1]]
    assert torch.allclose(forecast(network, history.reshape(1, 16, 1)).flatten(), expected, rtol=1e-4)


def test_adjusted_forecast_moves_with_the_level_and_the_unit_of_the_target() -> None:
    network, history = forecaster(seasonal_adjustment=True), histories(steps=16)
    assert torch.allclose(forecast(network, history * 10 + 5), forecast(network, history) * 10 + 5, rtol=1e-4)


def test_adjusted_quantiles_do_not_cross() -> None:
    design = Design(horizon=5, season=4, targets=2, quantiles=(0.1, 0.5, 0.9))
    found = forecast(forecaster(design, statistics(2), seasonal_adjustment=True), histories(steps=16, targets=2))
    assert found.shape == (3, 5, 2, 3)
    assert bool((found.diff(dim=-1) >= 0).all())


def test_known_covariate_acts_on_its_own_forecast_step_and_not_on_others() -> None:
    network = forecaster(fitted=statistics(known=(0,)))
    known = torch.zeros(1, 13, 1)
    changed = known.clone()
    changed[0, 8 + 2] = 1.0
    moved = forecast(network, histories(size=1), changed) != forecast(network, histories(size=1), known)
    assert moved.flatten().tolist() == [False, False, True, False, False]


def test_targets_have_forecasts_of_their_own() -> None:
    network = forecaster(Design(horizon=5, season=4, targets=2), statistics(targets=2))
    silence_heads(network)
    history = histories(targets=2)
    assert torch.allclose(forecast(network, history)[:, :4], history[:, -4:], rtol=1e-5)


def test_noise_and_dropout_act_in_training_only() -> None:
    network, history = forecaster(input_noise=0.5, dropout=0.5, input_dropout=0.5, recurrent_dropout=0.5), histories()
    assert torch.equal(forecast(network, history), forecast(network, history))
    network.train()
    assert not torch.equal(forecast(network, history), forecast(network, history))


def test_truth_is_scaled_as_the_forecast_is() -> None:
    network, history = forecaster(log_transform=True), histories()
    empty = torch.zeros(3, 8, 0), torch.zeros(3, 13, 0), torch.zeros(3, 0)
    view = network.view(history, *empty)
    back = network.scaled_target(forecast(network, history), view)
    assert torch.allclose(back, network.scaled(view), atol=1e-4)


def test_ensemble_averages_members_that_read_windows_of_different_length() -> None:
    short, long = forecaster(window=4), forecaster(window=12)
    ensemble, history = Ensemble([short, long]).eval(), histories(12)
    expected = (forecast(short, history[:, -4:]) + forecast(long, history)) / 2
    assert ensemble.context == 12
    assert torch.allclose(forecast(ensemble, history), expected)


def test_ensemble_gives_each_member_the_covariates_of_its_own_steps() -> None:
    short, long = (forecaster(fitted=statistics(known=(0,)), window=window) for window in (4, 12))
    history, known = histories(12), torch.rand(3, 17, 1)
    expected = (forecast(short, history[:, -4:], known[:, -9:]) + forecast(long, history, known)) / 2
    assert torch.allclose(forecast(Ensemble([short, long]), history, known), expected)
