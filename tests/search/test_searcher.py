"""What the searcher makes of processes that die and of memory that runs out; Ray is not needed for it."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from lstm_tune.search.placement import Placement, Slot
from lstm_tune.search.searcher import DEATHS, StudySearcher
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.study import Proposal
from lstm_tune.search.worker import Order, Report
from lstm_tune.spec.events import Event, TrialEnded, TrialReported, TrialStarted, Warned
from lstm_tune.training.lockstep import EpochResult

SHARE = Slot(1, 0.25)


@dataclass
class FakeStudy:
    """Proposes one configuration after the other and remembers what it is told."""

    reported: list[tuple[int, int]] = field(default_factory=list)
    told: list[TrialEnded] = field(default_factory=list)
    proposed: int = 0

    def propose(self) -> Proposal:
        self.proposed += 1
        return Proposal(self.proposed - 1, {"units": 8}, 100)

    def report(self, trial: int, epoch: int, score: float) -> None:
        self.reported.append((trial, epoch))

    def tell(self, end: TrialEnded) -> None:
        self.told.append(end)


@dataclass
class Bench:
    """A searcher and everything that it hands out."""

    searcher: StudySearcher
    study: FakeStudy
    events: list[Event]
    forgotten: list[int]

    @property
    def warnings(self) -> list[str]:
        return [event.message for event in self.events if isinstance(event, Warned)]


@pytest.fixture(autouse=True)
def one_gpu_a_node(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lstm_tune.search.placement.live_nodes", lambda: [{"CPU": 4.0, "GPU": 1.0}])


def bench(*kinds: tuple[Slot, int], budget: int = 2) -> Bench:
    study, events, forgotten = FakeStudy(), list[Event](), list[int]()
    placement = Placement(kinds or ((SHARE, 4),))
    searcher = StudySearcher(
        study,  # type: ignore[arg-type]
        events.append,
        StopRule(time_limit_s=None, stop_when_stale=None),
        placement=placement,
        budget=budget,
        largest_live=placement.slots,
        log_failure=lambda trial, text: None,
        keep_losses=lambda trial, losses: None,
        forget=forgotten.append,
    )
    return Bench(searcher, study, events, forgotten)


def order(found: Order | None) -> Order:
    assert found is not None, "a trial was expected"
    return found


def report(epoch: int, outcome: Any = None) -> Report:
    results = [EpochResult(n, (1.0 / n, 2.0 / n), (0.5, 0.5)) for n in range(1, epoch + 1)]
    curve = tuple((result.epoch, result.score, result.train_score) for result in results)
    last = results[-1] if results else None
    return Report({"units": 8}, epoch, last, last, curve, 1.0, "here", outcome, "", "")


def test_trial_whose_process_died_goes_on_in_another_and_is_told_once() -> None:
    one = bench(budget=1)
    one.searcher.suggest("a")
    one.searcher.reported("a", report(3))
    one.searcher.died("a")
    assert order(one.searcher.suggest("b")) == Order(0, {"units": 8}, SHARE)
    one.searcher.reported("b", report(2))
    one.searcher.ended("b", report(5, "complete"))
    assert one.study.reported == [(0, 3), (0, 5)]
    assert [(end.trial, end.state, end.epochs) for end in one.study.told] == [(0, "complete", 5)]
    assert sum(isinstance(event, TrialStarted) for event in one.events) == 1
    assert [event.curve[0][0] for event in one.events if isinstance(event, TrialReported)] == [1, 4]
    assert one.warnings == ["The process of trial 0 died; the trial goes on in another."]
    assert one.forgotten == [0]


def test_member_of_a_population_that_goes_back_tells_every_epoch_and_the_study_each_once() -> None:
    one = bench(budget=1)
    one.searcher.suggest("a")
    for epoch, units in ((2, 8), (5, 8), (3, 9), (4, 9), (6, 9)):
        found = report(epoch)
        one.searcher.reported("a", replace(found, hyperparameters={"units": units}, curve=found.curve[-1:]))
    assert [event.epoch for event in one.events if isinstance(event, TrialReported)] == [2, 5, 3, 4, 6]
    assert [event.curve[-1][0] for event in one.events if isinstance(event, TrialReported)] == [2, 5, 3, 4, 6]
    assert one.study.reported == [(0, 2), (0, 5), (0, 3), (0, 4), (0, 6)]


def test_search_waits_for_running_trials_as_they_may_need_another_process() -> None:
    one = bench(budget=1)
    one.searcher.suggest("a")
    assert one.searcher.suggest("b") is None
    assert not one.searcher.is_finished
    one.searcher.died("a")
    assert order(one.searcher.suggest("c")).trial == 0
    one.searcher.ended("c", report(5, "complete"))
    assert one.searcher.suggest("d") is None
    assert one.searcher.is_finished


def test_trial_whose_processes_keep_dying_gets_twice_the_share_and_then_fails() -> None:
    one = bench(budget=1)
    shares = []
    for attempt in range(DEATHS):
        shares.append(order(one.searcher.suggest(f"attempt {attempt}")).slot.gpus)
        one.searcher.died(f"attempt {attempt}")
    assert shares == [0.25, 0.25, 0.5]
    (end,) = one.study.told
    assert (end.state, end.reason) == ("failed", "its process died 3 times; see logs/driver.log")
    assert one.searcher.suggest("another") is None
    assert one.searcher.is_finished


def test_trial_out_of_memory_starts_again_with_twice_the_share_once() -> None:
    one = bench(budget=1)
    assert order(one.searcher.suggest("a")).slot.gpus == 0.25
    one.searcher.ended("a", report(0, "out of memory"))
    assert order(one.searcher.suggest("b")).slot.gpus == 0.5
    one.searcher.ended("b", report(0, "out of memory"))
    (end,) = one.study.told
    assert (end.state, end.reason.startswith("out of memory with 1 CPUs and 0.5 GPUs")) == ("failed", True)
    assert one.warnings == ["Trial 0 ran out of memory and starts again, with 1 CPUs and 0.5 GPUs."]


def test_trial_out_of_memory_on_a_whole_gpu_has_failed() -> None:
    one = bench((Slot(1, 1), 1), budget=1)
    one.searcher.suggest("a")
    one.searcher.ended("a", report(0, "out of memory"))
    assert [end.state for end in one.study.told] == ["failed"]


def test_trials_go_where_most_room_is_left() -> None:
    small, large = Slot(1, 0.5, "T4"), Slot(1, 0.25, "A100")
    one = bench((small, 2), (large, 4), budget=6)
    kinds = [order(one.searcher.suggest(str(number))).slot for number in range(6)]
    assert kinds.count(large) == 4
    assert kinds.count(small) == 2
    assert kinds[:2] == [large] * 2


def test_trials_that_wait_for_another_process_are_settled_at_the_end() -> None:
    one = bench(budget=2)
    one.searcher.suggest("a")
    one.searcher.suggest("b")
    one.searcher.died("a")
    one.searcher.close()
    assert sorted((end.trial, end.state) for end in one.study.told) == [(0, "pruned"), (1, "pruned")]
