"""The closed-form linear map beside the LSTM."""

import numpy as np
import torch

from lstm_tune.models.linear import Highway, simple_forecasts, solve_ridge

NAN = float("nan")


def examples(count: int = 200, *, noise: float = 0.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Windows [E, 3, 1] whose two next steps are 2 a - b + 1 and c / 2, and units of one."""
    random = torch.Generator().manual_seed(0)
    window = torch.randn(count, 3, 1, generator=random)
    truth = torch.stack([2 * window[:, 0] - window[:, 1] + 1, window[:, 2] / 2], dim=1)
    return window, truth + noise * torch.randn(truth.shape, generator=random), torch.ones(count, 1, 1)


def test_highway_finds_an_exact_linear_map() -> None:
    window, truth, unit = examples()
    highway = Highway(3, 2)
    highway.fit(window, truth, unit)
    assert torch.allclose(highway(window), truth, atol=1e-4)


def test_highway_leaves_examples_with_missing_truth_out() -> None:
    window, truth, unit = examples()
    truth[::2, 1] = NAN
    truth[::2, 0] = 1e6
    highway = Highway(3, 2)
    highway.fit(window, truth, unit)
    assert torch.allclose(highway(window)[1::2], truth[1::2], atol=1e-4)


def test_highway_stays_at_zero_without_examples() -> None:
    window, truth, unit = examples(3)
    highway = Highway(3, 2)
    highway.fit(window, torch.full_like(truth, NAN), unit)
    assert not highway(window).any()


def test_constant_windows_get_no_weight() -> None:
    highway = Highway(3, 2)
    highway.fit(torch.zeros(10, 3, 1), torch.ones(10, 2, 1), torch.ones(10, 1, 1))
    assert torch.allclose(highway(torch.zeros(1, 3, 1)), torch.ones(1, 2, 1), atol=1e-5)
    assert not highway.get_buffer("weight").any()


def test_errors_count_in_their_units() -> None:
    window = torch.zeros(4, 3, 1)
    truth = torch.tensor([0.0, 0.0, 0.0, 1.0]).reshape(4, 1, 1)
    highway = Highway(3, 1)
    highway.fit(window, truth, torch.tensor([1.0, 1.0, 1.0, 3.0]).reshape(4, 1, 1))
    assert highway(window)[0, 0, 0].item() == 9 / 12  # mean with squared units as weights


def test_correction_is_added_to_the_fit() -> None:
    window, truth, unit = examples()
    highway = Highway(3, 2)
    highway.fit(window, truth, unit)
    torch.nn.init.ones_(highway.correction.bias)
    assert torch.allclose(highway(window), truth + 1, atol=1e-4)


def test_penalty_grows_where_there_is_only_noise() -> None:
    noise = np.random.default_rng(3).normal(size=60)
    solved, _ = solve_ridge(  # inputs that tell nothing about the targets
        torch.from_numpy(noise[:40].reshape(20, 2)),
        torch.ones(20).double(),
        torch.from_numpy(noise[40:].reshape(20, 1)),
    )
    least_squares = np.linalg.lstsq(np.c_[noise[:40].reshape(20, 2), np.ones(20)], noise[40:], rcond=None)[0]
    assert solved.norm() < 0.5 * np.linalg.norm(least_squares[:2])


def test_simple_forecasts_are_the_season_its_mean_and_the_last_value() -> None:
    window = torch.tensor([1.0, 3.0, 6.0, 12.0]).double()  # two seasons of two steps, their means 2 and 9
    naive, mean, last = window @ simple_forecasts(4, 3, season=2)
    seasonal = torch.tensor([6.0, 12.0, 6.0]).double()
    assert naive.tolist() == [0, 0, 0]
    assert torch.allclose(seasonal + mean, torch.tensor([7.0, 11.0, 7.0]).double())  # 9 and half of (-1 - 3), (1 + 3)
    assert torch.allclose(seasonal + last, torch.tensor([12.0, 12.0, 12.0]).double())


def test_a_season_longer_than_the_window_leaves_the_seasonal_naive_forecast() -> None:
    assert not simple_forecasts(4, 3, season=5).any()
    assert simple_forecasts(4, 3, season=5).shape == (1, 4, 3)


def test_fit_is_pulled_to_the_mean_of_the_simple_forecasts() -> None:
    random = torch.Generator().manual_seed(0)
    wanted = simple_forecasts(4, 2, season=2).mean(dim=0).float()
    window = torch.randn(20, 4, 1, generator=random)
    truth = torch.einsum("ewy,wh->ehy", window, wanted) + 3 * torch.randn(20, 2, 1, generator=random)
    distances = []
    for season in (1, 2):
        highway = Highway(4, 2)
        highway.fit(window, truth, torch.ones(20, 1, 1), season=season)
        distances.append((highway.get_buffer("weight").T - wanted).norm())
    assert distances[1] < 0.7 * distances[0]


def test_old_steps_weigh_less_where_the_data_says_little() -> None:
    random = torch.Generator().manual_seed(0)
    window = torch.randn(60, 12, 1, generator=random)
    truth = window.sum(dim=1, keepdim=True) + 6 * torch.randn(60, 1, 1, generator=random)  # every step counts the same
    highway = Highway(12, 1)
    highway.fit(window, truth, torch.ones(60, 1, 1))
    weight = highway.get_buffer("weight")[0].abs()
    assert weight[:6].mean() < 0.7 * weight[6:].mean()
