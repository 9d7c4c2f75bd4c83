import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from numpy.typing import ArrayLike

from lstm_tune.selection.out_of_fold import Floats, OutOfFold
from lstm_tune.selection.rules import (
    DefaultTrial,
    best_mean,
    one_standard_error,
    one_standard_error_rule,
    paired_errors,
    smallest,
)
from lstm_tune.spec.errors import SearchFailedError

NAN = float("nan")
DEFAULTS = DefaultTrial(10, 2)


def same(ratio: Floats) -> Floats:
    return ratio


def one_series(losses: ArrayLike) -> OutOfFold:
    """Trials 10, 11, ... on one block a fold, of one step each."""
    sums = np.asarray(losses, dtype=np.float64)
    trials, folds = sums.shape
    series = np.zeros(folds, dtype=np.int64)
    return OutOfFold(np.arange(trials) + 10, sums, np.ones_like(sums), np.arange(folds), series, np.arange(folds))


def many_series(losses: Floats, *, folds: int) -> OutOfFold:
    """Trials on `folds` blocks of each series [trials, series * folds], those of one series side by side."""
    blocks = losses.shape[1]
    series, fold = np.arange(blocks) // folds, np.arange(blocks) % folds
    return OutOfFold(np.arange(len(losses)), losses, np.ones_like(losses), fold, series, fold)


def test_best_mean_is_the_smallest_and_the_first_of_equals() -> None:
    chosen = best_mean(one_series([[2.0, 4.0], [NAN, 0.0], [1.0, 3.0], [3.0, 1.0]]), finish=same)
    assert (chosen.index, chosen.trial, chosen.reason) == (2, 12, "the best fold mean, 2")


def test_no_rule_chooses_among_trials_without_scores() -> None:
    with pytest.raises(SearchFailedError, match="No trial has a score"):
        one_standard_error(one_series([[NAN] * 4] * 2), np.array([1, 2]), finish=same)


def test_paired_error_is_the_standard_error_of_the_differences() -> None:
    losses = np.array([[1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 5.0]])
    errors = paired_errors(one_series(losses), finish=same)
    differences = losses[1] - losses[0]  # 1 0 2 1; neighbours vary against each other, so lags would only lower it
    assert_allclose(errors, (1 - np.eye(2)) * differences.std(ddof=1) / 2)


def test_paired_error_grows_where_neighbouring_differences_are_alike() -> None:
    differences = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0])
    errors = paired_errors(one_series([np.zeros(8), differences]), finish=same)
    covariances = 8 / 8, 4 / 8  # of lags 0 and 1 around the circle; runs of two have the weight 1/2
    assert errors[0, 1] == pytest.approx(((covariances[0] + 2 * 0.5 * covariances[1]) / 7) ** 0.5)


def test_paired_error_takes_the_blocks_of_a_series_as_one() -> None:
    random = np.random.default_rng(3)
    each = random.normal(size=20)
    losses = np.stack((np.zeros(80), np.repeat(each, 4)))
    errors = paired_errors(many_series(losses, folds=4), finish=same)
    assert errors[0, 1] == pytest.approx(each.std(ddof=1) / 20**0.5)


def test_one_standard_error_takes_the_smallest_network_that_is_hardly_worse() -> None:
    best, near, far = [1.0, 1.0, 1.0, 1.0], [0.8, 1.4, 0.8, 1.4], [1.5, 1.6, 1.5, 1.6]
    chosen = one_standard_error(one_series([best, near, far]), np.array([9000, 500, 100]), finish=same)
    assert chosen.trial == 11
    error = np.std([-0.2, 0.4, -0.2, 0.4], ddof=1) / 2  # 0.173, and 0.1 is less
    assert chosen.reason == (
        f"the fewest parameters (500) within one standard error ({error:.2g}, paired over 4 points in time)"
        " of trial 10, 1.1 beside 1 with 9,000"
    )


def test_one_standard_error_stays_with_the_best_where_nothing_smaller_is_near() -> None:
    chosen = one_standard_error(one_series([[1.0] * 4, [2.0, 2.1] * 2]), np.array([900, 5]), finish=same)
    assert (chosen.index, chosen.reason.split("; ")[1]) == (
        0,
        "no smaller network comes within one standard error of it",
    )


def test_of_equally_small_networks_the_better_is_chosen() -> None:
    losses = [[1.0, 1.0, 1.0, 1.0], [0.8, 1.4, 0.8, 1.4], [0.8, 1.3, 0.8, 1.3]]
    assert one_standard_error(one_series(losses), np.array([900, 50, 50]), finish=same).index == 2


