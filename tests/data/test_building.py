import datetime
from datetime import date
from typing import Any

import numpy as np
import polars as pl
import pytest

from lstm_tune.data.building import Missing, build_panel
from lstm_tune.data.panel import Columns, Feature, Frequency, Panel
from lstm_tune.spec.errors import InputError

ONE = Columns(targets=("y",), time="ds")
MANY = Columns(targets=("y",), time="ds", series=("id",))
NAN = float("nan")


def day(number: int) -> date:
    return date(2024, 1, 1) + datetime.timedelta(days=number - 1)


def table(**columns: list[Any]) -> pl.DataFrame:
    """A frame whose `ds` may be given as days of January 2024."""
    times = [day(number) if isinstance(number, int) else number for number in columns.get("ds", [])]
    return pl.DataFrame(columns | ({"ds": times} if times else {}))


def build(frame: pl.DataFrame, columns: Columns = ONE, missing: Missing = "error", frequency: str = "auto") -> Panel:
    return build_panel(frame, columns, missing=missing, frequency=frequency, where="a.csv")


def values(panel: Panel) -> list[float]:
    return panel.target[:, 0].tolist()


def test_rows_in_any_order_give_the_same_panel() -> None:
    frame = table(id=["b", "a", "b", "a", "a"], ds=[2, 3, 1, 1, 2], y=[5, 3, 4, 1, 2])
    panel = build(frame, MANY)
    assert panel.names["id"].to_list() == ["a", "b"]
    assert panel.starts.tolist() == [0, 3, 5]
    assert values(panel) == [1, 2, 3, 4, 5]
    assert panel.times.to_list() == [day(1), day(2), day(3), day(1), day(2)]
    assert panel.target.dtype == np.float32
    assert values(build(frame.reverse(), MANY)) == values(panel)


@pytest.mark.parametrize("dtype", [pl.String, pl.Int32, pl.Categorical, pl.Enum(["7", "8"])])
def test_series_columns_keep_their_type(dtype: pl.DataType) -> None:
    frame = table(id=["8", "8", "7", "7"], ds=[1, 2, 1, 2], y=[1, 2, 3, 4]).with_columns(pl.col("id").cast(dtype))
    panel = build(frame, MANY)
    assert panel.names.schema["id"] == dtype
    assert panel.label(0) == "7"
    assert values(panel) == [3, 4, 1, 2]


def test_two_columns_may_name_a_series() -> None:
    frame = table(shop=["x", "x", "x", "x"], item=[1, 1, 2, 2], ds=[1, 2, 1, 2], y=[1, 2, 3, 4])
    panel = build(frame, Columns(targets=("y",), time="ds", series=("shop", "item")))
    assert [panel.label(i) for i in range(panel.size)] == ["x/1", "x/2"]


def test_without_a_time_column_rows_are_steps() -> None:
    frame = pl.DataFrame({"id": ["b", "a", "b", "a"], "y": [1, 2, 3, 4]})
    panel = build(frame, Columns(targets=("y",), series=("id",)))
    assert panel.frequency == Frequency("rows")
    assert values(panel) == [2, 4, 1, 3]
    assert panel.times.to_list() == [0, 1, 0, 1]


def test_missing_steps_become_rows_of_nan_with_their_times() -> None:
    frame = table(id=["a", "a", "a", "b", "b", "b", "b"], ds=[1, 2, 5, 1, 2, 3, 4], y=[1, 2, 5, 1, 2, 3, 4])
    panel = build(frame, MANY, missing="mask")
    np.testing.assert_array_equal(panel.target[:, 0], np.array([1, 2, NAN, NAN, 5, 1, 2, 3, 4], np.float32))
    assert panel.times.to_list()[:5] == [day(1), day(2), day(3), day(4), day(5)]
    assert panel.histories.tolist() == [5, 4]


def test_missing_month_ends_are_filled_with_month_ends() -> None:
    ends = [date(2023, 1, 31), date(2023, 2, 28), date(2023, 3, 31), date(2023, 5, 31), date(2023, 6, 30)]
    panel = build(table(ds=ends, y=[1, 2, 3, 5, 6]), missing="forward")
    assert panel.frequency == Frequency("1mo", month_end=True)
    assert panel.times[3] == date(2023, 4, 30)


def test_missing_values_and_steps_are_one_error_under_the_strict_rule() -> None:
    frame = table(ds=[1, 2, 3, 4, 6, 7, 8], y=[1, None, 3, 4, None, 7, 8], x=[1.0, 1, 1, 1, 1, 1, NAN])
    with pytest.raises(
        InputError, match=r"column 'ds' .*each step of 1d, but 1 step is missing: 2024-01-05\. "
    ) as caught:
        build(frame, Columns(targets=("y",), time="ds", past=("x",)))
    assert "column 'y' (target) must have no gaps, but 2 values are missing: rows 2, 5 (2024-01-02" in str(caught.value)
    assert "column 'x' (past) must have no gaps, but 1 value is missing: row 7 (2024-01-08)" in str(caught.value)
    assert "Set data.missing to interpolate, forward or mask" in str(caught.value)
    assert len(caught.value.faults) == 3


