import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lstm_tune.data.folds import split_panel
from lstm_tune.data.panel import Panel
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.models.problem import Part, Tally
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.group import FoldGroup, fold_seed
from lstm_tune.training.lockstep import EpochResult, Lockstep

PanelMaker = Callable[..., Panel]
CPU = torch.device("cpu")


@dataclass
class Scripted:
    """A fold whose validation scores are written down beforehand; its one weight counts nothing."""

    scores: list[float]
    epoch: int = 0

    @property
    def examples(self) -> int:
        return 1

    def network(self, hyperparameters: Hyperparameters) -> nn.Module:
        return nn.Linear(1, 1)

    def loss(self, network: nn.Module, chosen: Tensor) -> Tensor:
        return network(torch.ones(1, 1)).square().mean()  # type: ignore[no-any-return]

    def tally(self, network: nn.Module, part: Part) -> Tally:
        if part == "training":
            return Tally(torch.tensor([1.0]), torch.tensor([1.0]))
        self.epoch += 1
        return Tally(torch.tensor([self.scores[self.epoch - 1]]), torch.tensor([1.0]))


@dataclass
class ScriptedTask:
    """Folds with scripted scores."""

    folds: list[list[float]]
    made: list[Scripted] = field(default_factory=list)

    def problems(self, hyperparameters: Hyperparameters) -> Sequence[Scripted]:
        self.made = [Scripted(scores) for scores in self.folds]
        return self.made

    def final_problem(self, hyperparameters: Hyperparameters) -> Scripted:
        return Scripted([])

    def score(self, tally: Tally) -> float:
        return float(tally.sums.sum() / tally.counts.sum())

    def parameters(self, hyperparameters: Hyperparameters) -> int:
        return 2


THREE_EPOCHS = Patience(3)


def lockstep(
    task: Any, *, epochs: int = 6, patience: Patience = THREE_EPOCHS, seed: int = 0, **chosen: Any
) -> Lockstep:
    values = completed({"units": 8, "window": 12, **chosen}, task="forecast")
    portions = Portions(batch_size=16)
    return Lockstep(task, values, portions, max_epochs=epochs, patience=patience, seed=seed, device=CPU)


def sine_task(panel_of: PanelMaker, *, folds: int = 2) -> ForecastTask:
    waves = [10 + 3 * np.sin(2 * np.pi * (np.arange(96) + shift) / 16) for shift in (0, 5)]
    sequences = prepare(panel_of(*waves), missing="error")
    split = split_panel(sequences.lengths, horizon=4, folds=folds, block=8, gap=0, test=8)
    return ForecastTask(sequences, split, Design(horizon=4, season=1, targets=1), "mase")


def test_result_is_the_fold_mean_with_its_standard_error() -> None:
    result = EpochResult(1, (1.0, 2.0, 6.0), (1.0, 1.0, 2.5))
    assert result.score == 3
    assert result.standard_error == pytest.approx(stdev([1, 2, 6]) / math.sqrt(3))
    assert result.gap == pytest.approx(3 / 1.5 - 1)


def test_single_fold_has_no_standard_error() -> None:
    assert EpochResult(1, (2.0,), (1.0,)).standard_error is None


def test_perfect_training_has_no_gap() -> None:
    assert math.isnan(EpochResult(1, (2.0,), (0.0,)).gap)


def test_best_epoch_is_that_of_the_smallest_fold_mean() -> None:
    trial = lockstep(ScriptedTask([[5, 1, 3, 9], [5, 9, 3, 9]]), epochs=4)
    assert [result.score for result in trial.epochs()] == [5, 5, 3, 9]
    assert trial.best is not None
    assert (trial.best.epoch, trial.best.fold_scores) == (3, (3, 3))


def test_patience_ends_a_trial_after_epochs_without_a_better_mean() -> None:
    trial = lockstep(ScriptedTask([[5, 4, 4, 4.5, 6, 1, 1]]), epochs=7)
    assert [result.epoch for result in trial.epochs()] == [1, 2, 3, 4, 5]
    assert trial.is_done


@pytest.mark.parametrize(
    ("scores", "epochs"),
    [
        ([4, 5, 5, 5, 5, 5, 5, 5, 5], 3),  # the best is the first: two epochs, the least
        ([5, 4, 5, 5, 5, 5, 5, 5, 5], 6),  # the second: twice two
        ([5, 4, 5, 5, 5, 3, 5, 5, 5], 9),  # the sixth: twice six, but these are all epochs
    ],
)
def test_growing_patience_waits_longer_for_what_took_longer(scores: list[float], epochs: int) -> None:
    trial = lockstep(ScriptedTask([scores]), epochs=9, patience=Patience(2, growth=2.0))
    assert len(list(trial.epochs())) == epochs
    assert trial.is_done


def test_growing_patience_counts_a_population_member_s_own_epochs() -> None:
    donor = lockstep(ScriptedTask([[9, 8, 7]]), epochs=3)
    heir = lockstep(ScriptedTask([[5] * 20]), epochs=20, patience=Patience(2, growth=2.0))
    for _ in donor.epochs():
        pass
    heir.load_state(donor.state(), is_own=False)
    assert [result.epoch for result in heir.epochs()] == [4, 5, 6]


def test_trial_ends_after_its_last_epoch() -> None:
    assert len(list(lockstep(ScriptedTask([[5, 4, 3, 2]]), epochs=4).epochs())) == 4


