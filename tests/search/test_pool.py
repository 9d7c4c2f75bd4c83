"""The loop between workers and the search, with workers that train nothing."""

import math
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import ray
import torch

from lstm_tune.search import pool
from lstm_tune.search.checkpoints import Checkpoint
from lstm_tune.search.crew import Crew
from lstm_tune.search.placement import Slot
from lstm_tune.search.race import Race
from lstm_tune.search.schedulers import build_schedule
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.worker import Ending, Order, Report, TrialSettings
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.space import Range
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.lockstep import EpochResult

pytestmark = pytest.mark.usefixtures("shared_ray")
SETTINGS = TrialSettings("forecast", Portions(8), 4, Patience(4), 0, frozenset(), None, math.inf, math.inf)
SMALL, LARGE = Slot(0.5, 0), Slot(1, 0)
DIES, BREAKS, SLEEPS, IS_SLOW = 100, 101, 102, 103
"""Trials that end their process, that raise, that take their time, that take it for each epoch."""

HERE, ENDS_ELSEWHERE = os.getpid(), 106
"""The process that searches, and a trial that ends after its first epoch in another one."""

LEAVES = 108
"""A trial whose process ends when it is asked for a checkpoint."""

JOINED, ABANDONED, BEREFT = 104, 105, 107
"""Units of a trial that waits until a worker helps with it, and half a second longer; its epochs are its helpers. The
second one's process then ends, the third one's helpers do."""


class IdleWorker:
    """Reports three epochs of a trial; the score is its number."""

    def __init__(self, task: Any, settings: Any) -> None:
        if task == "broken" and os.getpid() != HERE:
            raise RuntimeError("this worker does not come up")

    def begin(self, order: Order) -> None:
        self._order, self._epoch, self._helpers, self._is_done = order, 0, [], False
        torch.set_num_threads(2)

    def share(self, helper: Any) -> None:
        self._helpers.append(helper)

    def is_busy(self) -> bool:
        return hasattr(self, "_order") and not self._is_done

    def step(self) -> Report:
        if self._order.trial == DIES:
            ray.actor.exit_actor()
        if self._order.trial == BREAKS:
            raise ValueError("a worker never raises")
        if self._order.trial == SLEEPS:
            time.sleep(60)
        if self._order.trial == IS_SLOW:
            time.sleep(1)
        if self._order.trial == ENDS_ELSEWHERE:
            time.sleep(0.1)
        if self._order.hyperparameters["units"] in {JOINED, ABANDONED, BEREFT}:
            return self._shared()
        self._epoch += 1
        if self._order.trial == ENDS_ELSEWHERE:
            return self._report(None if os.getpid() == HERE else "complete")
        return self._report("complete" if self._epoch == 3 and self._order.trial != IS_SLOW else None)

    def _shared(self) -> Report:
        self._epoch = len(self._helpers)
        time.sleep(0.5 if self._epoch else 0.05)
        if self._order.hyperparameters["units"] == ABANDONED and self._epoch:
            ray.actor.exit_actor()
        if self._order.hyperparameters["units"] == BEREFT:
            for helper in self._helpers:
                ray.kill(helper)
                while True:  # until its loss is noticed
                    ray.get(helper.is_busy.remote())
        assert not any(ray.get([helper.is_busy.remote() for helper in self._helpers])), "busy with another trial"
        return self._report("complete" if self._epoch else None)

    def checkpoint(self) -> Checkpoint:
        if self._order.trial == LEAVES:
            ray.actor.exit_actor()
        return Checkpoint({}, {"epoch": self._epoch})

    def go_on_from(self, content: bytes) -> None:
        self._epoch = Checkpoint.from_bytes(content).facts["epoch"]

    def cut_off(self, reason: str) -> Report:
        return self._report("complete")

    def _report(self, outcome: Ending | None) -> Report:
        self._is_done = outcome is not None
        score = float(self._order.trial)
        last = EpochResult(self._epoch, (score,), (score,))
        return Report(self._order.hyperparameters, self._epoch, last, last, (), 0.0, str(os.getpid()), outcome)


