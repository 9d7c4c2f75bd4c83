"""Every forecast of the chosen model that was judged, beside the truth and the best baseline: `forecasts.parquet`.

Shape letters: E forecasts, h horizon, Y targets, R = E·h·Y rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lstm_tune.data.grid import future_times, shift_times
from lstm_tune.data.panel import Integers, Panel
from lstm_tune.tasks.targets import Targets


@dataclass(frozen=True)
class Forecasts:
    """One part's forecasts; NaN where there is none.

    Attributes:
        part: `fold 1` to `fold K`, or `test`.
        targets: what they answer for.
        forecast: [E, h, Y] of the chosen model, the median where it forecasts quantiles.
        low: [E, h, Y] lower end of the interval.
        high: [E, h, Y] upper end.
        baseline: [E, h, Y] of the baseline that did best on the folds.
    """

    part: str
    targets: Targets
    forecast: Tensor
    low: Tensor
    high: Tensor
    baseline: Tensor


def forecasts_table(panel: Panel, parts: Sequence[Forecasts]) -> pl.DataFrame:
    """One row a forecast step and target, in the order of parts, series, origins, steps and targets.

    Args:
        panel: the data, for names and times.
        parts: at least one.

    Returns:
        `part`; `series` (its label, empty for a single one); `origin` (number of the forecast within part and series,
        from 0); `time` (in the type of the data, the position in the series where there is no time column); `step` (1
        to h); `target`; and as float32 `truth` (null where missing or beyond the part), `forecast`, `low`, `high` and
        `baseline` (null where there is none).
    """
    return pl.concat([_part_table(panel, forecasts) for forecasts in parts])


def _part_table(panel: Panel, forecasts: Forecasts) -> pl.DataFrame:
    count, horizon, targets = forecasts.forecast.shape
    examples, each = forecasts.targets.examples, horizon * targets
    firsts = np.searchsorted(examples.series, examples.series)  # forecasts of one series stand together
    values = {
        "truth": forecasts.targets.truth,
        "forecast": forecasts.forecast,
        "low": forecasts.low,
        "high": forecasts.high,
        "baseline": forecasts.baseline,
    }
    return pl.DataFrame(
        {
            "part": pl.repeat(forecasts.part, count * each, eager=True),
            "series": _labels(panel).gather(np.repeat(examples.series, each)),
            "origin": np.repeat(np.arange(count) - firsts, each),
            "time": _times(panel, forecasts.targets, horizon).gather(np.repeat(np.arange(count * horizon), targets)),
            "step": np.tile(np.repeat(np.arange(1, horizon + 1), targets), count),
            "target": pl.Series(panel.columns.targets).gather(np.tile(np.arange(targets), count * horizon)),
            **{name: _column(tensor) for name, tensor in values.items()},
        }
    )


def _column(values: Tensor) -> pl.Series:
    return pl.Series(values.to(torch.float32).flatten().numpy()).fill_nan(None)


def _labels(panel: Panel) -> pl.Series:
    """The name of each series for people, [S]."""
    if not panel.columns.series:
        return pl.Series([""])
    names = pl.concat_str(pl.col(*panel.columns.series).cast(pl.String), separator="/")
    return panel.names.select(names).to_series()


def _times(panel: Panel, targets: Targets, horizon: int) -> pl.Series:
    """The time of each forecast step, [E·h]; beyond a series' rows the grid goes on."""
    examples = targets.examples
    rows = examples.origins[:, None] + np.arange(horizon)  # [E, h]
    if panel.columns.time is None:
        return pl.Series((rows - examples.firsts[:, None]).ravel())
    last = panel.starts[examples.series + 1][:, None] - 1
    times = panel.times.gather(np.minimum(rows, last).ravel())
    beyond = np.maximum(rows - last, 0).ravel()
    if not beyond.any():
        return times
    if panel.frequency.every != "rows":
        return shift_times(times, beyond, panel.frequency)
    return times.scatter(np.flatnonzero(beyond), _times_by_row(panel, examples.series, beyond, horizon))


def _times_by_row(panel: Panel, series: Integers, beyond: Integers, horizon: int) -> pl.Series:
    """The times of the steps beyond the rows of each series, which goes on by its own usual step."""
    found = []
    for i in np.unique(series[beyond.reshape(-1, horizon).any(axis=1)]).tolist():
        ahead = future_times(panel.times[int(panel.starts[i]) : int(panel.starts[i + 1])], panel.frequency, horizon)
        steps = beyond.reshape(-1, horizon)[series == i].ravel()
        found.append(ahead.gather(steps[steps > 0] - 1))
    return pl.concat(found)
