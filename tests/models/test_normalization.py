from collections.abc import Callable

import numpy as np
import pytest
import torch

from lstm_tune.models.normalization import NORMALIZERS, last_observed

NAN = float("nan")


def normalise(name: str, *windows: list[float]) -> tuple[list[float], list[float]]:
    """Location and scale of windows of one target."""
    values = torch.tensor(windows).unsqueeze(-1)
    observed = ~values.isnan()
    location, scale = NORMALIZERS[name](torch.where(observed, values, 0.0), observed)
    assert location.shape == scale.shape == (len(windows), 1, 1)
    return location.flatten().tolist(), scale.flatten().tolist()


def masked_window(seed: int) -> list[float]:
    generator = np.random.default_rng(seed)
    values = generator.normal(20, 5, size=25)
    return np.where(generator.random(25) < 0.3, np.nan, values).tolist()


LOCATIONS: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda kept: kept.mean(),
    "last": lambda kept: kept[-1],
    "robust": lambda kept: float(np.quantile(kept, 0.5, method="nearest")),
}
SCALES: dict[str, Callable[[np.ndarray], float]] = {
    "mean": lambda kept: kept.std(),
    "last": lambda kept: kept.std(),
    "robust": lambda kept: float(np.subtract(*np.quantile(kept, [0.75, 0.25], method="nearest")) / 1.349),
}


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("seed", range(5))
def test_normalizer_agrees_with_numpy_on_the_observed_steps(name: str, seed: int) -> None:
    window = masked_window(seed)
    kept = np.array(window)[~np.isnan(window)]
    location, scale = normalise(name, window)
    assert location[0] == pytest.approx(LOCATIONS[name](kept), rel=1e-5)
    assert scale[0] == pytest.approx(SCALES[name](kept), rel=1e-5)


@pytest.mark.parametrize("name", NORMALIZERS)
def test_windows_of_a_batch_do_not_see_each_other(name: str) -> None:
    alone = normalise(name, masked_window(0))
    together = normalise(name, masked_window(0), [1e6] * 25)
    assert (together[0][0], together[1][0]) == (alone[0][0], alone[1][0])


@pytest.mark.parametrize("name", NORMALIZERS)
def test_constant_window_has_a_thousandth_of_its_magnitude_as_scale(name: str) -> None:
    location, scale = normalise(name, [-500.0] * 8)
    assert location == [-500.0]
    assert scale == pytest.approx([0.5])


@pytest.mark.parametrize("name", NORMALIZERS)
@pytest.mark.parametrize("window", [[0.0] * 6, [NAN] * 6])
def test_window_of_zeros_or_of_nothing_has_a_positive_scale(name: str, window: list[float]) -> None:
    location, scale = normalise(name, window)
    assert location == [0.0]
    assert 0 < scale[0] < 1e-6


def test_last_value_is_the_last_observed_one() -> None:
    assert normalise("last", [3.0, 7.0, 5.0, NAN, NAN])[0] == [5.0]


def test_last_observed_is_found_for_each_target() -> None:
    values = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    observed = torch.tensor([[[True, True], [True, False], [False, False]]])
    assert last_observed(values, observed).tolist() == [[[2.0, 10.0]]]


@pytest.mark.parametrize("name", NORMALIZERS)
def test_values_of_a_billion_are_normalised_without_overflow(name: str) -> None:
    window = (1e9 + 1e6 * np.arange(12)).tolist()
    location, scale = normalise(name, window)
    assert location[0] == pytest.approx(LOCATIONS[name](np.array(window)), rel=1e-6)
    assert scale[0] == pytest.approx(SCALES[name](np.array(window)), rel=1e-2)
