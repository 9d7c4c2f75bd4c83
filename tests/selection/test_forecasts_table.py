import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest
import torch

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Columns, Frequency, Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.selection.forecasts import Forecasts, forecasts_table
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.targets import targets_of

PanelMaker = Callable[..., Panel]
NAN = float("nan")
SCHEMA = {
    "part": pl.String,
    "series": pl.String,
    "origin": pl.Int64,
    "time": pl.Int64,
    "step": pl.Int64,
    "target": pl.String,
    "truth": pl.Float32,
    "forecast": pl.Float32,
    "low": pl.Float32,
    "high": pl.Float32,
    "baseline": pl.Float32,
}


def locked_part(panel: Panel, *, horizon: int = 2, test: int = 4) -> Forecasts:
    """Forecasts of the test part that are the numbers from 0; no interval."""
    sequences = prepare(panel, missing="mask")
    split = split_panel(sequences.lengths, horizon=horizon, folds=1, block=2, gap=0, test=test)
    task = ForecastTask(sequences, split, Design(horizon, 1, panel.target.shape[1]), "mae")
    targets = targets_of(task, split.test)
    numbers = torch.arange(targets.truth.numel(), dtype=torch.float32).reshape(targets.truth.shape)
    nothing = torch.full_like(numbers, NAN)
    return Forecasts("test", targets, numbers, nothing, nothing, -numbers)


def dated(panel: Panel, first: date, every: str, days: list[int]) -> Panel:
    """The panel with dates that lie so many days after the first."""
    times = pl.Series([first + timedelta(days=day) for day in days])
    return replace(panel, columns=replace(panel.columns, time="day"), frequency=Frequency(every), times=times)


def test_rows_are_in_the_order_of_series_origins_and_steps(panel_of: PanelMaker) -> None:
    panel = panel_of(range(9), [*range(20, 27), NAN, 28.0])
    table = forecasts_table(panel, [locked_part(panel)])
    assert dict(table.schema) == SCHEMA
    assert table["series"].to_list() == ["s0"] * 4 + ["s1"] * 4
    assert table["origin"].to_list() == [0, 0, 1, 1] * 2
    assert table["step"].to_list() == [1, 2] * 4
    assert table["time"].to_list() == [5, 6, 7, 8] * 2
    assert table["truth"].to_list() == [5, 6, 7, 8, 25, 26, None, 28]
    assert table["forecast"].to_list() == list(range(8))
    assert table["baseline"].to_list() == [-i for i in range(8)]
    assert table["low"].null_count() == table["high"].null_count() == 8


def test_targets_stand_side_by_side(panel_of: PanelMaker) -> None:
    panel = panel_of(range(9))
    panel = replace(panel, columns=Columns(("y", "z")), target=panel.target.repeat(2, axis=1) * [1, -1])
    table = forecasts_table(panel, [locked_part(panel)])
    assert table["target"].to_list() == ["y", "z"] * 4
    assert table["truth"].to_list() == [5, -5, 6, -6, 7, -7, 8, -8]
    assert table["time"].to_list() == [5, 5, 6, 6, 7, 7, 8, 8]
    assert table["series"].unique().to_list() == [""]


def test_steps_beyond_the_part_have_a_time_and_no_truth(panel_of: PanelMaker) -> None:
    panel = dated(panel_of(range(9)), date(2024, 1, 1), "1d", list(range(9)))
    table = forecasts_table(panel, [locked_part(panel, horizon=4, test=3)])
    assert table["time"].to_list() == [date(2024, 1, 7) + timedelta(days=i) for i in range(4)]
    assert table["truth"].to_list() == [6, 7, 8, None]


def test_irregular_series_go_on_by_their_own_usual_step(panel_of: PanelMaker) -> None:
    panel = dated(
        panel_of(range(7), range(7)), date(2024, 1, 1), "rows", [0, 3, 6, 9, 12, 15, 19, 0, 5, 10, 15, 20, 25, 31]
    )
    table = forecasts_table(panel, [locked_part(panel, horizon=3, test=1)])
    assert [day.toordinal() - date(2024, 1, 1).toordinal() for day in table["time"]] == [19, 22, 25, 31, 36, 41]


def test_categorical_names_of_several_columns_are_joined(panel_of: PanelMaker) -> None:
    panel = panel_of(range(9), range(9))
    names = pl.DataFrame({"a": ["x", "y"], "b": [1, 2]}).with_columns(pl.col("a").cast(pl.Categorical))
    panel = replace(panel, names=names, columns=Columns(("y",), series=("a", "b")))
    table = forecasts_table(panel, [locked_part(panel)])
    assert table["series"].unique(maintain_order=True).to_list() == ["x/1", "y/2"]


@pytest.mark.parametrize("test", [18, 12])
def test_hundred_thousand_rows_take_no_time(panel_of: PanelMaker, test: int) -> None:
    count, steps = 6_000, 40
    panel = dated(panel_of(*[range(steps)] * count), date(2024, 1, 1), "1d", list(range(steps)) * count)
    forecasts = locked_part(panel, horizon=18, test=test)
    started = time.process_time()
    table = forecasts_table(panel, [forecasts])
    assert time.process_time() - started < 2
    assert table.height == 18 * count
