from itertools import combinations

import numpy as np
import pytest

from lstm_tune.selection.out_of_fold import Floats, OutOfFold
from lstm_tune.selection.overfitting import backtest_overfitting


def same(ratio: Floats) -> Floats:
    return ratio


def trials_over_time(losses: Floats, *, series: int = 1) -> OutOfFold:
    """Trials [N, times * series] in two folds, the series of one time side by side."""
    blocks = losses.shape[1]
    time, one = np.divmod(np.arange(blocks), series)
    return OutOfFold(np.arange(len(losses)), losses, np.ones_like(losses), (2 * np.arange(blocks)) // blocks, one, time)


def by_enumeration(losses: Floats) -> float:
    """The same probability with loops over one block a group in one fold."""
    groups = set(range(losses.shape[1]))
    failed = []
    for half in combinations(sorted(groups), len(groups) // 2):
        chosen = losses[:, half].mean(axis=1).argmin()
        judged = losses[:, sorted(groups - set(half))].mean(axis=1)
        relative_rank = (judged >= judged[chosen]).sum() / (len(losses) + 1)
        failed.append(np.log(relative_rank / (1 - relative_rank)) <= 0)
    return float(np.mean(failed))


def test_probability_is_the_share_of_all_halves_whose_choice_fails() -> None:
    losses = np.random.default_rng(1).gamma(2, 1, (9, 8))
    oof = trials_over_time(losses)
    one_fold = OutOfFold(oof.trials, oof.sums, oof.counts, 0 * oof.folds, oof.series, oof.steps)
    found = backtest_overfitting(one_fold, finish=same)
    assert found.probability == pytest.approx(by_enumeration(losses))
    assert found.reason == "70 splits of 8 points in time in 8 groups"


def test_a_trial_that_is_truly_better_is_not_overfitted() -> None:
    losses = np.random.default_rng(2).normal(10, 1, (20, 32))
    losses[7] -= 5
    assert backtest_overfitting(trials_over_time(losses), finish=same).probability == 0.0


def test_trials_of_equal_skill_are_overfitted_half_of_the_time() -> None:
    random = np.random.default_rng(3)
    searches = [trials_over_time(random.normal(10, 1, (15, 8))) for _ in range(200)]
    found = [backtest_overfitting(search, finish=same).probability for search in searches]
    assert np.mean(np.array(found, dtype=np.float64)) == pytest.approx(0.5, abs=0.05)


def test_equal_trials_rank_in_the_middle_and_count_as_overfitted() -> None:
    losses = np.tile(np.random.default_rng(4).gamma(2, 1, 8), (5, 1))
    assert backtest_overfitting(trials_over_time(losses), finish=same).probability == 1.0


def test_a_panel_is_split_by_its_series() -> None:
    losses = np.random.default_rng(5).gamma(2, 1, (6, 4 * 20))
    found = backtest_overfitting(trials_over_time(losses, series=20), finish=np.sqrt)
    assert found.reason == "12,870 splits of 20 series in 16 groups"


def test_too_few_blocks_or_trials_give_no_probability() -> None:
    losses = np.ones((3, 7))
    assert (
        backtest_overfitting(trials_over_time(losses), finish=same).reason
        == "7 points in time were judged and 8 are needed"
    )
    losses = np.ones((2, 8))
    losses[0, 0] = np.nan
    assert backtest_overfitting(trials_over_time(losses), finish=same).probability is None
