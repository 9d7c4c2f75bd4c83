from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lstm_tune.models.problem import Part, Tally
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.training import fold
from lstm_tune.training.fold import FoldTrainer, Portions

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Line:
    """A problem of one weight: the slope of a line through ten points, with noise on the network's input."""

    slope: float = 3.0
    log: Callable[[Tensor], Any] = lambda chosen: None

    @property
    def examples(self) -> int:
        return 10

    def network(self, hyperparameters: Hyperparameters) -> nn.Module:
        return nn.Sequential(nn.Dropout(0.2), nn.Linear(1, 1, bias=False))

    def loss(self, network: nn.Module, chosen: Tensor) -> Tensor:
        self.log(chosen)
        x = chosen.reshape(-1, 1) / 10
        return (network(x) - self.slope * x).square().mean()  # type: ignore[no-any-return]

    def tally(self, network: nn.Module, part: Part) -> Tally:
        return Tally(network(torch.ones(1, 1)).double().flatten(), torch.ones(1, dtype=torch.float64))


def trainer(problem: Line | None = None, *, seed: int = 0, batch_size: int = 4, **chosen: Any) -> FoldTrainer:
    values = completed({"learning_rate": 0.1, **chosen}, task="forecast")
    return FoldTrainer(problem or Line(), values, Portions(batch_size), seed=seed, device=CPU)


def slope(one: FoldTrainer) -> float:
    return float(one.tally("validation").sums[0])


@pytest.mark.parametrize(
    ("portions", "examples", "expected"),
    [
        (Portions(32), 32, 1),
        (Portions(32), 33, 2),
        (Portions(32), 1, 1),
        (Portions(32), 10_000, 50),
        (Portions(32, 7), 5, 7),
    ],
)
def test_epoch_is_a_pass_over_the_examples_of_at_most_fifty_steps(
    portions: Portions, examples: int, expected: int
) -> None:
    assert portions.steps(examples) == expected


@pytest.mark.parametrize(
    ("portions", "examples", "series", "expected"),
    [
        (Portions(32), 100, 9, 20),
        (Portions(32), 84_538, 9, 53),
        (Portions(32), 10**6, 9, 60),
        (Portions(32, 7), 5_600, 9, 25),
        (Portions(32), 1_600, 1, 10),
        (Portions(32), 1_601, 1, 40),
        (Portions(32), 84_538, 1, 53),
    ],
)
def test_automatic_patience_is_a_pass_over_the_examples_within_bounds(
    portions: Portions, examples: int, series: int, expected: int
) -> None:
    assert portions.auto_patience(examples, series=series).least == expected


def test_automatic_patience_of_a_short_series_grows_with_the_best_epoch() -> None:
    short, long = (Portions(32).auto_patience(examples, series=1) for examples in (1_600, 1_601))
    panel = Portions(32).auto_patience(100, series=2)
    assert [short.epochs(best) for best in (1, 6, 8, 40)] == [10, 10, 12, 60]
    assert (long.epochs(100), panel.epochs(100)) == (40, 20)


def test_same_seed_gives_the_same_numbers_whatever_runs_in_between() -> None:
    alone, interrupted, other = trainer(), trainer(), trainer(seed=5)
    alone.train(6)
    for _ in range(3):
        interrupted.train(2)
        other.train(2)
        torch.rand(3)
    assert slope(alone) == slope(interrupted)
    assert slope(alone) != slope(other)


def test_training_leaves_the_random_state_of_the_process_alone() -> None:
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trainer().train(5)
    assert torch.equal(torch.rand(3), expected)


def test_state_goes_on_bit_by_bit() -> None:
    whole, first, second = trainer(), trainer(), trainer(seed=9)
    whole.train(7)
    first.train(3)
    second.load_state(first.state())
    second.train(4)
    assert second.steps == whole.steps == 7
    assert all(torch.equal(value, whole.state()[name]) for name, value in second.state().items())


def test_state_is_a_copy() -> None:
    one = trainer()
    before = one.state()
    kept = {name: value.clone() for name, value in before.items()}
    one.train(3)
    assert all(torch.equal(value, kept[name]) for name, value in before.items())


