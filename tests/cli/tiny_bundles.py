"""A small untrained model on disk."""

from collections.abc import Sequence
from pathlib import Path

from lstm_tune.bundle.files import Bundle, Member, Preprocessing, write_bundle
from lstm_tune.data.panel import Columns, Feature, Frequency, category_counts
from lstm_tune.models.forecaster import Design, Ensemble, Forecaster, ForecastStatistics
from lstm_tune.spec.hyperparameters import completed


def write_tiny_bundle(
    path: Path,
    *,
    series: Sequence[str] = (),
    past: Sequence[Feature] = (),
    known: Sequence[str] = (),
    static: Sequence[Feature] = (),
    quantiles: Sequence[float] = (),
) -> Path:
    """A bundle that forecasts the column `y` of months `ds` three steps ahead.

    Args:
        path: the folder to write.
        series: columns that name a series.
        past: past covariates.
        known: names of numeric known covariates.
        static: static covariates.
        quantiles: levels to forecast.
    """
    known_features = tuple(Feature(name) for name in known)
    statistics = ForecastStatistics.blank(
        targets=1,
        past=category_counts(past),
        known=category_counts(known_features),
        static=category_counts(static),
    )
    design = Design(horizon=3, season=1, targets=1, quantiles=tuple(quantiles), indicator=True)
    values = completed({"units": 4, "window": 6}, task="forecast")
    columns = Columns(
        targets=("y",),
        time="ds",
        series=tuple(series),
        past=tuple(feature.name for feature in past),
        known=tuple(known),
        static=tuple(feature.name for feature in static),
    )
    preprocessing = Preprocessing(columns, Frequency("1mo"), "mask", tuple(past), known_features, tuple(static))
    network = Ensemble([Forecaster(design, statistics, values)]).requires_grad_(False).eval()
    write_bundle(Bundle("tiny", network, preprocessing, (Member(0, values),), {}), path)
    return path
