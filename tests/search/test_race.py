"""Which of the first trials goes on after the first rung."""

import math

import pytest

from lstm_tune.search.placement import Slot
from lstm_tune.search.race import Race
from lstm_tune.search.schedulers import build_schedule
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.worker import Order, Report
from lstm_tune.spec.space import Range
from lstm_tune.training.lockstep import EpochResult

DEFAULT_UNITS = 32


def race(*, left_s: float = math.inf, scheduler: str = "asha", max_epochs: int = 27) -> Race:
    """The first rung is a 27th of the epochs."""
    schedule = build_schedule(scheduler, max_epochs=max_epochs, space={"units": Range(4, 64)}, seed=0)
    return Race(schedule, max_epochs=max_epochs, stop=StopRule(time_limit_s=left_s, stop_when_stale=None))


def order(trial: int, *, units: int = 4) -> Order:
    return Order(trial, {"units": units}, Slot(1, 0))


def report(score: float, *, epoch: int = 1, seconds: float = 1.0) -> Report:
    best = EpochResult(epoch, (score,), (score,))
    return Report({}, epoch, best, best, (), seconds, "here")


def in_turn(running: Race, *orders: Order) -> list[int]:
    return [one.trial for one in sorted(orders, key=running.turn)]


def test_all_come_to_the_first_rung_before_the_best_goes_on() -> None:
    running, orders = race(), [order(trial) for trial in range(4)]
    assert in_turn(running, *orders) == [0, 1, 2, 3]
    assert running.comes_to_rung(orders[0], report(3))
    assert in_turn(running, *orders) == [1, 2, 3, 0]
    assert running.comes_to_rung(orders[1], report(1))
    assert running.comes_to_rung(orders[2], report(2))
    assert in_turn(running, *orders) == [3, 1, 2, 0]


def test_trial_comes_to_each_rung_once_also_where_it_was_not_told_of_it() -> None:
    running = race()  # at 1, 3 and 9 epochs
    assert not running.comes_to_rung(order(0), Report({}, 0, None, None, (), 0.0, "here"))
    assert [epoch for epoch in range(2, 28) if running.comes_to_rung(order(0), report(3, epoch=epoch))] == [2, 3, 9]


def test_trials_are_compared_by_their_scores_at_the_first_rung() -> None:
    running, orders = race(), [order(0), order(1)]
    assert running.comes_to_rung(orders[0], report(2))
    assert running.comes_to_rung(orders[0], report(1, epoch=3))
    assert running.comes_to_rung(orders[1], report(1.5))
    assert in_turn(running, *orders) == [1, 0]


@pytest.mark.parametrize(("left_s", "first"), [(26.5, 0), (27.5, 1)])  # 26 epochs of a second, and a new one's first
def test_default_configuration_lets_others_come_to_the_rung_where_there_is_time(left_s: float, first: int) -> None:
    running, orders = race(left_s=left_s), [order(0, units=DEFAULT_UNITS), order(1)]
    assert running.comes_to_rung(orders[0], report(3))
    assert in_turn(running, *orders)[0] == first


def test_new_rival_is_taken_to_be_as_slow_to_the_rung_as_any_before() -> None:
    running, orders = race(left_s=30), [order(0, units=DEFAULT_UNITS), order(1), order(2)]
    assert running.comes_to_rung(orders[0], report(3))
    assert running.comes_to_rung(orders[1], report(4, seconds=5))
    running.leaves(orders[1])
    assert in_turn(running, orders[0], orders[2]) == [0, 2]


@pytest.mark.parametrize(("left_s", "first"), [(38, 0), (40, 1)])  # 26 epochs of a second, and of a half
def test_default_configuration_goes_first_where_time_may_not_suffice_for_another(left_s: float, first: int) -> None:
    running, orders = race(left_s=left_s), [order(0, units=DEFAULT_UNITS), order(1)]
    assert running.comes_to_rung(orders[0], report(3))
    assert running.comes_to_rung(orders[1], report(1, seconds=0.5))
    assert in_turn(running, *orders)[0] == first


@pytest.mark.parametrize(("left_s", "first"), [(205, 0), (207, 1)])  # 52 epochs of two seconds left
def test_start_of_a_trial_does_not_count_for_its_pace(left_s: float, first: int) -> None:
    running, orders = race(left_s=left_s, max_epochs=54), [order(0, units=DEFAULT_UNITS), order(1)]
    assert not running.comes_to_rung(orders[0], report(3, seconds=100))
    assert running.comes_to_rung(orders[0], report(3, epoch=2, seconds=102))
    assert in_turn(running, *orders)[0] == first


def test_pace_is_that_since_the_last_rung() -> None:
    running, orders = race(left_s=30), [order(0, units=DEFAULT_UNITS), order(1)]
    assert running.comes_to_rung(orders[0], report(3, seconds=10))
    assert in_turn(running, *orders) == [0, 1]  # 26 epochs of ten seconds left
    assert running.comes_to_rung(orders[0], report(3, epoch=3, seconds=11))
    assert in_turn(running, *orders) == [1, 0]  # 24 of half a second, and a new one's ten to the rung


def test_slower_rival_leaves_less_time_until_it_has_ended() -> None:
    running, orders = race(left_s=100), [order(0, units=DEFAULT_UNITS), order(1), order(2)]
    assert running.comes_to_rung(orders[0], report(3))
    assert in_turn(running, *orders) == [1, 2, 0]
    assert running.comes_to_rung(orders[1], report(1, seconds=3))
    assert in_turn(running, *orders) == [0, 2, 1]
    running.leaves(orders[1])
    assert in_turn(running, orders[0], orders[2]) == [2, 0]


def test_trial_that_begins_again_comes_to_the_rung_again() -> None:
    running, orders = race(), [order(0), order(1)]
    assert running.comes_to_rung(orders[0], report(1))
    assert running.comes_to_rung(orders[1], report(2))
    running.leaves(orders[1])
    assert in_turn(running, *orders) == [1, 0]
    assert running.comes_to_rung(orders[1], report(2))
    assert in_turn(running, *orders) == [0, 1]


@pytest.mark.parametrize(("left_s", "order_of_turns"), [(26.5, [0, 1, 2]), (27.5, [2, 0, 1])])
def test_trials_at_the_rung_do_not_wait_for_a_new_one_when_time_is_short(
    left_s: float, order_of_turns: list[int]
) -> None:
    running, orders = race(left_s=left_s), [order(trial) for trial in range(3)]
    assert running.comes_to_rung(orders[0], report(1))
    assert running.comes_to_rung(orders[1], report(2))
    assert in_turn(running, *orders) == order_of_turns


def test_schedule_without_rungs_lets_each_train_to_its_end() -> None:
    running = race(scheduler="none")
    assert not running.comes_to_rung(order(0), report(3, epoch=26))