@dataclass
class Orders:
    """Hands out trials in order and remembers what is said of them, by number.

    After the first one's end the user may stop the search, or its time may be up.
    """

    waiting: list[Order]
    live_at_most: int = 2
    is_impatient: bool = False
    is_late: bool = False
    stop: StopRule = field(default_factory=lambda: StopRule(time_limit_s=60, stop_when_stale=None))
    live: dict[str, Order] = field(default_factory=dict)
    told: list[tuple[int, int]] = field(default_factory=list)
    ends: list[tuple[int, int]] = field(default_factory=list)
    deaths: list[int] = field(default_factory=list)
    ended_here: set[int] = field(default_factory=set)
    workers: int = 0

    def suggest(self, name: str) -> Order | None:
        if not self.waiting or len(self.live) == self.live_at_most:
            return None
        self.live[name] = self.waiting.pop(0)
        return self.live[name]

    def reported(self, name: str, report: Report) -> None:
        self.told.append((self.live[name].trial, report.epoch))

    def ended(self, name: str, report: Report) -> None:
        self.ends.append((self.live.pop(name).trial, report.epoch))
        if report.node == str(HERE):
            self.ended_here.add(self.ends[-1][0])
        self.stop.interrupted = self.is_impatient
        if self.is_late:
            self.stop._deadline = time.monotonic()

    def died(self, name: str) -> None:
        self.deaths.append(self.live.pop(name).trial)


def orders(*trials: int, slot: Slot = SMALL) -> list[Order]:
    return [Order(trial, {"units": trial}, slot) for trial in trials]


def trained(
    found: Orders,
    *,
    scheduler: str = "none",
    task: Any = None,
    shared: int = 0,
    helpers: int = 1,
    begins_here: bool = False,
    heavy: int | None = None,
    is_race: bool = False,
) -> Orders:
    schedule = build_schedule(scheduler, max_epochs=4, space={"units": Range(1, 1000)}, seed=0)
    crew = Crew()
    try:
        arguments: Any = task, SETTINGS, found, schedule
        pool.Pool(
            *arguments,
            usual=[SMALL],
            shared=shared,
            helpers=helpers,
            begins_here=lambda hyperparameters: begins_here and hyperparameters["units"] != heavy,
            race=Race(schedule, max_epochs=4, stop=found.stop) if is_race else None,
            stop=found.stop,
            crew=crew,
        ).run()
        found.workers = len(crew.of(SMALL))
    finally:
        crew.end()
    return found


@pytest.fixture(autouse=True)
def idle_workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(pool, "TrialWorker", IdleWorker)
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this module
    yield
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def test_every_trial_is_trained_to_its_end_and_told_in_order() -> None:
    found = trained(Orders(orders(1, 2, 3, 4, 5)))
    assert sorted(found.ends) == [(trial, 3) for trial in range(1, 6)]
    assert sorted(found.told) == [(trial, epoch) for trial in range(1, 6) for epoch in (1, 2)]


def test_scheduler_stops_trials_with_their_last_report_told_once() -> None:
    found = trained(Orders(orders(1, 2, 3), live_at_most=1), scheduler="asha")
    assert found.ends == [(1, 3), (2, 1), (3, 1)]
    assert found.told == [(1, 1), (1, 2)]


def test_trial_that_the_time_limit_cuts_off_says_how_far_it_came() -> None:
    found = trained(Orders(orders(IS_SLOW, 1), is_late=True))
    assert [trial for trial, _ in found.ends] == [1, IS_SLOW]
    _, epochs = found.ends[-1]
    assert epochs >= 1
    assert not found.live


