import numpy as np
import pytest
from scipy import stats

from lstm_tune.selection.comparison import Comparison, diebold_mariano, paired_bootstrap
from lstm_tune.selection.out_of_fold import Floats, Integers

NAN = float("nan")


def clustered(random: np.random.Generator, *, clusters: int, shift: float = 0.0) -> tuple[Floats, Floats, Integers]:
    """Losses of two forecasts in clusters of 1 to 4, the differences within a cluster alike."""
    cluster = np.repeat(np.arange(clusters), random.integers(1, 5, clusters))
    common = random.normal(size=clusters)[cluster]
    loss = random.gamma(2, 1, len(cluster))
    return loss + shift + common + 0.1 * random.normal(size=len(cluster)), loss, cluster


def test_one_step_ahead_is_a_paired_t_test() -> None:
    random = np.random.default_rng(0)
    first, second = random.gamma(2, 1, 12), random.gamma(2, 1, 12)
    expected = stats.ttest_rel(first, second)
    found = diebold_mariano(first, second, horizon=1)
    assert (found.statistic, found.p_value, found.n) == (
        pytest.approx(expected.statistic),
        pytest.approx(expected.pvalue),
        12,
    )


def test_two_steps_ahead_add_one_covariance_and_shrink_the_statistic() -> None:
    difference = np.array([1.0, 2.0, 2.0, 1.0, 0.0, 0.0])  # mean 1; centred 0 1 1 0 -1 -1
    found = diebold_mariano(difference, np.zeros(6), horizon=2)
    long_run = 4 / 6 + 2 * (0 + 1 + 0 + 0 + 1) / 6
    correction = (6 + 1 - 4 + 2 * 1 / 6) / 6
    assert found.statistic == pytest.approx((correction / (long_run / 6)) ** 0.5)


def test_a_variance_that_is_not_positive_gives_way_to_bartlett_weights() -> None:
    difference = np.array([2.0, 0.0, 2.0, 0.0, 2.0, 0.0])  # centred 1 -1 ..: 1 + 2 * (-5/6) < 0
    found = diebold_mariano(difference, np.zeros(6), horizon=2)
    correction = (6 + 1 - 4 + 2 * 1 / 6) / 6
    assert found.statistic == pytest.approx((correction / ((1 - 5 / 6) / 6)) ** 0.5)


def test_equal_losses_have_a_p_value_of_one() -> None:
    losses = np.arange(8.0)
    assert diebold_mariano(losses, losses, horizon=3) == Comparison(0.0, 0.0, 1.0, 8)
    assert paired_bootstrap(losses, losses, np.arange(8), seed=0) == Comparison(0.0, 0.0, 1.0, 8)


def test_a_constant_difference_cannot_be_tested() -> None:
    losses = np.linspace(0, 1, 9)
    for found in (
        diebold_mariano(losses + 0.1, losses, horizon=1),
        paired_bootstrap(losses + 0.1, losses, np.arange(9), seed=0),
    ):
        assert (found.difference, found.p_value) == (pytest.approx(0.1), None)
        assert found.words == "no difference that could be told"


@pytest.mark.parametrize(("n", "is_tested"), [(5, False), (6, True)])
def test_a_horizon_needs_two_losses_more_than_steps(n: int, is_tested: bool) -> None:
    first = np.random.default_rng(0).gamma(2, 1, n)
    assert (diebold_mariano(first, np.ones(n), horizon=4).p_value is not None) == is_tested


def test_losses_that_are_missing_are_left_out_in_pairs() -> None:
    first, second = np.array([1.0, 5.0, NAN, 2.0, 4.0]), np.array([0.0, 3.0, 1.0, NAN, 1.0])
    assert diebold_mariano(first, second, horizon=1) == diebold_mariano(first[[0, 1, 4]], second[[0, 1, 4]], horizon=1)
    assert diebold_mariano(first[2:3], second[2:3], horizon=1).n == 0
    assert paired_bootstrap(first[2:3], second[2:3], np.array([0]), seed=0).n == 0


def test_words_follow_the_sign_and_the_p_value() -> None:
    assert Comparison(-1.0, -3.0, 0.01, 9).words == "better"
    assert Comparison(1.0, 3.0, 0.01, 9).words == "worse"
    assert Comparison(1.0, 1.0, 0.3, 9).words == "no difference that could be told"


def test_bootstrap_of_single_losses_is_near_the_t_test() -> None:
    random = np.random.default_rng(1)
    first, second = random.normal(0.3, 1, 80), random.normal(0, 1, 80)
    expected = stats.ttest_rel(first, second)
    found = paired_bootstrap(first, second, np.arange(80), seed=0)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.02)


def test_bootstrap_depends_on_its_seed_alone() -> None:
    losses = clustered(np.random.default_rng(2), clusters=20, shift=0.3)
    assert paired_bootstrap(*losses, seed=1) == paired_bootstrap(*losses, seed=1)
    assert paired_bootstrap(*losses, seed=1).p_value != paired_bootstrap(*losses, seed=2).p_value


def test_bootstrap_needs_six_clusters() -> None:
    random = np.random.default_rng(3)
    assert paired_bootstrap(*clustered(random, clusters=5), seed=0).p_value is None
    assert paired_bootstrap(*clustered(random, clusters=6), seed=0).p_value is not None


@pytest.mark.parametrize("clusters", [8, 40])
def test_bootstrap_rejects_equal_forecasts_about_as_often_as_it_says(clusters: int) -> None:
    random = np.random.default_rng(4)
    found = [paired_bootstrap(*clustered(random, clusters=clusters), seed=i, repeats=500) for i in range(400)]
    assert 0.02 <= np.mean([one.is_real for one in found]) <= 0.09


def test_bootstrap_sees_a_forecast_that_is_worse_in_every_cluster() -> None:
    losses = clustered(np.random.default_rng(5), clusters=40, shift=2.0)
    assert paired_bootstrap(*losses, seed=0).words == "worse"
