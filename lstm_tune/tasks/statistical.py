"""ETS, Theta and ARIMA by the optional package `statsforecast`, fitted to each series' own history at each origin.

Shape letters: B batch, C context steps, h horizon, Y targets.
"""

import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_tune.data.folds import Fold
from lstm_tune.data.scaling import Doubles
from lstm_tune.data.sequences import Sequences
from lstm_tune.models.forecaster import Design

LONGEST_SEASON = 24
"""Steps in a season that ETS and ARIMA model themselves; a longer one is first taken out by STL, as in R's stlf."""

FITTED_SEASONS, FITTED_STEPS = 10, 200
"""A model is fitted to the last so many seasons, and so many steps at least: old steps cost time and add no skill."""

APPROXIMATE_STEPS, APPROXIMATE_SEASON = 150, 12
"""Beyond either, ARIMA's orders are compared by an approximate likelihood, as in R's auto.arima."""


def is_installed() -> bool:
    """Whether the optional package is there."""
    return find_spec("statsforecast") is not None


def load() -> None:
    """Imports the optional package, which takes seconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import_module("statsforecast.models")


def theta(history: Doubles, season: int, horizon: int) -> Doubles:
    """The best of four Theta models; a season is divided out where a test finds one (Fiorucci et al. 2016)."""
    from statsforecast.models import AutoTheta

    return _mean(AutoTheta(season_length=season), history, horizon)


def ets(history: Doubles, season: int, horizon: int) -> Doubles:
    """Exponential smoothing, chosen by AICc (Hyndman et al. 2002)."""
    from statsforecast.models import AutoETS

    if season > LONGEST_SEASON:
        return _mean(_deseasonalised(AutoETS(model="ZZN"), season), history, horizon)
    return _mean(AutoETS(season_length=season), history, horizon)


def arima(history: Doubles, season: int, horizon: int) -> Doubles:
    """ARIMA, its orders found by stepwise search (Hyndman and Khandakar 2008)."""
    from statsforecast.models import AutoARIMA

    if season > LONGEST_SEASON:
        return _mean(_deseasonalised(AutoARIMA(), season), history, horizon)
    approximate = len(history) > APPROXIMATE_STEPS or season > APPROXIMATE_SEASON
    return _mean(AutoARIMA(season_length=season, approximation=approximate), history, horizon)


def _deseasonalised(model: Any, season: int) -> Any:
    from statsforecast.models import MSTL

    return MSTL(season_length=season, trend_forecaster=model)


def _mean(model: Any, history: Doubles, horizon: int) -> Doubles:
    return np.asarray(model.forecast(y=history, h=horizon)["mean"], dtype=np.float64)


MODELS = {"Theta": theta, "ETS": ets, "ARIMA": arima}
"""Name to model, the fastest first: about 0.01, 0.1 and 0.5 s for ten years of months."""


def local_model(name: str) -> Callable[[Sequences, Fold, Design], Callable[[Tensor], Tensor]]:
    """A baseline that fits one of `MODELS` to every history it is shown, so it needs no training part."""
    return lambda sequences, fold, design: partial(
        forecast_each, name=name, season=design.season, horizon=design.horizon
    )


def forecast_each(history: Tensor, *, name: str, season: int, horizon: int) -> Tensor:
    """Forecasts [B, h, Y] of histories [B, C, Y], each target by itself; NaN where the model cannot be fitted.

    Missing values repeat the last one before them; missing ones at the start are left out.
    """
    forecasts = torch.full((history.shape[0], horizon, history.shape[2]), torch.nan, dtype=history.dtype)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # convergence remarks, one a fit
        for row in range(history.shape[0]):
            for k in range(history.shape[2]):
                values = history[row, :, k].double().numpy()
                forecasts[row, :, k] = torch.from_numpy(_forecast(values, name, season, horizon))
    return forecasts


def _forecast(history: Doubles, name: str, season: int, horizon: int) -> Doubles:
    nothing = np.full(horizon, np.nan)
    observed = np.flatnonzero(~np.isnan(history))
    if not len(observed):
        return nothing
    steps = np.arange(observed[0], len(history))
    filled = history[observed[np.searchsorted(observed, steps, side="right") - 1]]
    series = filled[-max(FITTED_SEASONS * season, FITTED_STEPS) :]
    try:
        forecast = MODELS[name](series, season, horizon)
    except Exception:  # the package raises bare ones, of short series above all; the caller counts and replaces them
        return nothing
    return np.where(np.isfinite(forecast), forecast, np.nan)
