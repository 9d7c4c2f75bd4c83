import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from lstm_tune.selection.out_of_fold import (
    Floats,
    OutOfFold,
    Pooled,
    from_table,
    independent_units,
    scores,
    time_units,
    to_table,
)
from lstm_tune.spec.errors import InputError

NAN = float("nan")


def same(ratio: Floats) -> Floats:
    return ratio


def two_trials() -> OutOfFold:
    """Two folds of two series, in which the second series has two blocks of the second fold."""
    return OutOfFold(
        trials=np.array([3, 8]),
        sums=np.array([[1.0, 3.0, 4.0, 6.0, 2.0], [2.0, 2.0, 9.0, 9.0, 9.0]]),
        counts=np.tile([1.0, 1.0, 2.0, 2.0, 2.0], (2, 1)),
        folds=np.array([0, 0, 1, 1, 1]),
        series=np.array([0, 1, 0, 1, 1]),
        steps=np.array([10, 20, 12, 22, 24]),
    )


def panel(series: int, folds: int) -> OutOfFold:
    fold, one = (grid.ravel() for grid in np.mgrid[:folds, :series])
    blocks = series * folds
    return OutOfFold(np.array([0]), np.ones((1, blocks)), np.ones((1, blocks)), fold, one, 7 * one + fold)


def test_scores_are_means_over_folds_of_ratios_of_sums() -> None:
    assert_allclose(scores(two_trials(), same), [(4 / 2 + 12 / 6) / 2, (4 / 2 + 27 / 6) / 2])


def test_scores_finish_each_fold_before_the_mean() -> None:
    assert_allclose(scores(two_trials(), np.sqrt), [2**0.5, (2**0.5 + 4.5**0.5) / 2])


def test_scores_are_nan_where_a_loss_is_or_a_fold_counts_nothing() -> None:
    oof = two_trials()
    oof.sums[0, 0] = NAN
    oof.counts[1, 2:] = 0.0
    assert np.isnan(scores(oof, same)).all()


def test_rows_of_some_trials_come_in_the_order_asked_for() -> None:
    chosen = two_trials().of([8, 3])
    assert_array_equal(chosen.trials, [8, 3])
    assert_array_equal(chosen.sums[:, 0], [2.0, 1.0])


def test_table_and_back_gives_the_same_losses() -> None:
    oof = two_trials()
    back = from_table(to_table(oof).sample(fraction=1.0, shuffle=True, seed=1))
    for name in ("trials", "sums", "counts", "folds", "series", "steps"):
        assert_array_equal(getattr(back, name), getattr(oof, name))


def test_an_empty_table_holds_no_trial() -> None:
    back = from_table(to_table(two_trials()).clear())
    assert (len(back.trials), back.blocks) == (0, 0)


@pytest.mark.parametrize("rows", [slice(0, 9), slice(0, 7), slice(1, 9)])
def test_a_table_that_lost_rows_is_refused(rows: slice) -> None:
    with pytest.raises(InputError, match=r"run/out_of_fold\.parquet: every trial must hold the same blocks"):
        from_table(to_table(two_trials())[rows], where="run/out_of_fold.parquet")


def test_many_series_are_the_units_and_few_are_drawn_by_time() -> None:
    assert (independent_units(panel(8, 4)).kind, independent_units(panel(8, 4)).number) == ("series", 8)
    assert (independent_units(panel(7, 4)).kind, independent_units(panel(7, 4)).number) == ("times", 4)


def test_times_are_counted_within_a_fold_whatever_the_position_in_the_series() -> None:
    assert_array_equal(time_units(two_trials()).of_block, [0, 0, 1, 1, 2])


def test_pooled_scores_under_equal_weights_are_the_scores() -> None:
    oof = two_trials()
    pooled = Pooled(oof, time_units(oof), np.sqrt)
    assert_allclose(pooled.scores(np.ones((1, 3)))[0], scores(oof, np.sqrt))


def test_pooled_scores_weigh_units_and_leave_out_folds_without_weight() -> None:
    oof = two_trials()
    pooled = Pooled(oof, time_units(oof), same)
    weights = np.array([[0.0, 2.0, 1.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    assert_allclose(pooled.scores(weights), [[22 / 10, 45 / 10], [2.0, 2.0], [NAN, NAN]])
    assert_allclose(pooled.scores_of(weights, np.array([1, 0, 0])), [45 / 10, 2.0, NAN])


def test_pooled_keeps_the_place_of_a_trial_without_scores() -> None:
    oof = two_trials()
    oof.sums[0, 0] = NAN
    assert_allclose(Pooled(oof, time_units(oof), same).scores(np.ones((1, 3))), [[NAN, 3.25]])


def test_pooled_takes_denominators_of_each_trial_apart() -> None:
    oof = two_trials()
    oof.counts[1] *= 2
    pooled = Pooled(oof, time_units(oof), same)
    assert_allclose(pooled.scores(np.ones((1, 3))), [[2.0, 1.625]])
    assert_allclose(pooled.scores_of(np.ones((2, 3)), np.array([1, 0])), [1.625, 2.0])


@pytest.mark.parametrize("finish", [same, np.sqrt])
def test_contributions_are_the_change_when_a_unit_weighs_a_little_more(finish: object) -> None:
    random = np.random.default_rng(0)
    base = panel(9, 3)
    oof = OutOfFold(base.trials, random.gamma(2, 1, (1, 27)), base.counts, base.folds, base.series, base.steps)
    pooled = Pooled(oof, independent_units(oof), finish)  # type: ignore[arg-type]
    heavier = pooled.scores(1 + 1e-6 * np.eye(9)) - pooled.scores(np.ones((1, 9)))  # [9, 1]
    assert_allclose(pooled.contributions(), heavier.T / 1e-6, atol=1e-5)


def test_contributions_of_one_block_a_fold_are_the_folds_distances_from_the_mean() -> None:
    sums, ones = np.array([[1.0, 2.0, 6.0]]), np.ones((1, 3))
    oof = OutOfFold(np.array([0]), sums, ones, np.arange(3), np.zeros(3, dtype=np.int64), np.arange(3))
    assert_allclose(Pooled(oof, time_units(oof), same).contributions(), [[-2 / 3, -1 / 3, 1.0]])