def test_trial_whose_worker_does_not_answer_in_time_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "LAST_WORD_S", 0.2)
    found = trained(Orders(orders(SLEEPS, 1), is_late=True))
    assert [trial for trial, _ in found.ends] == [1]
    assert [order.trial for order in found.live.values()] == [SLEEPS]


@pytest.mark.parametrize("trial", [DIES, BREAKS])
def test_process_that_ends_or_breaks_is_replaced(trial: int) -> None:
    found = trained(Orders(orders(1, trial, 2, 3)))
    assert found.deaths == [trial]
    assert sorted(found.ends) == [(1, 3), (2, 3), (3, 3)]


def test_worker_that_waits_for_room_does_not_hold_up_the_end() -> None:
    trials = range(1, 1 + 4 * int(ray.cluster_resources()["CPU"]))  # twice as many as there is room for
    found = trained(Orders(orders(*trials), live_at_most=len(trials)))
    assert sorted(trial for trial, _ in found.ends) == list(trials)
    assert not found.stop.reason


def test_room_is_made_for_a_larger_slot_and_given_back() -> None:
    cores = int(ray.cluster_resources()["CPU"])
    whole = Slot(cores, 0)  # fits only when all other workers are gone
    found = trained(Orders(orders(1, 2) + orders(3, slot=whole) + orders(4, 5, 6)))
    assert sorted(trial for trial, _ in found.ends) == [1, 2, 3, 4, 5, 6]


def test_trials_that_need_larger_slots_of_two_sizes_take_turns() -> None:
    whole = Slot(int(ray.cluster_resources()["CPU"]), 0)
    found = trained(Orders(orders(1, slot=LARGE) + orders(2, slot=whole), live_at_most=2))
    assert sorted(trial for trial, _ in found.ends) == [1, 2]


def test_workers_that_never_come_up_end_the_search_with_their_reason() -> None:
    with pytest.raises(ClusterError, match=r"no worker can be started: .*this worker does not come up"):
        trained(Orders(orders(1)), task="broken")


def shared_orders(*trials: int) -> list[Order]:
    return [Order(trial, {"units": JOINED}, SMALL) for trial in trials]


def test_idle_worker_helps_with_the_first_trials_before_it_takes_one() -> None:
    found = trained(Orders([*shared_orders(0, 1), *orders(2, 3)]), shared=2, helpers=3)
    assert found.ends[:2] == [(0, 1), (1, 1)]
    assert sorted(found.ends[2:]) == [(2, 3), (3, 3)]
    assert found.workers == 2


def test_no_more_workers_help_than_are_wanted() -> None:
    found = trained(Orders([*shared_orders(0), *orders(1, 2)], live_at_most=3), shared=1)
    assert sorted(found.ends) == [(0, 1), (1, 3), (2, 3)]


def test_helper_of_a_lost_worker_is_replaced_as_well() -> None:
    found = trained(Orders([Order(0, {"units": ABANDONED}, SMALL), *orders(1)]), shared=1)
    assert (found.deaths, found.ends, found.workers) == ([0], [(1, 3)], 1)
    assert not found.stop.reason


def test_wish_to_stop_leaves_trials_that_are_under_way() -> None:
    found = trained(Orders(orders(1, SLEEPS), is_impatient=True))
    assert [order.trial for order in found.live.values()] == [SLEEPS]


def test_first_trials_begin_here_while_workers_start() -> None:
    found = trained(Orders(orders(0, 1, 2, 3)), shared=2, begins_here=True)
    assert found.ended_here == {0, 1}
    assert sorted(found.ends) == [(trial, 3) for trial in range(4)]
    assert sorted(found.told) == [(trial, epoch) for trial in range(4) for epoch in (1, 2)]
    assert torch.get_num_threads() == 1


def test_worker_that_cannot_help_goes_on_with_the_trial_that_began_here() -> None:
    found = trained(Orders(orders(ENDS_ELSEWHERE)), shared=1000, helpers=0, begins_here=True)
    ((_, last),) = found.ends
    assert [epoch for _, epoch in found.told] == list(range(1, last))
    assert last > 1


