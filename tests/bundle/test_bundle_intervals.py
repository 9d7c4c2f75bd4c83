import json
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.testing import assert_allclose
from small_models import silenced, small_bundle

from lstm_tune.bundle.files import Bundle, read_bundle, write_bundle
from lstm_tune.bundle.intervals import Intervals
from lstm_tune.bundle.predict import Model
from lstm_tune.data.panel import Columns
from lstm_tune.spec.errors import BundleError

NAN = float("nan")
COLUMNS = Columns(targets=("y",), time="day", series=("id",))


def with_intervals(reach: list[list[float]], floors: list[float | None], columns: Columns = COLUMNS) -> Bundle:
    """A model that repeats the last value, with intervals."""
    bundle = silenced(small_bundle(columns))
    intervals = Intervals.of(0.8, np.array(reach), floors)
    return replace(bundle, intervals=intervals)


def frame(**series: list[float]) -> pl.DataFrame:
    rows = [(name, date(2024, 1, 1) + timedelta(i), y) for name, values in series.items() for i, y in enumerate(values)]
    return pl.DataFrame(rows, schema=["id", "day", "y"], orient="row")


def test_interval_is_the_reach_times_the_series_own_error() -> None:
    model = Model(with_intervals([[1.0], [2.0]], [None]))
    forecast = model.predict(frame(a=[1, 2, 1, 2, 1], b=[100, 300, 100, 300, 100]))  # mean changes 1 and 200
    assert forecast.columns == ["id", "day", "y", "y_low", "y_high"]
    assert forecast["y_low"].to_list() == pytest.approx([0, -1, -100, -300])
    assert forecast["y_high"].to_list() == pytest.approx([2, 3, 300, 500])


def test_interval_ends_at_the_floor() -> None:
    model = Model(with_intervals([[1.0], [2.0]], [0.0]))
    assert model.predict(frame(b=[100, 300, 100, 300, 100]))["y_low"].to_list() == [0, 0]


def test_forecast_below_the_floor_stays_inside_its_interval() -> None:
    low, high = Intervals.of(0.8, np.array([[1.0]]), [0.0]).around(np.array([[[-2.0]]]), np.array([[[0.5]]]))
    assert (low, high) == (-2.0, -1.5)


def test_series_that_never_changed_has_no_interval() -> None:
    forecast = Model(with_intervals([[1.0], [2.0]], [None])).predict(frame(a=[3, 3, 3, 3], b=[1, 2, 1, 2]))
    assert forecast["y"].null_count() == 0
    assert forecast["y_low"].is_null().to_list() == [True, True, False, False]
    assert forecast["y_high"].is_null().to_list() == [True, True, False, False]


def test_intervals_stand_beside_the_quantiles() -> None:
    bundle = small_bundle(COLUMNS, quantiles=(0.1, 0.5, 0.9))
    intervals = Intervals.of(0.8, np.ones((2, 1)), [None])
    model = Model(replace(bundle, intervals=intervals))
    forecast = model.predict(frame(a=[1, 2, 1, 2, 1]))
    assert forecast.columns[2:] == ["y", "y_q0.1", "y_q0.5", "y_q0.9", "y_low", "y_high"]
    assert_allclose((forecast["y_low"] + forecast["y_high"]) / 2, forecast["y"], rtol=1e-6)


def test_bundle_keeps_its_intervals(tmp_path: Path) -> None:
    columns = Columns(targets=("y", "z"), time="day")
    bundle = with_intervals([[1.0, NAN], [1.5, NAN]], [0.0, None], columns)
    write_bundle(bundle, tmp_path / "best")
    found = read_bundle(tmp_path / "best").intervals
    assert found is not None
    assert (found.level, found.floors) == (0.8, (0.0, None))
    assert_allclose(found.reach, [[1.0, NAN], [1.5, NAN]])


def test_bundle_without_intervals_forecasts_as_before(tmp_path: Path) -> None:
    write_bundle(small_bundle(COLUMNS), tmp_path / "best")
    manifest = tmp_path / "best" / "manifest.json"
    raw = json.loads(manifest.read_text())
    assert raw.pop("intervals") is None
    manifest.write_text(json.dumps(raw))
    assert Model(read_bundle(tmp_path / "best")).predict(frame(a=[1, 2, 1])).columns == ["id", "day", "y"]


def test_intervals_of_another_horizon_are_a_bundle_error(tmp_path: Path) -> None:
    write_bundle(with_intervals([[1.0], [2.0], [3.0]], [None]), tmp_path / "best")
    with pytest.raises(BundleError, match="is a damaged bundle"):
        read_bundle(tmp_path / "best")
