from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from small_models import KIND, PRICE, silenced, small_bundle

from lstm_tune.bundle.files import write_bundle
from lstm_tune.bundle.predict import Model, load
from lstm_tune.data.panel import Columns
from lstm_tune.spec.errors import InputError

ONE = Columns(targets=("y",), time="day")
MANY = Columns(targets=("y",), time="day", series=("id",), known=("kind",))


def days(count: int, first: date = date(2024, 1, 1)) -> list[date]:
    return [first + timedelta(days=i) for i in range(count)]


def panel_frame(**columns: list[Any]) -> pl.DataFrame:
    """Two series of four days and two future ones, with a known category."""
    given = {
        "id": ["b"] * 6 + ["a"] * 6,
        "day": [*days(6), *days(6, date(2024, 3, 1))],
        "y": [1.0, 2.0, 3.0, 5.0, None, None, 10.0, 20.0, 30.0, 20.0, None, None],
        "kind": ["a", "b", "a", "b", "a", "b"] * 2,
    }
    return pl.DataFrame(given | columns)


def known_model(**options: Any) -> Model:
    return Model(small_bundle(MANY, features={"known": [KIND]}, **options))


def test_single_series_goes_on_after_its_last_day() -> None:
    model = Model(silenced(small_bundle(ONE, horizon=3, season=2)))
    forecast = model.predict(pl.DataFrame({"day": days(5), "y": [1.0, 2.0, 3.0, 4.0, 7.0]}))
    assert forecast.columns == ["day", "y"]
    assert forecast["day"].to_list() == [date(2024, 1, 6), date(2024, 1, 7), date(2024, 1, 8)]
    assert forecast["y"].to_list() == pytest.approx([4.0, 7.0, 4.0])


def test_rows_in_any_order_and_other_columns_change_nothing() -> None:
    model = Model(small_bundle(ONE))
    frame = pl.DataFrame({"day": days(6), "y": [1.0, 2.0, 4.0, 3.0, 2.0, 6.0]})
    shuffled = frame.with_columns(pl.lit("note").alias("comment")).reverse()
    assert model.predict(shuffled).equals(model.predict(frame))


def test_series_shorter_than_the_window_is_forecast() -> None:
    model = Model(silenced(small_bundle(ONE)))
    assert model.predict(pl.DataFrame({"day": days(2), "y": [4.0, 6.0]}))["y"].to_list() == pytest.approx([6.0, 6.0])


def test_constant_series_is_forecast() -> None:
    model = Model(silenced(small_bundle(ONE)))
    assert model.predict(pl.DataFrame({"day": days(6), "y": [3.0] * 6}))["y"].to_list() == pytest.approx([3.0, 3.0])


def test_gap_is_filled_by_the_rule_of_the_training() -> None:
    model = Model(silenced(small_bundle(ONE, season=2)))
    frame = pl.DataFrame({"day": days(4), "y": [1.0, 2.0, None, 6.0]})
    assert model.predict(frame)["y"].to_list() == pytest.approx([4.0, 6.0])
    strict = Model(small_bundle(ONE, missing="error"))
    with pytest.raises(InputError, match=r"new.csv: column 'y' \(target\) must have no gaps"):
        strict.predict(frame, where="new.csv")


def test_panel_has_a_row_a_series_and_step() -> None:
    forecast = known_model().predict(panel_frame())
    assert forecast.columns == ["id", "day", "y"]
    assert forecast["id"].to_list() == ["a", "a", "b", "b"]
    assert forecast["day"].to_list() == [date(2024, 3, 5), date(2024, 3, 6), date(2024, 1, 5), date(2024, 1, 6)]
    assert forecast["y"].is_finite().all()


def test_series_are_forecast_alone() -> None:
    together = known_model().predict(panel_frame())
    alone = known_model().predict(panel_frame().filter(pl.col("id") == "b"))
    assert together.filter(pl.col("id") == "b")["y"].to_list() == pytest.approx(alone["y"].to_list())


@pytest.mark.parametrize("dtype", [pl.Int16, pl.Categorical, pl.Enum(["1", "2"])])
def test_series_columns_keep_their_type(dtype: pl.DataType) -> None:
    frame = panel_frame(id=["2"] * 6 + ["1"] * 6).with_columns(pl.col("id").cast(dtype))
    forecast = known_model().predict(frame)
    assert forecast.schema["id"] == dtype
    assert forecast["id"].cast(pl.String).to_list() == ["1", "1", "2", "2"]


def test_known_covariate_of_a_step_acts_on_that_step() -> None:
    changed = ["a", "b", "a", "b", "a", "a"] * 2
    first, second = (known_model().predict(panel_frame(kind=kinds)) for kinds in (["a", "b"] * 6, changed))
    is_same = (first["y"] == second["y"]).to_list()
    assert is_same == [True, False, True, False]


def test_codes_are_those_of_the_training_whatever_categories_a_table_holds() -> None:
    rows = panel_frame(kind=["b"] * 12)
    inputs = known_model().inputs(rows)
    assert inputs.known.unique().tolist() == [1.0]


