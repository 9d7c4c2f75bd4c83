import numpy as np
import pytest
from numpy.testing import assert_allclose

from lstm_tune.selection.estimates import score_interval
from lstm_tune.selection.out_of_fold import Floats, OutOfFold


def scored(losses: Floats, series: list[int]) -> OutOfFold:
    """One model's losses, each of one block of a test part."""
    blocks = len(series)
    names = np.array(series)
    zeros = np.zeros(blocks, dtype=np.int64)
    return OutOfFold(np.zeros(1, np.int64), losses[None], np.ones((1, blocks)), zeros, names, np.arange(blocks))


@pytest.mark.parametrize("count", [10, 40])
def test_interval_holds_the_true_score_about_as_often_as_stated(count: int) -> None:
    random, held = np.random.default_rng(0), []
    for seed in range(400):
        losses = np.abs(random.normal(size=count))
        found = score_interval(scored(losses, list(range(count))), finish=np.abs, seed=seed, repeats=200)
        assert found.low is not None
        assert found.high is not None
        held.append(found.low <= np.sqrt(2 / np.pi) <= found.high)
    assert np.mean(held) == pytest.approx(0.8, abs=0.05)


def test_series_are_drawn_whole() -> None:
    random = np.random.default_rng(1)
    once = np.abs(random.normal(size=30))
    alone, repeated = (
        score_interval(scored(np.repeat(once, n), np.repeat(np.arange(30), n).tolist()), finish=np.abs, seed=0)
        for n in (1, 5)
    )
    assert_allclose([repeated.low, repeated.high], [alone.low, alone.high])


def test_metric_is_finished_after_the_mean() -> None:
    losses = np.random.default_rng(2).chisquare(1, size=50)
    plain, root = (score_interval(scored(losses, [0] * 50), finish=f, seed=0) for f in (np.abs, np.sqrt))
    assert plain.low is not None
    assert root.low == pytest.approx(np.sqrt(plain.low), rel=1e-3)
    assert root.reason == f"80 % interval {root.low:.4g} to {root.high:.4g}"


def test_one_forecast_has_no_interval() -> None:
    found = score_interval(scored(np.ones(1), [0]), finish=np.abs, seed=0)
    assert (found.low, found.high, found.reason) == (None, None, "one forecast: no interval")


def test_few_forecasts_have_no_interval() -> None:
    found = score_interval(scored(np.arange(7.0), [0] * 7), finish=np.abs, seed=0)
    assert (found.low, found.reason) == (None, "no interval: 7 points in time are too few")
