from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from lstm_tune.selection.estimates import bias_corrected, interval
from lstm_tune.selection.out_of_fold import Finish, Floats, OutOfFold, scores
from lstm_tune.selection.rules import one_standard_error_rule, smallest
from lstm_tune.spec.errors import SearchFailedError

NAN = float("nan")
SEARCHES = 200
TRIALS = 100


def same(ratio: Floats) -> Floats:
    return ratio


def blocks_of(losses: Floats, *, folds: int, series: int = 1) -> OutOfFold:
    """Losses [trials, times * series], the series of one time side by side, the times in `folds` equal folds."""
    number = losses.shape[1]
    time, one = np.divmod(np.arange(number), series)
    return OutOfFold(np.arange(len(losses)), losses, np.ones_like(losses), time * folds * series // number, one, time)


def one_fold_a_series(losses: Floats, *, folds: int) -> OutOfFold:
    """Losses [trials, subjects], each subject in one fold only."""
    subjects = np.arange(losses.shape[1])
    return OutOfFold(
        np.arange(len(losses)), losses, np.ones_like(losses), subjects % folds, subjects, np.zeros_like(subjects)
    )


class Figures:
    """What simulated searches claimed beside what their tests then found.

    Args:
        simulate: validation losses and test losses of all trials [trials, blocks], from a generator.
        arrange: the validation losses as out-of-fold losses.
        finish: of the metric.
    """

    def __init__(
        self,
        simulate: Callable[[np.random.Generator], tuple[Floats, Floats]],
        arrange: Callable[[Floats], OutOfFold],
        finish: Finish = same,
        *,
        seed: int = 0,
    ) -> None:
        random = np.random.default_rng(seed)
        naive, corrected, realised, is_held = [], [], [], []
        for i in range(SEARCHES):
            seen, unseen = simulate(random)
            oof = arrange(seen)
            claim = bias_corrected(oof, finish=finish, rule=smallest, test_blocks=unseen.shape[1], seed=i, repeats=200)
            chosen = int(smallest(scores(oof, finish)[None])[0])
            test = float(finish(unseen[chosen].mean(keepdims=True))[0])
            naive.append(claim.naive)
            corrected.append(claim.corrected)
            realised.append(test)
            if claim.low is not None and claim.high is not None:
                is_held.append(claim.low <= test <= claim.high)
        self.naive, self.corrected, self.realised = (np.array(values) for values in (naive, corrected, realised))
        self.coverage = float(np.mean(is_held)) if is_held else NAN


def equal_skill(
    *, blocks: int, test: int, skewed: bool = False, better: float = 0.0
) -> Callable[[np.random.Generator], tuple[Floats, Floats]]:
    """Trials whose losses differ by chance alone, around 1; the first is better by a share, if wanted."""

    def simulate(random: np.random.Generator) -> tuple[Floats, Floats]:
        shape = TRIALS, blocks + test
        common = random.normal(size=shape[1])
        noise = 0.8 * common + 0.6 * random.normal(size=shape)
        losses = np.exp(0.4 * noise - 0.08) if skewed else 1 + 0.2 * noise
        losses[0] *= 1 - better
        return losses[:, :blocks], losses[:, blocks:]

    return simulate


def test_naive_best_of_equal_trials_is_optimistic_by_two_and_a_half_standard_errors() -> None:
    found = Figures(equal_skill(blocks=16, test=4), lambda losses: blocks_of(losses, folds=4))
    of_noise = 0.2 * 0.6 / 16**0.5  # what trials do not share
    assert (1 - found.naive.mean()) / of_noise == pytest.approx(2.5, abs=0.3)
    assert found.corrected.mean() == pytest.approx(1, abs=3 * found.corrected.std() / SEARCHES**0.5)
    assert 0.7 <= found.coverage <= 0.9


@pytest.mark.parametrize(
    ("blocks", "test", "skewed"), [(8, 1, False), (8, 1, True), (16, 1, True), (32, 1, False), (32, 8, True)]
)
def test_interval_holds_about_the_stated_share_of_tests(blocks: int, test: int, skewed: bool) -> None:
    simulate = equal_skill(blocks=blocks, test=test, skewed=skewed)
    found = Figures(simulate, lambda losses: blocks_of(losses, folds=4), seed=1)
    assert 0.7 <= found.coverage <= 0.9
    assert found.corrected.mean() == pytest.approx(1, abs=3 * found.corrected.std() / SEARCHES**0.5)


def test_a_root_taken_last_does_not_bias_the_estimate() -> None:
    found = Figures(equal_skill(blocks=32, test=8, skewed=True), lambda losses: blocks_of(losses, folds=4), np.sqrt)
    assert np.median(found.corrected / found.realised) == pytest.approx(1, abs=0.03)
    assert 0.7 <= found.coverage <= 0.9


def test_a_trial_that_is_truly_better_is_claimed_at_its_own_error() -> None:
    simulate = equal_skill(blocks=16, test=4, better=0.4)
    found = Figures(simulate, lambda losses: blocks_of(losses, folds=4))
    assert found.corrected.mean() == pytest.approx(0.6, abs=0.01)
    assert found.naive.mean() == pytest.approx(0.6, abs=0.01)
    assert 0.7 <= found.coverage <= 0.9


def panel_with_hard_and_easy_series(random: np.random.Generator) -> tuple[Floats, Floats]:
    """Twenty series over four times and a fifth to test; series, times and trials each add their own difficulty."""
    series, times = random.normal(size=20), np.repeat(random.normal(size=5), 20)
    noise = random.normal(size=(TRIALS, 100))
    losses = 2 + 0.5 * np.tile(series, 5) + 0.1 * times + 0.3 * noise
    return losses[:, :80], losses[:, 80:]


def test_a_panel_is_tested_on_the_same_series_at_another_time() -> None:
    found = Figures(panel_with_hard_and_easy_series, lambda losses: blocks_of(losses, folds=4, series=20))
    assert found.naive.mean() < found.realised.mean() - 0.05
    assert np.mean(found.corrected - found.realised) == pytest.approx(0, abs=0.03)
    assert 0.7 <= found.coverage <= 0.9


def test_subjects_that_are_each_in_one_fold_are_tested_on_other_subjects() -> None:
    simulate = equal_skill(blocks=40, test=20, skewed=True)
    found = Figures(simulate, lambda losses: one_fold_a_series(losses, folds=4))
    assert found.corrected.mean() == pytest.approx(1, abs=3 * found.corrected.std() / SEARCHES**0.5)
    assert 0.7 <= found.coverage <= 0.9


def test_few_blocks_are_corrected_fold_by_fold() -> None:
    losses = np.array([[1.0, 2.0, 6.0], [3.0, 2.5, 1.0]])
    claim = bias_corrected(blocks_of(losses, folds=3), finish=same, rule=smallest, test_blocks=1, seed=0)
    # Without fold 0 the second is chosen (3.0); without fold 1 the second (2.5); without fold 2 the first (6.0).
    assert (claim.naive, claim.corrected, claim.blocks) == (pytest.approx(6.5 / 3), pytest.approx(11.5 / 3), 3)
    reach = stats.t.ppf(0.9, 2) * np.log([3.0, 2.5, 6.0]).std(ddof=1) * (1 + 1 / 3) ** 0.5
    ends = (11.5 / 3 / np.exp(reach), 11.5 / 3 * np.exp(reach))
    assert (claim.low, claim.high) == (pytest.approx(ends[0]), pytest.approx(ends[1]))


def test_two_blocks_have_no_interval() -> None:
    claim = bias_corrected(
        blocks_of(np.array([[1.0, 2.0], [3.0, 1.5]]), folds=2), finish=same, rule=smallest, test_blocks=1, seed=0
    )
    assert (claim.low, claim.high) == (None, None)
    assert "no interval: 2 points in time were judged and 3 are needed" in claim.reason


def test_a_block_without_error_leaves_no_interval() -> None:
    found = interval(blocks_of(np.array([[1.0, 0.0, 2.0]]), folds=3), 1.0, finish=same, test_blocks=1, seed=0)
    assert (found.low, found.reason) == (None, "no interval: some of 3 points in time were forecast without any error")


def test_a_block_without_true_values_says_nothing_about_the_spread() -> None:
    oof = blocks_of(np.array([[1.0, 0.0, 3.0, 2.0]]), folds=4)
    emptied = replace(oof, counts=np.array([[1.0, 0.0, 1.0, 1.0]]))
    found = interval(emptied, 1.0, finish=same, test_blocks=1, seed=0)
    others = interval(blocks_of(np.array([[1.0, 3.0, 2.0]]), folds=3), 1.0, finish=same, test_blocks=1, seed=0)
    assert (found.low, found.high) == (others.low, others.high)
    found = interval(replace(emptied, counts=np.array([[1.0, 0, 1, 0]])), 1.0, finish=same, test_blocks=1, seed=0)
    reason = "no interval: only 2 of 4 points in time hold true values and 3 are needed"
    assert (found.low, found.reason) == (None, reason)


@pytest.mark.parametrize("blocks", [3, 4, 6])
def test_intervals_from_few_blocks_hold_the_share_they_promise(blocks: int) -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(SEARCHES):
        *seen, future = np.exp(0.4 * random.normal(size=blocks + 1))
        found = interval(
            blocks_of(np.array([seen]), folds=blocks), float(np.mean(seen)), finish=same, test_blocks=1, seed=0
        )
        assert found.low is not None
        assert found.high is not None
        held += found.low <= future <= found.high
    assert 0.75 <= held / SEARCHES <= 0.85


def test_fold_by_fold_correction_is_not_biased_among_equal_trials() -> None:
    found = Figures(equal_skill(blocks=4, test=1), lambda losses: blocks_of(losses, folds=4))
    assert found.corrected.mean() == pytest.approx(1, abs=3 * found.corrected.std() / SEARCHES**0.5)
    assert found.naive.mean() < 0.9


def test_one_fold_of_few_blocks_is_corrected_block_by_block() -> None:
    losses = np.array([[1.0, 2.0], [3.0, 1.5]])
    claim = bias_corrected(blocks_of(losses, folds=1), finish=same, rule=smallest, test_blocks=1, seed=0)
    assert claim.corrected == pytest.approx((3.0 + 2.0) / 2)


def test_one_block_is_not_corrected_and_says_so() -> None:
    claim = bias_corrected(
        blocks_of(np.array([[2.0], [1.0]]), folds=1), finish=same, rule=smallest, test_blocks=1, seed=0
    )
    assert (claim.naive, claim.corrected) == (1.0, 1.0)
    assert claim.reason.startswith("not corrected for the choice: one block cannot both choose and judge")


def test_one_trial_needs_no_correction_but_has_an_interval() -> None:
    losses = np.random.default_rng(0).gamma(9, 1 / 9, (1, 12))
    claim = bias_corrected(blocks_of(losses, folds=4), finish=same, rule=smallest, test_blocks=1, seed=0)
    assert claim.corrected == claim.naive == pytest.approx(losses.mean())
    assert claim.low is not None
    assert claim.low < claim.naive


def test_nothing_can_be_claimed_of_trials_without_scores() -> None:
    with pytest.raises(SearchFailedError, match="No trial has a score"):
        bias_corrected(blocks_of(np.full((2, 8), NAN), folds=4), finish=same, rule=smallest, test_blocks=1, seed=0)


def test_trials_without_scores_change_nothing() -> None:
    losses = np.random.default_rng(0).gamma(9, 1 / 9, (6, 12))
    broken = np.insert(losses, 2, NAN, axis=0)
    claims = [
        bias_corrected(blocks_of(some, folds=4), finish=np.sqrt, rule=smallest, test_blocks=1, seed=3)
        for some in (losses, broken)
    ]
    assert claims[0] == claims[1]


def test_estimate_depends_on_its_seed_alone() -> None:
    oof = blocks_of(np.random.default_rng(0).gamma(9, 1 / 9, (30, 16)), folds=4)
    claims = [bias_corrected(oof, finish=same, rule=smallest, test_blocks=2, seed=seed) for seed in (1, 1, 2)]
    assert claims[0] == claims[1] != claims[2]
    assert claims[0].corrected == pytest.approx(claims[2].corrected, rel=0.02)


def test_the_rule_that_chose_is_the_rule_that_is_corrected() -> None:
    random = np.random.default_rng(0)
    losses = 1 + 0.2 * random.normal(size=(40, 24))
    losses[7] = losses.mean(axis=0) + 1e-3 * random.normal(size=24)  # small, and near enough to every best one
    oof = blocks_of(losses, folds=4)
    parameters = np.where(np.arange(40) == 7, 10, 1000)
    rule = one_standard_error_rule(oof, parameters, finish=same)
    rule = type(rule)(rule.margins + 1.0, parameters)
    claim = bias_corrected(oof, finish=same, rule=rule, test_blocks=1, seed=0)
    assert claim.naive == claim.corrected == pytest.approx(losses[7].mean())


def test_t_interval_of_a_short_panel_is_that_of_its_cross_sections() -> None:
    losses = np.random.default_rng(0).gamma(9, 1 / 9, (1, 40))
    found = interval(blocks_of(losses, folds=4, series=10), 1.5, finish=same, test_blocks=20, seed=0)
    spread = np.log(losses.reshape(4, 10).mean(axis=1)).std(ddof=1)
    factor = np.exp(stats.t.ppf(0.9, 3) * spread * (1 / 2 + 1 / 4) ** 0.5)
    assert (found.low, found.high) == (pytest.approx(1.5 / factor), pytest.approx(1.5 * factor))
    assert (
        found.reason
        == "an approximate interval for 80% of tests of 2 points in time, by the spread over 4 points in time"
    )


def test_a_panel_judged_at_two_times_has_no_interval() -> None:
    found = interval(blocks_of(np.ones((1, 20)), folds=2, series=10), 1.0, finish=same, test_blocks=10, seed=0)
    assert (found.low, found.reason) == (None, "no interval: 2 points in time were judged and 3 are needed")


def test_a_longer_test_and_a_lower_level_have_narrower_intervals() -> None:
    oof = blocks_of(np.random.default_rng(0).gamma(9, 1 / 9, (1, 32)), folds=4)
    widths = []
    for size, level in ((1, 0.9), (1, 0.8), (8, 0.8)):
        found = interval(oof, 1.0, finish=same, test_blocks=size, seed=0, level=level)
        assert found.low is not None
        assert found.high is not None
        widths.append(found.high - found.low)
    assert widths[0] > widths[1] > 2 * widths[2]