def test_a_smaller_network_with_the_same_losses_is_chosen() -> None:
    assert one_standard_error(one_series([[1.0] * 4, [1.0] * 4]), np.array([900, 50]), finish=same).index == 1


def test_trials_without_scores_and_single_trials_do_no_harm() -> None:
    chosen = one_standard_error(one_series([[NAN] * 4, [1.0, 2.0, 1.0, 2.0]]), np.array([5, 900]), finish=same)
    assert chosen.index == 1
    assert one_standard_error(one_series([[1.0, 2.0, 1.0, 2.0]]), np.array([5]), finish=same).index == 0


def test_defaults_stay_where_the_best_is_not_better_by_more_than_chance() -> None:
    default, lucky = [1.0, 1.2, 1.0, 1.2, 1.0, 1.2], [0.5, 1.5, 0.5, 1.5, 0.5, 1.5]
    chosen = one_standard_error(one_series([default, lucky]), np.array([900, 5]), finish=same, defaults=DEFAULTS)
    assert chosen.trial == 10
    assert chosen.reason == (
        "the default configuration: no other is better by more than chance over 6 points in time"
        " (1 of trial 11 beside 1.1)"
    )


def test_a_trial_that_beats_the_defaults_on_every_block_replaces_them() -> None:
    default, better, other = [1.0, 1.2, 1.0, 1.2], [0.5, 0.6, 0.5, 0.6], [0.9, 1.3, 0.9, 1.3]
    losses, parameters = one_series([default, better, other]), np.array([5, 900, 1])
    assert one_standard_error(losses, parameters, finish=same, defaults=DEFAULTS).trial == 11


@pytest.mark.parametrize(("rivals", "quantile"), [(0, 1.4759), (1, 1.4759), (20, 4.0321), (100, 5.8934)])
def test_proof_grows_with_the_rivals(rivals: int, quantile: float) -> None:
    oof = one_series(np.random.default_rng(0).gamma(4, 1, (2, 6)))
    rule = one_standard_error_rule(oof, np.array([1, 1]), finish=same, defaults=DefaultTrial(11, rivals))
    assert rule.defaults is not None
    assert rule.defaults.index == 1
    assert rule.defaults.proof[0] == pytest.approx(quantile * rule.margins[1, 0], rel=1e-4)  # t(5), one-sided


@pytest.mark.parametrize("rivals", [4, 40])
def test_a_search_among_equals_keeps_the_defaults_nine_times_out_of_ten(rivals: int) -> None:
    random = np.random.default_rng(0)
    kept = 0
    for _ in range(100):
        equals = one_series(random.gamma(4, 1, (rivals + 1, 24)))
        sizes = np.ones(rivals + 1, dtype=np.int64)
        kept += one_standard_error(equals, sizes, finish=same, defaults=DefaultTrial(10, rivals)).trial == 10
    assert 85 <= kept < 100


def test_too_few_blocks_prove_nothing_against_the_defaults() -> None:
    chosen = one_standard_error(
        one_series([[1.0, 2.0, 1.0], [0.0, 0.2, 0.1]]), np.array([900, 5]), finish=same, defaults=DEFAULTS
    )
    assert chosen.trial == 10
    assert "3 points in time are too few to prove another one better" in chosen.reason


def test_defaults_without_a_score_do_not_stay() -> None:
    losses = one_series([[NAN] * 4, [1.0, 2.0, 1.0, 2.0]])
    assert one_standard_error(losses, np.array([5, 900]), finish=same, defaults=DEFAULTS).trial == 11


def test_few_blocks_fall_back_to_the_best_mean_and_say_so() -> None:
    chosen = one_standard_error(one_series([[1.0, 2.0, 1.0], [0.0, 3.2, 1.0]]), np.array([900, 5]), finish=same)
    assert chosen.index == 0
    assert chosen.reason.endswith("; 3 points in time are too few for the one-standard-error rule")


def test_the_rule_chooses_for_each_row_as_it_does_alone() -> None:
    random = np.random.default_rng(0)
    oof = one_series(random.gamma(4, 1, (12, 16)))
    parameters = random.integers(1, 6, 12)
    rule = one_standard_error_rule(oof, parameters, finish=same)
    rows = random.gamma(4, 1, (30, 12))
    rows[:, 4] = NAN
    margins = paired_errors(oof, finish=same)
    expected = []
    for row in rows:
        best = int(np.nanargmin(row))
        near = [n for n in range(12) if row[n] <= row[best] + margins[best, n]]
        expected.append(min(near, key=lambda n: (parameters[n], row[n])))
    assert_array_equal(rule(rows), expected)
    assert_array_equal(smallest(rows), np.nanargmin(rows, axis=1))