def test_nan_stays_nan_under_the_other_rules() -> None:
    panel = build(table(ds=[1, 2, 3], y=[1, None, 3]), missing="interpolate")
    np.testing.assert_array_equal(panel.target[:, 0], np.array([1, NAN, 3], np.float32))


def test_rows_without_a_target_at_the_ends_are_dropped_under_the_other_rules() -> None:
    frame = table(ds=[1, 2, 3, 4, 5], y=[None, 1, None, 3, None])
    panel = build(frame, missing="mask")
    assert panel.times.to_list() == [day(2), day(3), day(4)]
    assert panel.histories.tolist() == [3]
    with pytest.raises(InputError, match="3 values are missing: rows 1, 3, 5"):
        build(frame)


def test_last_rows_with_known_covariates_alone_are_future_steps() -> None:
    columns = Columns(targets=("y",), time="ds", series=("id",), past=("p",), known=("k",))
    frame = table(
        id=["a"] * 4 + ["b"] * 3,
        ds=[1, 2, 3, 4, 1, 2, 3],
        y=[1, 2, None, None, 1, 2, 3],
        p=[1, 1, None, None, 1, 1, 1],
        k=[0, 1, 0, 1, 0, 1, 0],
    )
    panel = build(frame, columns)
    assert panel.histories.tolist() == [2, 3]
    assert panel.starts.tolist() == [0, 4, 7]
    assert panel.rows == 5
    assert panel.known[:, 0].tolist() == [0, 1, 0, 1, 0, 1, 0]


def test_future_ends_where_a_known_covariate_is_missing() -> None:
    frame = table(ds=[1, 2, 3, 4], y=[1, 2, None, None], k=[0, 1, 0, None])
    columns = Columns(targets=("y",), time="ds", known=("k",))
    assert build(frame, columns, missing="mask").times.to_list() == [day(1), day(2), day(3)]
    with pytest.raises(InputError, match=r"'y' \(target\) .* row 4 "):
        build(frame, columns)


def test_text_covariates_become_sorted_categories() -> None:
    frame = table(ds=[1, 2, 3], y=[1, 2, 3], w=["sun", None, "rain"], f=[True, False, True])
    panel = build(frame, Columns(targets=("y",), time="ds", past=("w", "f")), missing="mask")
    assert panel.past_features == (Feature("w", ("rain", "sun")), Feature("f"))
    np.testing.assert_array_equal(panel.past, np.array([[1, 1], [NAN, 0], [0, 1]], np.float32))


def test_static_covariates_have_one_value_a_series() -> None:
    frame = table(
        id=["b", "b", "a", "a"], ds=[1, 2, 1, 2], y=[1, 2, 3, 4], size=[5, None, 6, 6], kind=["x", "x", None, None]
    )
    panel = build(frame, Columns(targets=("y",), time="ds", series=("id",), static=("size", "kind")))
    assert panel.static.tolist() == [[6, -1], [5, 0]]
    assert panel.static_features == (Feature("size"), Feature("kind", ("x",)))


def test_faulty_static_covariates_name_the_series() -> None:
    frame = table(id=["a", "a", "b", "b"], ds=[1, 2, 1, 2], y=[1, 2, 3, 4], s=[1, 2, 1, 1], n=[None, None, 1, 1])
    columns = Columns(targets=("y",), time="ds", series=("id",), static=("s", "n"))
    with pytest.raises(InputError, match=r"'s' \(static\) .*changes within series a\.") as caught:
        build(frame, columns)
    assert "'n' (static) must have a value in each series, found none in series a" in str(caught.value)


def test_repeated_times_are_named_with_series_and_rows() -> None:
    frame = table(id=["a", "a", "b", "a"], ds=[1, 2, 1, 2], y=[1, 2, 3, 4])
    with pytest.raises(InputError, match="each time once in a series, found 2024-01-02 of series a in rows 2 and 4"):
        build(frame, MANY)


def test_every_fault_of_the_columns_is_told_at_once() -> None:
    frame = table(id=["a", None, "b"], ds=[1, None, 3], y=["1", "x", "2"], k=[1.0, float("inf"), 2.0])
    with pytest.raises(InputError, match=r"column 'id' \(series\) .*found none in row 2") as caught:
        build(frame, Columns(targets=("y",), time="ds", series=("id",), known=("k",)))
    text = str(caught.value)
    assert "column 'ds' (time) must have a value in every row, found none in row 2" in text
    assert "column 'y' (target) must hold numbers, found the text 'x' in row 2" in text
    assert "column 'k' (known) must hold finite numbers below 3.4e38, found inf in row 2" in text