def test_heavy_trial_and_what_follows_are_left_to_workers() -> None:
    found = trained(Orders(orders(0, 1, 2)), shared=3, begins_here=True, heavy=1)
    assert sorted(found.ends) == [(trial, 3) for trial in range(3)]
    assert found.ended_here == {0}


def test_workers_that_do_not_come_up_end_what_began_here() -> None:
    with pytest.raises(ClusterError, match="this worker does not come up"):
        trained(Orders(orders(ENDS_ELSEWHERE, 1)), task="broken", shared=1000, helpers=1000, begins_here=True)


def test_workers_help_with_a_trial_that_began_here() -> None:
    found = trained(Orders([*shared_orders(0, 1), *orders(2)]), shared=2, begins_here=True)
    assert (found.ends, found.ended_here) == ([(0, 1), (1, 1), (2, 3)], {0, 1})


def test_trial_that_began_here_needs_another_process_where_its_helper_is_lost() -> None:
    found = trained(Orders([Order(0, {"units": BEREFT}, SMALL), *orders(1)]), shared=1, begins_here=True)
    assert (found.deaths, found.ends, found.workers) == ([0], [(1, 3)], 1)


def test_trial_that_began_here_is_cut_off_by_the_time_limit() -> None:
    stop = StopRule(time_limit_s=0.5, stop_when_stale=None)
    found = trained(Orders(orders(IS_SLOW), stop=stop), shared=1000, helpers=1000, begins_here=True)
    assert (found.ends, found.ended_here) == ([(IS_SLOW, 1)], {IS_SLOW})


def test_wish_to_stop_leaves_the_trial_that_began_here(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Orders(orders(IS_SLOW))
    monkeypatch.setattr(found, "reported", lambda name, report: setattr(found.stop, "interrupted", True))
    trained(found, shared=1000, helpers=1000, begins_here=True)
    assert [order.trial for order in found.live.values()] == [IS_SLOW]
    assert not found.ends


@pytest.mark.parametrize("begins_here", [True, False])
def test_trials_of_a_race_come_to_the_first_rung_one_after_the_other_and_the_best_of_them_ends_first(
    begins_here: bool,
) -> None:
    racing = Orders(orders(2, 1, 0, 3), live_at_most=3)
    found = trained(racing, scheduler="asha", shared=3, helpers=3, begins_here=begins_here, is_race=True)
    assert found.told == [(2, 1), (1, 1), (0, 1), (0, 2), (1, 2), (2, 2)]
    assert [end for end in found.ends if end[0] != 3] == [(0, 3), (1, 3), (2, 3)]
    assert (3, 1) in found.ends  # it is not in the race, and ends at the rung
    assert found.ended_here == ({0, 1, 2} if begins_here else set())


def test_race_hears_of_trials_that_end(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []
    monkeypatch.setattr(Race, "leaves", lambda self, order: left.append(order.trial))
    trained(Orders(orders(1, 0), live_at_most=2), scheduler="asha", shared=2, is_race=True)
    assert left == [0, 1]


def test_trial_whose_process_ends_at_its_turn_needs_another() -> None:
    found = trained(Orders(orders(LEAVES, 1)), scheduler="asha", shared=1000, helpers=1, is_race=True)
    assert (found.deaths, found.ends) == ([LEAVES], [(1, 3)])


def test_heavy_trial_goes_on_in_a_worker_when_its_turn_comes() -> None:
    racing = Orders(orders(1, 0), live_at_most=2)
    found = trained(racing, scheduler="asha", shared=2, helpers=3, begins_here=True, heavy=0, is_race=True)
    assert found.told == [(1, 1), (0, 1), (0, 2), (1, 2)]
    assert found.ends == [(0, 3), (1, 3)]
