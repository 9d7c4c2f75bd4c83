from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import Sequences, prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.tasks import ridge
from lstm_tune.tasks.ridge import fit_ridge

PanelMaker = Callable[..., Panel]
Doubles = NDArray[np.float64]


def fold_at(*train_ends: int, block: int = 4) -> Fold:
    ends = np.array(train_ends, dtype=np.int64)
    return Fold(ends, ends, ends + block)


def fitted(panel: Panel, fold: Fold, *, horizon: int = 2, season: int = 1, missing: str = "mask") -> Tensor:
    """The forecast of the first series at the end of its training steps, [h]."""
    forecast = fit_ridge(prepare(panel, missing=missing), fold, Design(horizon, season, 1))
    history = torch.from_numpy(panel.target[None, : fold.train_ends[0]])
    return forecast(history)[0, :, 0]


def autoregression(steps: int, *, noise: float = 1.0, seed: int = 0) -> Doubles:
    """y_t = 1.2 y_(t-1) - 0.6 y_(t-2) + noise."""
    shocks = np.random.default_rng(seed).normal(size=steps) * noise
    values = np.zeros(steps)
    values[:2] = 5.0, -3.0
    for t in range(2, steps):
        values[t] = 1.2 * values[t - 1] - 0.6 * values[t - 2] + shocks[t]
    return values


def test_ridge_finds_the_map_of_an_ar2_process(panel_of: PanelMaker) -> None:
    values = autoregression(4000)
    forecast = fitted(panel_of(values), fold_at(3996), season=2)
    one = 1.2 * values[3995] - 0.6 * values[3994]
    two = 1.2 * one - 0.6 * values[3995]
    np.testing.assert_allclose(forecast, [one, two], atol=0.25)  # the noise has deviation 1


def test_ridge_continues_a_noiseless_season(panel_of: PanelMaker) -> None:
    sine = 100 + 10 * np.sin(np.arange(64) * 2 * np.pi / 8)
    forecast = fitted(panel_of(sine), fold_at(60), horizon=4, season=8)
    np.testing.assert_allclose(forecast, sine[60:], atol=0.01)
    assert np.abs(sine[60:] - sine[59]).mean() > 5  # what the last value would miss


def test_ridge_continues_a_line(panel_of: PanelMaker) -> None:
    np.testing.assert_allclose(fitted(panel_of(range(0, 60, 3)), fold_at(20)), [60, 63], rtol=1e-5)


def test_ridge_moves_and_grows_with_the_history(panel_of: PanelMaker) -> None:
    panel = panel_of(autoregression(80))
    forecast = fit_ridge(prepare(panel, missing="mask"), fold_at(76), Design(2, 1, 1))
    history = torch.from_numpy(panel.target[None, :76]).double()
    torch.testing.assert_close(forecast(7 + 3 * history), 7 + 3 * forecast(history))


def test_a_small_series_counts_as_much_as_a_large_one(panel_of: PanelMaker) -> None:
    values = autoregression(60)
    swing = 1000 * np.sin(np.arange(60))
    alike = fitted(panel_of(values, swing), fold_at(56, 56))
    scaled = fitted(panel_of(values, swing / 1e6), fold_at(56, 56))
    torch.testing.assert_close(alike, scaled, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("missing", ["mask", "interpolate", "forward"])
def test_no_step_after_the_training_end_changes_the_fit(panel_of: PanelMaker, missing: str) -> None:
    values = autoregression(64)
    values[[20, 21, 40, 59]] = np.nan  # a hole reaches over the training end
    other = values.copy()
    other[60:] = 1e6
    one, two = (fitted(panel_of(given), fold_at(60), missing=missing) for given in (values, other))
    assert torch.equal(one, two)
    assert not one.isnan().any()


def test_missing_targets_are_left_out(panel_of: PanelMaker) -> None:
    line = np.arange(40.0)
    line[[9, 17, 18, 30]] = np.nan
    np.testing.assert_allclose(fitted(panel_of(line), fold_at(36)), [36, 37], atol=0.3)


def test_each_target_is_fitted_by_itself(panel_of: PanelMaker) -> None:
    first, second = autoregression(80), autoregression(80, seed=1)
    single = prepare(panel_of(first), missing="mask")
    values = np.stack([first, second], axis=1).astype(np.float32)
    fields = {**vars(single), "target": values, "inputs": values}
    both = fit_ridge(Sequences(**fields), fold_at(76), Design(2, 1, 2))(torch.from_numpy(values[None, :76]))
    alone = fit_ridge(single, fold_at(76), Design(2, 1, 1))(torch.from_numpy(values[None, :76, :1]))
    torch.testing.assert_close(both[:, :, :1], alone)


def test_a_constant_history_goes_on(panel_of: PanelMaker) -> None:
    panel = panel_of([7.0] * 30, autoregression(30))
    assert fitted(panel, fold_at(26, 26)).tolist() == [7, 7]


def test_constant_data_cannot_be_fitted(panel_of: PanelMaker) -> None:
    assert fitted(panel_of([7.0] * 30), fold_at(26)).isnan().all()


@pytest.mark.parametrize("train_end", [2, 3, 4, 5, 8, 13])
def test_short_series_get_a_shorter_window_or_none(panel_of: PanelMaker, train_end: int) -> None:
    forecast = fitted(panel_of(np.sqrt(np.arange(1.0, 21.0))), fold_at(train_end), season=4)
    assert forecast.isnan().all() if train_end < 5 else forecast.isfinite().all()  # two windows of two, two targets


def test_histories_shorter_than_the_window_are_extended_backwards(panel_of: PanelMaker) -> None:
    forecast = fit_ridge(prepare(panel_of(autoregression(80)), missing="mask"), fold_at(76), Design(2, 4, 1))
    short = torch.tensor([3.0, 5.0, 4.0]).reshape(1, -1, 1)
    extended = torch.tensor([3.0] * 10 + [5.0, 4.0]).reshape(1, -1, 1)
    torch.testing.assert_close(forecast(short), forecast(extended))
    assert forecast(torch.full((1, 5, 1), torch.nan)).isnan().all()


def test_many_windows_are_thinned_evenly(panel_of: PanelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    values = autoregression(2000)
    every = fitted(panel_of(values), fold_at(1996))
    monkeypatch.setattr(ridge, "MOST_WINDOWS", 500)
    torch.testing.assert_close(fitted(panel_of(values), fold_at(1996)), every, atol=0.5, rtol=0)