def test_unknown_category_counts_as_a_missing_one() -> None:
    past = Columns(targets=("y",), time="day", past=("kind",))
    model = Model(small_bundle(past, features={"past": [KIND]}, missing="mask"))
    frame = pl.DataFrame({"day": days(4), "y": [1.0, 2.0, 3.0, 5.0]})
    odd, missing, known = (
        model.predict(frame.with_columns(pl.Series("kind", values, dtype=pl.String)))["y"].to_list()
        for values in (["a", "b", "odd", "odd"], ["a", "b", None, None], ["a", "b", "a", "a"])
    )
    assert odd == missing
    assert odd != known


def test_future_that_ends_too_early_names_series_and_steps() -> None:
    short = panel_frame().filter((pl.col("id") == "a") | (pl.col("day") < date(2024, 1, 6)))
    with pytest.raises(
        InputError, match=r"new.csv: .* kind for 2 steps .* of series b, found 1. Append rows with empty"
    ):
        known_model().predict(short, where="new.csv")


def test_future_without_values_counts_as_missing() -> None:
    with pytest.raises(InputError, match=r"series a, found 0\. .*\n.*series b, found 0\."):
        known_model().predict(panel_frame(kind=["a"] * 4 + [None] * 2 + ["b"] * 4 + [None] * 2))


def test_text_where_the_model_knows_numbers_is_an_input_error() -> None:
    model = Model(small_bundle(Columns(("y",), "day", past=("price",)), features={"past": [PRICE]}))
    frame = pl.DataFrame({"day": days(4), "y": [1.0, 2.0, 3.0, 5.0], "price": ["low", "low", "high", "low"]})
    with pytest.raises(InputError, match=r"column 'price' \(past\) must hold numbers"):
        model.predict(frame)


def test_missing_columns_are_named() -> None:
    with pytest.raises(InputError, match=r"'y'.*\n?.*'kind'"):
        known_model().predict(panel_frame().drop("y", "kind"))


def test_table_without_time_counts_steps() -> None:
    columns = Columns(targets=("y",), series=("id",))
    model = Model(silenced(small_bundle(columns, every="rows", horizon=3)))
    forecast = model.predict(pl.DataFrame({"id": [2, 2, 1, 1, 1], "y": [5.0, 6.0, 1.0, 3.0, 2.0]}))
    assert forecast.columns == ["id", "step", "y"]
    assert forecast["step"].to_list() == [1, 2, 3, 1, 2, 3]
    assert forecast["y"].to_list() == pytest.approx([2.0] * 3 + [6.0] * 3)


def test_integer_times_go_on_by_one() -> None:
    model = Model(silenced(small_bundle(Columns(("y",), "day"), every="1i")))
    forecast = model.predict(pl.DataFrame({"day": [2001, 2002, 2003], "y": [1.0, 3.0, 2.0]}))
    assert forecast["day"].to_list() == [2004, 2005]


def test_months_and_time_zones_are_kept() -> None:
    model = Model(silenced(small_bundle(ONE, every="1mo")))
    months = pl.Series([datetime(2023, 11, 1), datetime(2023, 12, 1)]).dt.replace_time_zone("Europe/Berlin")
    forecast = model.predict(pl.DataFrame({"day": months, "y": [1.0, 3.0]}))
    assert forecast.schema["day"] == months.dtype
    assert forecast["day"].dt.replace_time_zone(None).to_list() == [datetime(2024, 1, 1), datetime(2024, 2, 1)]


def test_quantiles_have_columns_in_rising_order_around_the_median() -> None:
    columns = Columns(targets=("y", "z"), time="day")
    model = Model(small_bundle(columns, quantiles=(0.05, 0.5, 0.9)))
    forecast = model.predict(pl.DataFrame({"day": days(4), "y": [1.0, 2.0, 4.0, 3.0], "z": [9.0, 7.0, 8.0, 6.0]}))
    names = ["y", "y_q0.05", "y_q0.5", "y_q0.9", "z", "z_q0.05", "z_q0.5", "z_q0.9"]
    assert forecast.columns == ["day", *names]
    assert (forecast["z_q0.05"] < forecast["z_q0.5"]).all()
    assert (forecast["z_q0.5"] < forecast["z_q0.9"]).all()
    assert forecast["z"].equals(forecast["z_q0.5"], check_names=False)


def test_inputs_are_what_the_network_forecasts_from() -> None:
    model = known_model()
    batch = model.inputs(panel_frame())
    assert [list(values.shape) for values in batch.inputs] == [[2, 4, 1], [2, 4, 0], [2, 6, 1], [2, 0]]
    forecast = model.bundle.network(*batch.inputs)
    assert torch.allclose(
        forecast.flatten().double(), torch.tensor(model.predict(panel_frame())["y"].to_list()).double()
    )


def test_bundle_read_back_forecasts_a_table_the_same(tmp_path: Path) -> None:
    model = known_model(members=2, quantiles=(0.1, 0.5, 0.9))
    write_bundle(model.bundle, tmp_path / "best")
    assert load(tmp_path).predict(panel_frame()).equals(model.predict(panel_frame()))