def test_weights_of_the_best_epoch_are_kept() -> None:
    trial = lockstep(ScriptedTask([[5, 2, 3, 4], [5, 2, 3, 4]]), epochs=4)
    seen = []
    for _ in trial.epochs():
        seen.append([fold.weights() for fold in trial.here.folds.values()])
    for k in range(2):
        assert all(torch.equal(value, seen[1][k][name]) for name, value in trial.here.best_weights[k].items())
    assert not torch.equal(seen[1][0]["weight"], seen[3][0]["weight"])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_score_that_is_not_finite_ends_the_trial(bad: float) -> None:
    trial = lockstep(ScriptedTask([[5, 2], [5, bad]]))
    with pytest.raises(DivergedError, match=r"validation score became (nan|inf) in epoch 2"):
        list(trial.epochs())
    assert trial.best is not None
    assert trial.best.epoch == 1


def test_folds_have_seeds_of_their_own_that_do_not_depend_on_the_trial() -> None:
    assert len({fold_seed(seed, fold) for seed in range(20) for fold in range(50)}) == 20 * 50


def test_same_seed_repeats_a_trial_and_another_does_not(panel_of: PanelMaker) -> None:
    task = sine_task(panel_of)
    runs = [list(lockstep(task, seed=seed, dropout=0.3).epochs()) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0][0] != runs[2][0]


def test_trials_side_by_side_do_not_disturb_each_other(panel_of: PanelMaker) -> None:
    task = sine_task(panel_of)
    alone = list(lockstep(task, dropout=0.3).epochs())
    first, second = lockstep(task, dropout=0.3), lockstep(task, dropout=0.5, seed=3)
    together = [one for one, _ in zip(first.epochs(), second.epochs(), strict=True)]
    assert together == alone


@pytest.mark.parametrize("ema", [0.0, 0.98])
def test_trial_goes_on_from_its_state_bit_by_bit(panel_of: PanelMaker, ema: float) -> None:
    task = sine_task(panel_of)
    whole, first, second = (lockstep(task, epochs=5, dropout=0.3, ema=ema) for _ in range(3))
    expected = list(whole.epochs())
    results = [result for _, result in zip(range(2), first.epochs(), strict=False)]
    second.load_state(first.state())
    results += list(second.epochs())
    assert results == expected
    assert second.best == whole.best
    state, goal = second.state(), whole.state()
    assert set(state) == set(goal)
    assert all(torch.equal(state[name], goal[name]) for name in goal)


def test_state_of_a_new_trial_has_no_best_epoch(panel_of: PanelMaker) -> None:
    task = sine_task(panel_of)
    fresh, used = lockstep(task), lockstep(task)
    next(used.epochs())
    used.load_state(fresh.state())
    assert (used.epoch, used.best, used.here.best_weights) == (0, None, {})


def test_state_of_another_configuration_brings_neither_its_best_score_nor_its_lost_patience() -> None:
    donor = lockstep(ScriptedTask([[1, 9, 9]]), epochs=8)
    heir = lockstep(ScriptedTask([[5, 6, 7, 8]]), epochs=8)
    for _ in zip(range(3), donor.epochs(), strict=False):
        pass
    heir.load_state(donor.state(), is_own=False)
    assert (heir.epoch, heir.best, heir.here.best_weights) == (3, None, {})
    assert [(result.epoch, result.score) for result in heir.epochs()] == [(4, 5), (5, 6), (6, 7), (7, 8)]
    assert heir.best is not None
    assert heir.best.score == 5


def elsewhere(task: Any, *shares: list[int], **chosen: Any) -> list[FoldGroup]:
    """Groups as another process would train them."""
    values = completed({"units": 8, "window": 12, **chosen}, task="forecast")
    return [FoldGroup(task, values, Portions(batch_size=16), numbers=share, seed=0, device=CPU) for share in shares]


def test_folds_trained_elsewhere_change_no_number(panel_of: PanelMaker) -> None:
    task = sine_task(panel_of, folds=3)
    alone, shared = (lockstep(task, epochs=5, dropout=0.3) for _ in range(2))
    expected = list(alone.epochs())
    results = [result for _, result in zip(range(2), shared.epochs(), strict=False)]
    shared.hand_over(elsewhere(task, [2], dropout=0.3))
    results.append(next(shared.epochs()))
    shared.hand_over(elsewhere(task, [1], [2], dropout=0.3))
    results += list(shared.epochs())
    assert results == expected
    assert (shared.here.numbers, shared.fold_count) == ([0], 3)
    assert (shared.best, [len(tally.sums) for tally in shared.best_tallies]) == (alone.best, [4, 4, 4])
    state, goal = shared.state(), alone.state()
    assert set(state) == set(goal)
    assert all(torch.equal(state[name], goal[name]) for name in goal)


def test_shared_trial_goes_back_to_a_state(panel_of: PanelMaker) -> None:
    task = sine_task(panel_of)
    whole, shared = (lockstep(task, epochs=3) for _ in range(2))
    next(whole.epochs())
    shared.hand_over(elsewhere(task, [1]))
    shared.load_state(whole.state())
    assert list(shared.epochs()) == list(whole.epochs())


def test_huge_learning_rate_is_a_divergence_and_not_a_crash(panel_of: PanelMaker) -> None:
    trial = lockstep(
        sine_task(panel_of), epochs=50, learning_rate=1e38, gradient_clip=0.0, loss="mse", normalization="none", ema=0.0
    )
    with pytest.raises(DivergedError):
        list(trial.epochs())


@pytest.mark.parametrize("loss", ["mae", "huber", "mse"])
def test_sine_is_learned(panel_of: PanelMaker, loss: str) -> None:
    trial = lockstep(
        sine_task(panel_of),
        epochs=60,
        patience=Patience(60),
        learning_rate=0.01,
        dropout=0.0,
        highway=False,
        seasonal_residual=False,
        loss=loss,
    )
    scores = [result.score for result in trial.epochs()]
    assert scores[0] > 0.5  # in units of a step's change
    assert min(scores) < 0.1
