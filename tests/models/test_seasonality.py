import numpy as np
import pytest
import torch
from torch import Tensor

from lstm_tune.models.seasonality import seasonal_profile

NAN = float("nan")


def profile_of(history: Tensor, season: int) -> Tensor:
    """The profile of histories [B, C, Y] with NaN where missing."""
    return seasonal_profile(history.nan_to_num(0.0), ~history.isnan(), season)


def line_and_season(season: int, steps: int, *, size: float = 3.0) -> tuple[Tensor, Tensor]:
    """A rising line with a season [1, C, 1], and the season from the first step after it [m]."""
    pattern = torch.from_numpy(np.random.default_rng(0).normal(size=season)).float() * size
    pattern = pattern - pattern.mean()
    times = torch.arange(steps)
    history = 50 + 0.7 * times + pattern[times % season]
    return history.reshape(1, -1, 1), pattern[(torch.arange(season) + steps) % season]


@pytest.mark.parametrize("season", [2, 4, 5, 12])
@pytest.mark.parametrize("extra", [0, 1, 3])
def test_profile_of_a_line_and_a_season_is_the_season(season: int, extra: int) -> None:
    history, expected = line_and_season(season, 4 * season + extra)
    assert torch.allclose(profile_of(history, season)[0, :, 0], expected, atol=1e-4)


def test_profile_agrees_with_the_classical_decomposition() -> None:
    history = line_and_season(4, 16)[0] + torch.randn(1, 16, 1, generator=torch.Generator().manual_seed(1)) / 10
    values = history.flatten().double().numpy()
    level = np.convolve(values, [0.125, 0.25, 0.25, 0.25, 0.125], mode="valid")
    difference = (values[2:-2] - level).reshape(3, 4)[:, [2, 3, 0, 1]]  # the first inner step has place 2
    average = difference.mean(axis=0)
    noise = np.square(difference - average).sum() / (3 * 4 - 4) / 3
    average -= average.mean()
    expected = average * (1 - noise / np.square(average).mean())
    assert np.allclose(profile_of(history, 4)[0, :, 0].numpy(), expected, atol=1e-4)


def test_profile_of_noise_is_shrunk_to_little() -> None:
    history = torch.randn(400, 48, 1, generator=torch.Generator().manual_seed(1))
    assert float(profile_of(history, 12).square().mean()) < 0.15 / 3  # the plain averages of three have about a third


@pytest.mark.parametrize("steps", [3, 12, 13, 23, 24])
def test_history_of_two_seasons_or_fewer_has_no_profile(steps: int) -> None:
    assert not profile_of(line_and_season(12, steps)[0], 12).any()


def test_padding_and_gaps_do_not_change_the_profile_of_a_clean_season() -> None:
    history, expected = line_and_season(4, 24)
    history[0, :5] = NAN
    history[0, 9] = NAN
    assert torch.allclose(profile_of(history, 4)[0, :, 0], expected, atol=1e-4)


def test_history_without_an_observation_has_no_profile() -> None:
    assert not profile_of(torch.full((1, 48, 2), NAN), 12).any()


def test_profile_is_of_each_target_by_itself() -> None:
    both = torch.cat([line_and_season(4, 16)[0], line_and_season(4, 16, size=7.0)[0].flip(1)], dim=2)
    found = profile_of(both, 4)
    for target in range(2):
        assert torch.allclose(found[..., target : target + 1], profile_of(both[..., target : target + 1], 4), atol=1e-5)
