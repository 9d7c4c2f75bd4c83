from datetime import date

import numpy as np
import polars as pl

from lstm_tune.data.building import build_panel
from lstm_tune.data.panel import Columns
from lstm_tune.data.truncation import rows_until

SHOPS = Columns(targets=("y",), time="t", series=("shop",), past=("x",))


def shops(later: float = 0.0) -> pl.DataFrame:
    """Two shops, b first and the rows of a in no order; `later` changes what lies after 6 January in both columns."""
    days = {"b": [1, 2, 3, 5, 6, 7, 8], "a": [9, 8, 7, 6, 5, 4]}
    rows = [(shop, date(2024, 1, day), day + later * (day > 6)) for shop, numbers in days.items() for day in numbers]
    frame = pl.DataFrame(rows, schema=["shop", "t", "y"], orient="row")
    return frame.with_columns(pl.col("shop").cast(pl.Categorical), pl.col("y").alias("x"))


def cut(frame: pl.DataFrame, ends: list[int], columns: Columns = SHOPS) -> pl.DataFrame:
    panel = build_panel(frame, columns, missing="mask", where="a")
    return rows_until(frame, panel, np.array(ends), where="a")


def test_rows_before_each_series_end_are_kept_as_they_were() -> None:
    kept = cut(shops(), [3, 5])  # of a the 4th to the 6th, of b the 1st to the 5th, of which the 4th is missing
    assert kept.columns == ["shop", "t", "y", "x"]
    assert kept["shop"].to_list() == ["b"] * 4 + ["a"] * 3
    assert [day.day for day in kept["t"]] == [1, 2, 3, 5, 6, 5, 4]
    assert kept["y"].to_list() == [1, 2, 3, 5, 6, 5, 4]


def test_later_rows_leave_no_trace() -> None:
    assert cut(shops(), [3, 6]).equals(cut(shops(later=1e6), [3, 6]))


def test_series_that_does_not_reach_so_far_is_left_out() -> None:
    assert set(cut(shops(), [0, 2])["shop"]) == {"b"}


def test_rows_without_times_are_counted_in_each_series() -> None:
    columns = Columns(targets=("y",), series=("shop",))
    assert cut(shops(), [2, 4], columns)["y"].to_list() == [1, 2, 3, 5, 9, 8]


def test_single_series_without_times_is_cut_by_its_rows() -> None:
    frame = pl.DataFrame({"y": [3.0, 1.0, 4.0, 1.5]})
    assert cut(frame, [2], Columns(targets=("y",)))["y"].to_list() == [3.0, 1.0]


def test_text_times_are_understood_and_stay_text() -> None:
    frame = pl.DataFrame({"t": ["2024-01", "2024-02", "2024-03"], "y": [3.0, 1.0, 4.0]})
    assert cut(frame, [2], Columns(targets=("y",), time="t"))["t"].to_list() == ["2024-01", "2024-02"]
