from datetime import date

import numpy as np
import polars as pl
import pytest

from lstm_tune.data.building import build_panel
from lstm_tune.data.panel import Columns, Panel
from lstm_tune.spec.errors import InputError
from lstm_tune.tasks.newer import known_steps, newer_steps, with_history

ONE = Columns(targets=("y",), time="t")
SHOPS = Columns(targets=("y",), time="t", series=("shop",))


def days(first: int, last: int, **names: str) -> pl.DataFrame:
    """Rows of the days `first` to `last` of January 2024, with the day as the target."""
    numbers = range(first, last + 1)
    times = [date(2024, 1, number) for number in numbers]
    frame = pl.DataFrame({"t": times, "y": [float(number) for number in numbers]})
    return frame.with_columns([pl.lit(value).alias(name) for name, value in names.items()])


def panel_of(frame: pl.DataFrame, columns: Columns = ONE) -> Panel:
    return build_panel(frame, columns, missing="mask", frequency="rows" if columns.time is None else "1d", where="a")


def test_steps_after_the_last_known_time_are_newer() -> None:
    known = known_steps(panel_of(days(1, 10)))
    assert known.to_dicts() == [{"first": date(2024, 1, 1), "last": date(2024, 1, 10), "steps": 10}]
    found = newer_steps(panel_of(days(3, 14)), known, where="a")
    assert [steps.tolist() for steps in (found.fold.train_ends, found.fold.starts, found.fold.ends)] == [[8], [8], [12]]
    assert found.remarks == ()


def test_each_series_has_its_own_last_time() -> None:
    known = known_steps(panel_of(pl.concat([days(1, 10, shop="a"), days(1, 6, shop="b")]), SHOPS))
    later = pl.concat([days(1, 12, shop="c"), days(1, 9, shop="b"), days(1, 12, shop="a"), days(1, 5, shop="d")])
    found = newer_steps(panel_of(later, SHOPS), known, where="a")
    assert found.fold.starts.tolist() == [10, 6, 0, 0]
    assert found.fold.ends.tolist() == [12, 9, 0, 0]
    assert found.remarks == ("2 series that the run did not know are left out.",)


def test_series_without_newer_rows_is_told_and_not_judged() -> None:
    both = pl.concat([days(1, 10, shop="a"), days(1, 10, shop="b")])
    later = pl.concat([days(1, 12, shop="a"), days(1, 10, shop="b")])
    found = newer_steps(panel_of(later, SHOPS), known_steps(panel_of(both, SHOPS)), where="a")
    assert (found.fold.ends - found.fold.starts).tolist() == [2, 0]
    assert found.remarks == ("1 series has no newer rows.",)


def test_rows_without_times_are_newer_beyond_the_known_count() -> None:
    columns = Columns(targets=("y",))
    found = newer_steps(panel_of(days(1, 14), columns), known_steps(panel_of(days(1, 10), columns)), where="a")
    assert (found.fold.starts.tolist(), found.fold.ends.tolist()) == ([10], [14])


@pytest.mark.parametrize(
    ("later", "message"),
    [
        (days(1, 10), r"must hold rows after the last that the run knew \(2024-01-10\), but has none"),
        (days(11, 14), r"must hold the history up to 2024-01-10 too"),
    ],
)
def test_table_that_cannot_be_judged_is_refused(later: pl.DataFrame, message: str) -> None:
    with pytest.raises(InputError, match=f"^new.csv: {message}"):
        newer_steps(panel_of(later), known_steps(panel_of(days(1, 10))), where="new.csv")


def test_table_of_other_series_is_refused() -> None:
    known = known_steps(panel_of(days(1, 10, shop="a"), SHOPS))
    with pytest.raises(InputError, match="must hold series that the run knew, but has none of them"):
        newer_steps(panel_of(days(1, 12, shop="b"), SHOPS), known, where="new.csv")


def test_newer_rows_alone_are_completed_by_the_earlier_table() -> None:
    whole = with_history(days(9, 14).with_columns(pl.col("y") * 2), days(1, 10), ONE)
    panel = panel_of(whole)
    assert panel.target[:, 0].tolist() == [*range(1, 9), *range(18, 30, 2)]
    assert np.diff(panel.times.to_physical().to_numpy()).tolist() == [1] * 13


def test_table_without_times_or_of_another_kind_is_left_as_it_is() -> None:
    later, earlier = days(9, 14), days(1, 10)
    assert with_history(later, earlier, Columns(targets=("y",))) is later
    assert with_history(later, earlier.with_columns(pl.col("t").cast(pl.String)), ONE) is later
