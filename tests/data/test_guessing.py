from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from lstm_tune.data.guessing import Guess, guess, render_experiment
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.loading import load_experiment


def months(count: int) -> pl.Series:
    return pl.select(pl.lit(date(2000, 1, 1)).dt.offset_by(pl.format("{}mo", pl.int_range(count)))).to_series()


def wave(count: int, season: int) -> np.ndarray:
    """A sine on a slow trend."""
    return np.sin(np.arange(count) * 2 * np.pi / season) + np.arange(count) * 0.01


def load(found: Guess, folder: Path) -> str:
    file = folder / "space.yaml"
    file.write_text(render_experiment(found, path="data.csv"))
    experiment = load_experiment(file)
    assert experiment.space is None
    assert experiment.task.horizon == found.horizon
    assert experiment.data.target == list(found.columns.targets)
    assert experiment.data.time == found.columns.time
    assert (experiment.data.series or []) == list(found.columns.series)
    return file.read_text()


def test_single_series_is_recognised(tmp_path: Path) -> None:
    frame = pl.DataFrame({"ds": months(120), "y": wave(120, 12)})
    found = guess(frame, name="air passengers (1949)")
    assert (found.columns.time, found.columns.targets, found.columns.series) == ("ds", ("y",), ())
    assert (found.season, found.horizon, found.folds, found.missing) == (12, 12, 4, "error")
    assert found.name == "air-passengers-1949"
    assert "season: 12  # usual for steps of 1mo" in load(found, tmp_path)


def test_panel_takes_its_series_column_and_leaves_the_split_alone(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "unique_id": ["a"] * 60 + ["b"] * 60,
            "t": [*range(60), *range(60)],
            "y": np.tile([1.0, 5.0, 2.0, 9.0], 30) + np.arange(120) * 0.01,
            "split": (["train"] * 52 + ["test"] * 8) * 2,
        }
    )
    found = guess(frame, name="panel")
    assert (found.columns.series, found.columns.time, found.season) == (("unique_id",), "t", 4)
    assert found.unused == ("split",)
    assert "Without a role: split" in load(found, tmp_path)


def test_short_yearly_series_get_a_short_horizon_and_room_for_folds() -> None:
    frame = pl.DataFrame({"year": range(1990, 2004), "y": [3.0, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7]})
    found = guess(frame, name="short")
    assert found.columns.time == "year"
    assert found.season == 1
    assert found.horizon <= 4
    assert found.test + found.folds * found.horizon + 2 <= 14


def test_gaps_and_missing_values_need_a_rule(tmp_path: Path) -> None:
    frame = pl.DataFrame({"ds": months(60), "y": wave(60, 12)}).filter(pl.col("ds") != date(2001, 3, 1))
    found = guess(frame, name="gaps")
    assert found.missing == "interpolate"
    assert found.notes["missing"] == "1 step is missing: 2001-03-01"
    load(found, tmp_path)


def test_time_in_two_columns_means_rows_in_order(tmp_path: Path) -> None:
    quarters = pl.DataFrame({"year": np.repeat(np.arange(2000, 2020), 4), "quarter": [1, 2, 3, 4] * 20})
    found = guess(quarters.with_columns(gdp=pl.Series(wave(80, 30))), name="macro")
    assert (found.columns.time, found.season) == (None, 4)
    assert "time is spread over several columns" in load(found, tmp_path)


def test_times_off_the_grid_fall_back_to_rows(tmp_path: Path) -> None:
    weeks = pl.date_range(date(2020, 1, 6), date(2021, 12, 27), "1w", eager=True)
    shifted = pl.Series([day if i % 20 else day.replace(day=day.day % 27 + 1) for i, day in enumerate(weeks)])
    frame = pl.DataFrame({"date": shifted, "price": wave(len(weeks), 50)})
    found = guess(frame, name="prices")
    assert not found.is_inferred or found.frequency.every == "rows"
    load(found, tmp_path)


def test_odd_names_survive_the_yaml(tmp_path: Path) -> None:
    frame = pl.DataFrame({"date": months(60), "null": wave(60, 12), "42: #x": wave(60, 12)})
    found = guess(frame, name="null")
    assert found.columns.targets == ("42: #x",)
    load(found, tmp_path)


def test_constant_flags_and_identifiers_are_no_targets() -> None:
    frame = pl.DataFrame({"date": months(60), "level": wave(60, 12), "law": [0, 1] * 30, "store_id": [7] * 60})
    assert guess(frame, name="a").columns.targets == ("level",)


def test_file_without_numbers_is_refused() -> None:
    with pytest.raises(InputError, match=r"column of numbers to forecast, found ds \(Date\), y \(String\)"):
        guess(pl.DataFrame({"ds": months(3), "y": ["1,5", "2,5", "3,5"]}), name="a")


def test_faulty_time_of_a_sure_name_is_told() -> None:
    with pytest.raises(InputError, match="found 'soon' in row 2"):
        guess(pl.DataFrame({"ds": ["2020-01-01", "soon", "2020-01-03"], "y": [1, 2, 3]}), name="a")
