from collections.abc import Callable

import numpy as np
import pytest

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Feature, Panel
from lstm_tune.data.scaling import fit_statistics, seasonal_errors, training_rows
from lstm_tune.data.sequences import prepare

PanelMaker = Callable[..., Panel]
NAN = float("nan")


def column(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)[:, None]


def test_statistics_are_of_the_observed_rows() -> None:
    found = fit_statistics(column(1, NAN, 3, 8))
    assert found.mean[0] == pytest.approx(4)
    assert found.scale[0] == pytest.approx((26 / 3) ** 0.5)
    assert found.smallest[0] == 1


@pytest.mark.parametrize("value", [0.0, 5.0, 1e9 / 3])
def test_constant_column_has_scale_one(value: float) -> None:
    assert fit_statistics(column(*[value] * 997)).scale[0] == 1


def test_tiny_values_keep_their_own_scale() -> None:
    assert fit_statistics(column(1e-12, 3e-12)).scale[0] == pytest.approx(1e-12)


def test_large_values_keep_their_precision() -> None:
    values = column(*(1e9 + 64 * np.arange(1000)))
    assert fit_statistics(values).mean[0] == pytest.approx(1e9 + 64 * 499.5, rel=1e-7)
    assert fit_statistics(values).scale[0] == pytest.approx(64 * np.arange(1000).std(), rel=1e-3)


def test_column_without_a_value_leaves_numbers_as_they_are() -> None:
    found = fit_statistics(column(NAN, NAN))
    assert (found.mean[0], found.scale[0]) == (0, 1)


def test_logarithm_stops_at_half_the_smallest_positive_value() -> None:
    found = fit_statistics(column(0, 2, 8), is_log=True)
    logs = np.log([1, 2, 8])
    assert found.smallest[0] == 2
    assert found.mean[0] == pytest.approx(logs.mean())
    assert found.scale[0] == pytest.approx(logs.std())


def test_categories_that_no_row_holds_are_unseen() -> None:
    found = fit_statistics(column(2, NAN, 0, -1), (Feature("x", ("a", "b", "c")),))
    assert found.seen[0].tolist() == [True, False, True]
    assert (found.mean[0], found.scale[0]) == (0, 1)


def test_training_rows_end_where_each_series_stops_training(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of(range(12), range(4), range(10)), missing="error")
    fold = split_panel(sequences.lengths, horizon=2, folds=2, block=2, gap=1, test=2).folds[0]
    rows = training_rows(sequences, fold)
    assert np.flatnonzero(rows).tolist() == [0, 1, 2, 3, 4, 16, 17, 18]


def test_seasonal_error_is_the_mean_absolute_seasonal_difference_before_the_end(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 5, 2, 9, 4, 999], [10, 20, 40, 80]), missing="error")
    ends = np.array([5, 4])
    # |2-1|, |9-5|, |4-2| and |40-10|, |80-20|
    assert seasonal_errors(sequences, ends, season=2, power=1)[:, 0].tolist() == pytest.approx([7 / 3, 45])
    assert seasonal_errors(sequences, ends, season=2, power=2)[:, 0].tolist() == pytest.approx([7, 2250])


def test_missing_values_leave_their_differences_out(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, NAN, 4, 6, 7]), missing="mask")
    assert seasonal_errors(sequences, np.array([5]), season=1, power=1)[0, 0] == pytest.approx(1.5)


def test_series_without_a_season_falls_back_to_single_steps(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([1, 2, 4], [1, 3, 1, 3, 1, 3]), missing="error")
    found = seasonal_errors(sequences, np.array([3, 6]), season=4, power=1)
    assert found[:, 0].tolist() == pytest.approx([1.5, 2])


def test_constant_series_has_no_error_scale(panel_of: PanelMaker) -> None:
    sequences = prepare(panel_of([5, 5, 5, 5], [1, 2, 3, 4]), missing="error")
    assert np.isnan(seasonal_errors(sequences, np.array([4, 0]), season=2, power=1)[:, 0]).all()