def test_loaded_state_keeps_the_learning_rate_of_its_new_owner() -> None:
    slow, fast = trainer(learning_rate=1e-7, ema=0.0), trainer(learning_rate=0.1, ema=0.0)
    slow.train(3)
    before = slope(slow)
    fast.load_state(slow.state())
    slow.train(5)
    fast.train(5)
    assert slope(slow) == pytest.approx(before, abs=1e-5)
    assert abs(slope(fast) - before) > 0.1


def test_state_before_the_first_step_can_be_loaded() -> None:
    one, other = trainer(), trainer(seed=4)
    other.load_state(one.state())
    one.train(2)
    other.train(2)
    assert slope(one) == slope(other)


@pytest.mark.parametrize("ema", [0.0, 0.5, 0.99])
def test_average_of_weights_by_hand(ema: float) -> None:
    one = trainer(ema=ema)
    average = float(one.state()["averaged.1.weight"])
    for step in range(1, 13):
        one.train(1)
        decay = min(ema, step / (step + 9))
        average = decay * average + (1 - decay) * float(one.state()["network.1.weight"])
    assert slope(one) == pytest.approx(average, rel=1e-5)
    assert one.weights()["1.weight"].item() == slope(one)


def test_average_does_not_depend_on_how_steps_are_cut_into_calls() -> None:
    whole, cut = trainer(ema=0.99), trainer(ema=0.99)
    whole.train(12)
    for _ in range(12):
        cut.train(1)
    assert slope(whole) == slope(cut)


def test_average_takes_no_part_in_the_gradient() -> None:
    one = trainer()
    one.train(3)
    assert all(parameter.grad_fn is None for parameter in one.averaged.parameters())


def test_each_pass_shows_every_example_once() -> None:
    seen: list[int] = []
    trainer(Line(log=lambda chosen: seen.extend(chosen.tolist()))).train(5)
    assert sorted(seen[:10]) == sorted(seen[10:]) == list(range(10))
    assert seen[:10] != seen[10:]


def test_very_many_examples_are_drawn_without_a_list_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold, "SHUFFLED_EXAMPLES", 9)
    seen: list[int] = []
    one = trainer(Line(log=lambda chosen: seen.extend(chosen.tolist())))
    one.train(50)
    assert set(seen) == set(range(10))
    assert one.state()["order"].numel() == 0


def test_batch_larger_than_the_data_is_the_data() -> None:
    seen: list[int] = []
    one = trainer(Line(log=lambda chosen: seen.extend(chosen.tolist())), batch_size=64)
    one.train(1)
    assert sorted(seen) == list(range(10))
    assert one.steps_per_epoch == 1


@pytest.mark.parametrize(("wanted", "chosen"), [(float("nan"), {}), (1e30, {"gradient_clip": 0.0})])
def test_loss_that_is_not_finite_is_a_divergence(wanted: float, chosen: dict[str, Any]) -> None:
    with pytest.raises(DivergedError, match=r"training loss became (nan|inf) within step 3"):
        trainer(Line(slope=wanted), **chosen).train(3)


def test_gradient_clip_bounds_the_gradient() -> None:
    free, bound = (trainer(Line(slope=1e4), ema=0.0, weight_decay=0.0, gradient_clip=most) for most in (0.0, 1e-9))
    before = slope(free)
    for one in (free, bound):
        one.train(1)
    assert slope(free) == pytest.approx(before + 0.1, rel=1e-4)  # Adam's first step is the learning rate
    assert slope(bound) == pytest.approx(before + 0.1 / (1 + 10), rel=1e-2)  # of g / (g + 1e-8), where g is 1e-9


def test_dropout_is_off_while_scores_are_taken() -> None:
    one = trainer()
    assert slope(one) == slope(one)


def test_slope_is_learned() -> None:
    one = trainer(weight_decay=0.0, ema=0.9)
    one.train(300)
    assert slope(one) == pytest.approx(
        3 / (1 + 0.25), abs=0.5
    )  # dropout of one feature shrinks it: E[m] / E[m^2] = 0.8
