"""Small untrained models of every kind an exporter must express."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import nn

from lstm_tune.bundle.files import Bundle, Member, Preprocessing
from lstm_tune.data.panel import Columns, Feature, Frequency, category_counts
from lstm_tune.models.features import FeatureStatistics
from lstm_tune.models.forecaster import Design, Ensemble, Forecaster, ForecastStatistics
from lstm_tune.spec.hyperparameters import Value, completed

PRICE, SALE, KIND = Feature("price"), Feature("sale", ("none", "some", "whole")), Feature("kind", ("a", "b"))


def bundle_of(
    design: Design,
    hyperparameters: Mapping[str, Value],
    *,
    past: Sequence[Feature] = (),
    known: Sequence[Feature] = (),
    static: Sequence[Feature] = (),
    members: int = 1,
    seed: int = 0,
) -> Bundle:
    """An untrained model whose highway is not zero, of targets around 5 (50 to 400 where the logarithm is taken)."""
    torch.manual_seed(seed)
    values = completed(hyperparameters, task="forecast")
    statistics = ForecastStatistics(
        mean=torch.full((design.targets,), 5.0),
        scale=torch.linspace(0.5, 1.0, design.targets),
        smallest=torch.full((design.targets,), 0.1),
        past=statistics_of(past),
        known=statistics_of(known),
        static=statistics_of(static),
    )
    network = Ensemble([Forecaster(design, statistics, values) for _ in range(members)])
    for parameter in network.parameters():  # a new head is silent
        nn.init.normal_(parameter, std=0.3)
    columns = Columns(
        targets=tuple(f"y{i}" for i in range(design.targets)),
        time="day",
        past=tuple(feature.name for feature in past),
        known=tuple(feature.name for feature in known),
        static=tuple(feature.name for feature in static),
    )
    preprocessing = Preprocessing(columns, Frequency("1d"), "mask", tuple(past), tuple(known), tuple(static))
    origins = (Member(0, values),) * members
    return Bundle("sample", network.requires_grad_(False).eval(), preprocessing, origins, {"test_score": 0.5})


def statistics_of(features: Sequence[Feature]) -> FeatureStatistics:
    """Standardised by 2 and 3; every category but the last was seen."""
    counts = category_counts(features)
    mean = torch.tensor([0.0 if count else 2.0 for count in counts])
    scale = torch.tensor([1.0 if count else 3.0 for count in counts])
    return FeatureStatistics(counts, mean, scale, tuple(torch.arange(count) < count - 1 for count in counts))


def univariate(seed: int = 0) -> Bundle:
    return bundle_of(Design(horizon=3, season=1, targets=1), {"units": 8, "window": 6}, seed=seed)


def everything() -> Bundle:
    """Two targets, quantiles, all covariates, and every part of the network that is not the default."""
    design = Design(horizon=4, season=3, targets=2, quantiles=(0.1, 0.5, 0.9), indicator=True)
    hyperparameters = {
        "units": 6,
        "depth": 2,
        "window": 7,
        "normalization": "robust",
        "log_transform": True,
        "layer_norm": True,
        "residual": True,
        "bidirectional": True,
    }
    return bundle_of(design, hyperparameters, past=[PRICE, SALE], known=[SALE, PRICE], static=[KIND, PRICE])


def ensemble() -> Bundle:
    design = Design(horizon=2, season=1, targets=2)
    hyperparameters = {"units": 5, "depth": 2, "window": 5, "normalization": "mean", "seasonal_residual": False}
    return bundle_of(design, hyperparameters, members=2)


def long_season() -> Bundle:
    """The context is longer than the window, and nothing is normalised by it."""
    design = Design(horizon=3, season=9, targets=1, quantiles=(0.5,))
    hyperparameters = {"units": 8, "window": 4, "normalization": "none", "highway": False}
    return bundle_of(design, hyperparameters, known=[PRICE])


def mixed() -> Bundle:
    """Members of different windows, normalisations and sizes, one of them of the logarithm, with unequal weights."""
    design = Design(horizon=3, season=4, targets=1, quantiles=(0.2, 0.5, 0.9), indicator=True)
    configurations: list[dict[str, Value]] = [
        {"units": 4, "window": 5, "normalization": "robust"},
        {"units": 6, "window": 9, "normalization": "none", "log_transform": True, "seasonal_residual": False},
        {"units": 5, "depth": 2, "window": 3, "normalization": "mean", "highway": False, "seasonal_adjustment": False},
    ]
    singles = [bundle_of(design, one, known=[SALE], seed=seed) for seed, one in enumerate(configurations)]
    network = Ensemble([single.network.members[0] for single in singles], (0.5, 0.3, 0.2))
    members = tuple(replace(single.members[0], trial=trial) for trial, single in enumerate(singles))
    return replace(singles[0], network=network.eval(), members=members)


SAMPLES = {
    "univariate": univariate,
    "everything": everything,
    "ensemble": ensemble,
    "mixed": mixed,
    "long season": long_season,
}
