"""Forecasts of a bundle: a table in, the continuation of every series out.

Shape letters: S series, h horizon, Y targets, Q quantiles.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle, read_bundle
from lstm_tune.bundle.intervals import scales
from lstm_tune.data.building import build_panel
from lstm_tune.data.grid import future_times
from lstm_tune.data.panel import Panel
from lstm_tune.data.scaling import Doubles
from lstm_tune.data.sequences import Batch, Examples, Gatherer, Sequences, prepare
from lstm_tune.spec.errors import Fault, InputError

PREDICTION_BATCH = 4096
"""Series forecast in one forward pass."""


@dataclass(frozen=True)
class Model:
    """A bundle in use.

    Attributes:
        bundle: what was exported.
    """

    bundle: Bundle

    def predict(self, frame: pl.DataFrame, *, where: str = "data") -> pl.DataFrame:
        """The forecast of every series of a table.

        The table has the columns of the training data; unknown series, constant ones and those with a single row are
        fine. Known covariates must reach over the horizon, in rows whose targets are empty. Nothing of the table is
        fitted.

        Args:
            frame: history (and known covariates of the future), in any order.
            where: how messages call the table.

        Returns:
            One row a series and forecast step: the series columns, the time (column `step` from 1 where there is no
            time column), each target in the user's units and, with quantiles, `<target>_q<level>` columns; where the
            bundle has intervals, `<target>_low` and `<target>_high`, null for a series that never changed.

        Raises:
            InputError: columns are missing, values are invalid, or known covariates end too early.
        """
        panel = self._panel(frame, where)
        sequences = prepare(panel, missing=self.bundle.preprocessing.missing)
        gatherer, batches = self._gatherer(sequences), _latest(panel).batches(PREDICTION_BATCH)
        with torch.inference_mode():
            forecasts = torch.cat([self.bundle.network(*gatherer.batch(some).inputs) for some in batches])
        return self._table(panel, sequences, forecasts)

    def inputs(self, frame: pl.DataFrame, *, where: str = "data") -> Batch:
        """The network's raw input for every series of a table: what an exported graph is fed."""
        panel = self._panel(frame, where)
        sequences = prepare(panel, missing=self.bundle.preprocessing.missing)
        return self._gatherer(sequences).batch(_latest(panel))

    def _panel(self, frame: pl.DataFrame, where: str) -> Panel:
        preprocessing = self.bundle.preprocessing
        panel = build_panel(
            frame,
            preprocessing.columns,
            missing=preprocessing.missing,
            frequency=preprocessing.frequency.every,
            where=where,
            model_features=(*preprocessing.past, *preprocessing.known, *preprocessing.static),
        )
        self._check_future(panel, where)
        return panel

    def _check_future(self, panel: Panel, where: str) -> None:
        if not panel.columns.known:
            return
        horizon = self.bundle.design.horizon
        given = np.diff(panel.starts) - panel.histories
        faults = [
            Fault(
                where,
                f"must give the known covariates {', '.join(panel.columns.known)} for {horizon} steps after the last"
                " target"
                f"{' of series ' + panel.label(i) if panel.columns.series else ''}, found {given[i]}. Append rows with"
                " empty targets",
            )
            for i in np.flatnonzero(given < horizon)[:3].tolist()
        ]
        if faults:
            raise InputError(faults)

    def _gatherer(self, sequences: Sequences) -> Gatherer:
        network = self.bundle.network
        return Gatherer(sequences, context=network.context, horizon=network.design.horizon)

    def _table(self, panel: Panel, sequences: Sequences, forecasts: Tensor) -> pl.DataFrame:
        horizon, design = self.bundle.design.horizon, self.bundle.design
        values = forecasts.reshape(panel.size, horizon, design.targets, -1).double().numpy()  # [S, h, Y, Q]
        point = values[..., design.quantiles.index(0.5) if design.quantiles else 0]
        ends = self._interval_ends(panel, sequences, point)
        repeated = np.repeat(np.arange(panel.size), horizon)
        names = [panel.names[name].gather(repeated) for name in panel.columns.series]
        table = pl.DataFrame([*names, self._times(panel, horizon)])
        for y, target in enumerate(panel.columns.targets):
            columns = {target: point[:, :, y]}
            columns |= {f"{target}_q{level:g}": values[:, :, y, q] for q, level in enumerate(design.quantiles)}
            columns |= {f"{target}_{end}": both[:, :, y] for end, both in ends.items()}
            table = table.with_columns([pl.Series(name, column.ravel()) for name, column in columns.items()])
        lows_and_highs = [f"{target}_{end}" for target in panel.columns.targets for end in ends]
        return table.with_columns(pl.col(lows_and_highs).fill_nan(None))

    def _interval_ends(self, panel: Panel, sequences: Sequences, point: Doubles) -> dict[str, Doubles]:
        """`low` and `high` [S, h, Y] around the point forecasts; empty where the bundle has no intervals."""
        intervals = self.bundle.intervals
        if intervals is None:
            return {}
        scale = scales(sequences, panel.histories, season=self.bundle.design.season)
        low, high = intervals.around(point, scale[:, None, :])
        return {"low": low, "high": high}

    def _times(self, panel: Panel, horizon: int) -> pl.Series:
        if panel.columns.time is None:
            return pl.Series("step", np.tile(np.arange(1, horizon + 1), panel.size))
        frequency = self.bundle.preprocessing.frequency
        ends = (panel.starts[:-1] + panel.histories).tolist()
        parts = []
        for start, end in zip(panel.starts[:-1].tolist(), ends, strict=True):
            parts.append(future_times(panel.times[start:end], frequency, horizon))
        return pl.concat(parts).alias(panel.columns.time)


def _latest(panel: Panel) -> Examples:
    """The forecast after the last step of each series' history."""
    origins = panel.starts[:-1] + panel.histories
    return Examples(origins, panel.starts[:-1], origins, np.arange(panel.size))


def load(path: Path | str) -> Model:
    """The model of a bundle's folder, or of the run that made it.

    Raises:
        BundleError: there is no readable bundle.
    """
    return Model(read_bundle(path))
