from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from lstm_tune.selection.ensemble import Mixture, claim_together, mixed, proven_mixture
from lstm_tune.selection.estimates import Estimate
from lstm_tune.selection.out_of_fold import Floats, OutOfFold
from lstm_tune.selection.rules import Rule, smallest

Errors = dict[int, Floats]


def best_mean(losses: OutOfFold) -> Rule:
    return smallest


def proven(errors: Errors, *, folds: int = 4, series: int = 1, seed: int = 0) -> Mixture | None:
    """The mixture of trials whose out-of-fold errors [blocks, h] are given; they are judged by the absolute error."""
    blocks = len(next(iter(errors.values())))
    fold = np.arange(blocks) * folds // blocks
    nothing = np.zeros((0, blocks))
    where = OutOfFold(np.zeros(0, np.int64), nothing, nothing, fold, np.arange(blocks) % series, np.arange(blocks))
    forecasts = {
        trial: [torch.from_numpy(error[fold == k].astype(np.float32)) for k in range(folds)]
        for trial, error in errors.items()
    }

    def judge(parts: Sequence[Tensor]) -> tuple[Floats, Floats]:
        sums = torch.cat(list(parts)).abs().sum(dim=1).double().numpy()
        return sums, np.full(len(sums), float(parts[0].shape[1]))

    return proven_mixture(forecasts, where, judge, finish=np.abs, rule=best_mean, seed=seed)


def independent(blocks: int, *, members: int = 5, h: int = 6, seed: int = 0) -> Errors:
    random = np.random.default_rng(seed)
    return {3 * trial: random.normal(size=(blocks, h)) for trial in range(members)}


@pytest.mark.parametrize(("blocks", "series"), [(24, 1), (100, 1), (100, 20)])
def test_members_of_equal_skill_with_independent_errors_stay_together(blocks: int, series: int) -> None:
    found = [proven(independent(blocks, seed=seed), series=series, seed=seed) for seed in range(10)]
    assert sum(one is not None for one in found) >= 9
    kept = [one for one in found if one is not None]
    assert all(sum(one.weights.values()) == pytest.approx(1) for one in kept)
    assert all(len(one.weights) >= 3 and max(one.weights.values()) < 0.6 for one in kept)
    # the mean absolute value of a normal, alone and of five averaged
    assert np.mean([one.score for one in kept]) == pytest.approx(np.sqrt(2 / np.pi / 5), rel=0.1)
    assert np.mean([one.gain for one in kept]) == pytest.approx(np.sqrt(2 / np.pi) * (1 - 5**-0.5), rel=0.15)


@pytest.mark.parametrize("blocks", [24, 100])
def test_a_member_that_is_clearly_best_is_not_diluted(blocks: int) -> None:
    kept = 0
    for seed in range(10):
        errors = independent(blocks, seed=seed)
        kept += proven({**errors, 3: 0.3 * errors[3]}, seed=seed) is not None
    assert kept <= 1


def test_members_that_say_the_same_are_no_ensemble() -> None:
    error = independent(40)[0]
    assert proven({1: error, 2: error, 3: error}) is None


def test_one_member_is_no_ensemble() -> None:
    assert proven(independent(40, members=1)) is None


def test_three_folds_of_few_blocks_prove_nothing() -> None:
    assert proven(independent(6), folds=3) is None


def test_weights_stand_in_the_order_of_their_size() -> None:
    random = np.random.default_rng(0)
    errors = {4: 1.6 * random.normal(size=(200, 6)), 9: random.normal(size=(200, 6))}
    found = proven(errors)
    assert found is not None
    assert list(found.weights) == [9, 4]
    assert found.weights[9] == pytest.approx(1.6**2 / (1 + 1.6**2), abs=0.06)  # inverse variances


def test_same_seed_gives_the_same_weights() -> None:
    assert proven(independent(40), seed=7) == proven(independent(40), seed=7)


def test_ten_members_are_combined_over_thousands_of_blocks() -> None:
    assert proven(independent(5_500, members=10, h=18), series=1_500) is not None


def test_mixed_forecasts_are_weighted_fold_by_fold() -> None:
    forecasts = {1: [torch.tensor([[1.0]]), torch.tensor([[3.0]])], 2: [torch.tensor([[5.0]]), torch.tensor([[7.0]])]}
    first, second = mixed(forecasts, {2: 0.75, 1: 0.25})
    assert (first.item(), second.item()) == (4.0, 6.0)


def test_claim_is_less_the_lead_that_was_found_out_of_bag() -> None:
    claim = Estimate(0.5, 0.75, 0.5, 1.0, 16, "by bootstrap")
    together = claim_together(claim, Mixture({1: 0.5, 2: 0.5}, 0.4, 0.25, 0.0))
    assert (together.naive, together.corrected, together.low, together.high) == (0.4, 0.5, 0.25, 0.75)
    assert together.reason == "by bootstrap; the ensemble's lead over that choice, 0.25, was found out of bag too"
    unknown = claim_together(Estimate(0.5, 0.75, None, None, 2, "few"), Mixture({1: 0.5, 2: 0.5}, 0.4, 0.25, 0.0))
    assert (unknown.low, unknown.high) == (None, None)
