import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstm_tune.selection.conformal import calibrated_reach, coverage
from lstm_tune.selection.out_of_fold import Floats

NAN = float("nan")


def errors(*shape: int, seed: int = 0) -> Floats:
    return np.random.default_rng(seed).normal(size=shape)


def reach_of(residuals: Floats, level: float = 0.8) -> Floats:
    reach = calibrated_reach([residuals], level)
    assert reach is not None
    return reach


@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("growth", [0.0, 1.0])
def test_exchangeable_residuals_give_the_nominal_coverage(level: float, growth: float) -> None:
    size = np.arange(1, 7)[:, None] ** growth
    reach = reach_of(size * errors(800, 6, 1), level)
    inside = np.abs(size * errors(20_000, 6, 1, seed=1)) <= reach
    assert inside.mean() == pytest.approx(level, abs=0.015)
    assert_allclose(inside.mean(axis=0), level, atol=0.03)  # in every step


@pytest.mark.parametrize("blocks", [2, 4, 8])
def test_few_blocks_of_dependent_steps_cover_about_as_much(blocks: int) -> None:
    held = []
    for seed in range(300):
        shocks = errors(blocks + 20, 12, 1, seed=seed).cumsum(axis=1)
        held.append(np.abs(shocks[blocks:]) <= reach_of(shocks[:blocks]))
    assert np.mean(held) == pytest.approx(0.8, abs=0.04)


def test_many_residuals_of_one_step_have_the_conformal_rank() -> None:
    # of 999 residuals the rank is ceil(1000 * 0.8); with 999 degrees of freedom t is the normal within 0.1 %
    assert_allclose(reach_of(np.arange(1.0, 1000)[:, None, None]), [[800]], rtol=2e-3)


def test_single_residual_is_widened_to_the_t_interval() -> None:
    # the quantiles of Student's t with one degree of freedom and of the normal at 0.9
    assert_allclose(reach_of(np.array([[[-2.0]]])), [[2 * 3.0777 / 1.2816]], rtol=1e-4)


def test_single_block_gives_every_step_an_interval() -> None:
    reach = reach_of(np.array([1.0, -2.0, 3.0])[None, :, None])
    assert np.isfinite(reach).all()
    assert reach[0] < reach[1] < reach[2]


def test_intervals_widen_with_the_step_and_never_narrow() -> None:
    reach = reach_of(errors(30, 8, 1).cumsum(axis=1))[:, 0]
    assert (np.diff(reach) >= 0).all()
    assert reach[-1] > 1.5 * reach[0]


def test_targets_are_calibrated_apart() -> None:
    both = errors(50, 3, 2) * [1.0, 100.0]
    assert_allclose(reach_of(both), np.concatenate([reach_of(both[..., :1]), reach_of(both[..., 1:])], axis=1))


def test_missing_truths_are_left_out() -> None:
    residuals = errors(40, 3, 1)
    residuals[10:, 2] = NAN
    padded = np.concatenate([residuals, np.full((5, 3, 1), NAN)])
    assert_allclose(reach_of(padded), reach_of(residuals))


def test_steps_that_are_never_judged_are_as_their_neighbours() -> None:
    residuals = errors(40, 4, 1)
    residuals[:, 3] = NAN
    reach = reach_of(residuals)
    assert reach[3] == reach[2]


def test_target_without_residuals_has_no_interval() -> None:
    residuals = errors(9, 2, 2)
    residuals[..., 1] = NAN
    assert np.isnan(reach_of(residuals)[:, 1]).all()
    assert calibrated_reach([np.full((3, 2, 1), NAN)], 0.8) is None
    assert calibrated_reach([], 0.8) is None


def test_perfect_forecasts_have_no_width() -> None:
    assert_allclose(reach_of(np.zeros((5, 2, 1))), 0.0, atol=1e-300)


def test_coverage_is_that_of_intervals_from_the_other_folds() -> None:
    assert coverage([errors(300, 4, 1, seed=k) for k in range(3)], 0.8) == pytest.approx(0.8, abs=0.03)
    assert coverage([errors(300, 4, 1), 100 + errors(300, 4, 1)], 0.8) == 0.5
    assert coverage([errors(300, 4, 1)], 0.8) is None