def test_text_that_is_all_numbers_is_a_target() -> None:
    assert values(build(table(ds=[1, 2], y=["1", " 2.5"]))) == [1, 2.5]


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (table(ds=[1], y=[1]), "has one row; a series needs at least 2 steps"),
        (pl.DataFrame({"ds": [], "y": []}), "has no rows"),
        (table(ds=[1, 2], x=[1, 2]), r"must hold a column 'y', but has none"),
        (table(ds=[1, 2, 3], y=[4, 4, 4]), "the value 4 in every row, so there is nothing to learn"),
        (table(ds=[1, 2, 3], y=[None, None, None]), "must have values in each series, found none in the series"),
    ],
)
def test_frames_without_anything_to_learn_are_refused(frame: pl.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(frame)


def test_a_constant_series_inside_a_panel_is_fine() -> None:
    assert build(table(id=["a", "a", "b", "b"], ds=[1, 2, 1, 2], y=[1, 1, 3, 4]), MANY).size == 2


def test_one_row_a_series_is_refused() -> None:
    with pytest.raises(InputError, match=r"has one row a series.*Check data\.series"):
        build(table(id=["a", "b"], ds=[1, 2], y=[1, 2]), MANY)


def test_time_off_the_grid_is_named() -> None:
    times = [day(number) for number in range(1, 30)]
    frame = pl.DataFrame({"ds": times, "y": range(29)}).with_columns(pl.col("ds").cast(pl.Datetime("us")))
    moved = frame.with_columns(
        pl.when(pl.col("y") == 9).then(pl.col("ds").dt.offset_by("5h")).otherwise("ds").alias("ds")
    )
    with pytest.raises(InputError, match=r"each step of 1d, found 2024-01-10 05:00:00 in row 10, off this grid"):
        build(moved)
    assert build(moved, frequency="rows").frequency == Frequency("rows")


def test_asked_frequency_is_kept_or_refused() -> None:
    months = pl.date_range(date(2020, 1, 1), date(2020, 12, 1), "1mo", eager=True)
    frame = pl.DataFrame({"ds": months, "y": range(12)})
    assert build(frame, frequency="1mo").frequency == Frequency("1mo")
    with pytest.raises(InputError, match=r"each step of 1q, found 2020-02-01, 2020-03-01, 2020-05-01 in rows 2, 3, 5"):
        build(frame, frequency="1q")
    with pytest.raises(InputError, match="must be weekdays, found 2020-02-01"):
        build(frame, frequency="1b")


def test_calendar_frequency_of_integers_is_refused_except_for_years() -> None:
    frame = pl.DataFrame({"ds": [1990, 1991, 1992], "y": [1, 2, 3]})
    assert build(frame, frequency="1y").frequency == Frequency("1i")
    with pytest.raises(InputError, match=r"data\.frequency 1mo needs dates .*task\.season"):
        build(frame, frequency="1mo")
    with pytest.raises(InputError, match=r"data\.frequency 1mo needs a time column"):
        build(frame, Columns(targets=("y",)), frequency="1mo")


def test_a_wrong_year_does_not_fill_the_memory() -> None:
    frame = pl.DataFrame({"ds": [*range(1900, 2000), 19_999], "y": range(101)})
    with pytest.raises(InputError, match="without great holes, but 17999 steps are missing after 1999"):
        build(frame, missing="mask")


def test_a_trained_model_decides_which_covariates_are_categories() -> None:
    frame = table(ds=[1, 2, 3], y=[1, 2, 3], shop=[7, 8, 9], temperature=["1.5", None, "2"])
    columns = Columns(targets=("y",), time="ds", past=("shop", "temperature"))
    features = (Feature("shop", ("7", "9")), Feature("temperature"))
    panel = build_panel(frame, columns, missing="mask", where="a.csv", model_features=features)
    assert panel.past_features == features
    np.testing.assert_array_equal(panel.past, np.array([[0, 1.5], [-1, NAN], [1, 2]], np.float32))


@pytest.mark.parametrize("dtype", [pl.Null, pl.String, pl.Float64])
def test_categories_may_all_be_missing_when_a_model_forecasts(dtype: pl.DataType) -> None:
    frame = table(ds=[1, 2], y=[1, 2], w=[None, None], s=[None, None]).with_columns(pl.col("w", "s").cast(dtype))
    columns = Columns(targets=("y",), time="ds", past=("w",), static=("s",))
    features = (Feature("w", ("rain", "sun")), Feature("s", ("big", "small")))
    panel = build_panel(frame, columns, missing="mask", where="a.csv", model_features=features)
    assert np.isnan(panel.past).all()
    assert panel.static.tolist() == [[-1]]


@pytest.mark.parametrize("frame", [table(ds=[1], y=[1]), table(ds=[1, 2, 3], y=[4, 4, 4])])
def test_a_model_may_forecast_what_nobody_can_learn_from(frame: pl.DataFrame) -> None:
    panel = build_panel(frame, ONE, missing="error", frequency="1d", where="a.csv", model_features=())
    assert values(panel) == frame["y"].to_list()


def test_a_second_target_without_values_is_refused() -> None:
    frame = table(ds=[1, 2, 3], y=[1, 2, 3], z=[None, None, None])
    with pytest.raises(InputError, match=r"column 'z' \(target\) must hold numbers, found no value in any row"):
        build(frame, Columns(targets=("y", "z"), time="ds"), missing="mask")
