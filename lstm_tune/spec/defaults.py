"""The search space of an experiment that names none: as large as the data can support."""

from lstm_tune.spec.space import Choice, Dimension, Range

SMALL, LARGE = 30, 300
"""Effective windows (history over window plus horizon) below which a network is kept small and above which it grows."""


def effective_windows(*, rows: int, window: int, horizon: int) -> int:
    """Windows that share no step: what a data set really holds, however many overlapping ones can be cut from it."""
    return rows // (window + horizon)


def default_space(*, rows: int, longest: int, horizon: int, season: int, positive: bool) -> dict[str, Dimension]:
    """A search space that fits the data.

    Args:
        rows: development steps over all series.
        longest: training steps of a long series in the first fold.
        horizon: steps of a forecast.
        season: steps in a season, 1 for none.
        positive: whether the target is above zero (almost) everywhere, so that its logarithm may be modelled.
    """
    windows = default_windows(longest=longest, horizon=horizon, season=season)
    effective = effective_windows(rows=rows, window=windows[0], horizon=horizon)
    most_units = 32 if effective < SMALL else 64 if effective < LARGE else 128
    space: dict[str, Dimension] = {
        "units": Range(8, most_units, log=True),
        "depth": Choice((1, 2)),
        "dropout": Range(0.0, 0.5),
        "window": Choice(windows),
        "recurrent_dropout": Range(0.0, 0.5),
        "learning_rate": Range(5e-4, 2e-2, log=True),
        "weight_decay": Range(1e-4, 0.3, log=True),
        "normalization": Choice(("last", "mean")),
        "seasonal_residual": Choice((True, False)),
    }
    if season > 1:
        space["seasonal_adjustment"] = Choice((True, False))
    if positive:
        space["log_transform"] = Choice((True, False))
    return space


def default_windows(*, longest: int, horizon: int, season: int) -> tuple[int, ...]:
    """Three windows around one to three seasons (or horizons, where there is none), none above half the history."""
    unit = season if season > 1 else max(horizon, 4)
    unit = unit if unit * 2 <= longest else max(horizon, 2)
    wanted = {max(unit, 2), max(2 * unit, 4), max(3 * unit, 6)}
    allowed = sorted(window for window in wanted if window <= max(longest // 2, 2))
    return tuple(allowed) or (max(2, min(longest - 1, longest // 2)),)
