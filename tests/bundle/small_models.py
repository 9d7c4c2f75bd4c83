"""Models small enough to check by hand."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn

from lstm_tune.bundle.files import Bundle, Member, Preprocessing
from lstm_tune.data.panel import Columns, Feature, Frequency, category_counts
from lstm_tune.models.features import FeatureStatistics
from lstm_tune.models.forecaster import Design, Ensemble, Forecaster, ForecastStatistics
from lstm_tune.spec.hyperparameters import Value, completed

KIND = Feature("kind", ("a", "b"))
PRICE = Feature("price")


def small_bundle(
    columns: Columns,
    *,
    every: str = "1d",
    horizon: int = 2,
    season: int = 1,
    quantiles: tuple[float, ...] = (),
    features: Mapping[str, Sequence[Feature]] | None = None,
    members: int = 1,
    missing: str = "interpolate",
    seed: int = 0,
    **changes: Value,
) -> Bundle:
    """An untrained model with a window of four steps unless hyperparameters are changed, with random weights."""
    torch.manual_seed(seed)
    roles: dict[str, tuple[Feature, ...]] = {role: tuple(found) for role, found in (features or {}).items()}
    hyperparameters: dict[str, Value] = completed(
        {"units": 4, "window": 4, "seasonal_adjustment": False, **changes}, task="forecast"
    )
    targets = len(columns.targets)
    encoders = {role: _statistics(roles.get(role, ())) for role in ("past", "known", "static")}
    statistics = ForecastStatistics(torch.zeros(targets), torch.ones(targets), torch.ones(targets), **encoders)
    design = Design(horizon=horizon, season=season, targets=targets, quantiles=quantiles)
    network = Ensemble([Forecaster(design, statistics, hyperparameters) for _ in range(members)])
    for parameter in network.parameters():  # a new head is silent
        nn.init.normal_(parameter, std=0.3)
    preprocessing = Preprocessing(columns, Frequency(every), missing, **roles)
    origins = (Member(3, hyperparameters),) * members
    return Bundle("small", network.requires_grad_(False).eval(), preprocessing, origins, {"test_score": 0.5})


def silenced(bundle: Bundle) -> Bundle:
    """The same model with an LSTM that says nothing: it forecasts the seasonal naive forecast."""
    for member in bundle.network.members:
        for layer in (member.head, member.highway.correction):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)
    return bundle


def _statistics(features: Sequence[Feature]) -> FeatureStatistics:
    counts = category_counts(features)
    seen = tuple(torch.ones(count, dtype=torch.bool) for count in counts)
    return FeatureStatistics(counts, torch.zeros(len(counts)), torch.ones(len(counts)), seen)
