"""Ray actors that train, and one loop between them, the searcher and the scheduler.

Ray Tune's controller would cost 20 ms a trial and more, growing with their number, and seconds before the first; this
loop costs about one. Tune still serves the scheduler that pauses and copies trials (`population.py`).
"""

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import ray
import torch

from lstm_tune.search.crew import Crew
from lstm_tune.search.placement import Slot
from lstm_tune.search.race import NO_TURN, Race, Turn
from lstm_tune.search.schedulers import Schedule
from lstm_tune.search.searcher import StudySearcher
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.worker import Order, Report, TrialSettings, TrialWorker
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.tasks.forecast import ForecastTask

LOOK_S = 0.5
"""Between two looks at the clock and at the user's wish to stop, while no worker reports."""

LAST_WORD_S = 10.0
"""A worker may take this long to end its epoch and say how far its trial came, once the search is over."""

GLANCE_S = 0.25
"""Between two looks at workers that start, while this process trains."""

FAILED_STARTS = 3
"""Workers in a row that do not come up before the search is given up; one whose node is lost may be among them."""


@dataclass(frozen=True)
class _Attempt:
    """A trial that needs a worker.

    Attributes:
        name: the searcher's for it.
        order: what is trained.
        state: a checkpoint's bytes, to go on from; None to begin.
    """

    name: str
    order: Order
    state: bytes | None = None


@dataclass(eq=False)
class _Process:
    """A worker as the driving process sees it.

    Attributes:
        slot: what it occupies.
        actor: the handle of its `TrialWorker`, or that itself where it trains in the driving process.
        attempt: what it trains; None while it starts, helps or waits.
        leader: whose trial it helps with; None for nobody's.
        is_up: whether it has started.
    """

    slot: Slot
    actor: Any
    attempt: _Attempt | None = None
    leader: "_Process | None" = None
    is_up: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether it could take a trial."""
        return self.is_up and self.attempt is None and self.leader is None


class Pool:
    """Trains trials in as many workers as they need at once, until there is none left or `stop` has a reason.

    A worker is started when a trial waits for one of its slot, and takes one trial after the other. Where a trial needs
    a slot of another size, because memory ran out, workers end as they become idle until there is room for it.

    The folds of each of the first trials are trained by several workers: one trial after the other at full speed brings
    each answer as soon as trials side by side would, and most of them sooner. As workers take seconds to start, this
    process may train such trials in place of one, until more workers are up than can help. In a race they take turns.

    Args:
        task: the question; workers share one copy.
        settings: what trials share.
        searcher: hands out trials, and is told.
        schedule: stops poor trials; one that needs no checkpoints.
        usual: the slots that trials have at first.
        shared: how many trials, the first ones, are trained by several workers.
        helpers: workers at most that help with the folds of such a trial.
        begins_here: whether this process may train a configuration: its epochs keep it from listening.
        race: the order of the shared trials that wait; None for that in which they were handed out.
        stop: limits and interruption.
        crew: takes over the workers that are idle at the end.
    """

    def __init__(
        self,
        task: ForecastTask,
        settings: TrialSettings,
        searcher: StudySearcher,
        schedule: Schedule,
        *,
        usual: Iterable[Slot],
        shared: int,
        helpers: int,
        begins_here: Callable[[Hyperparameters], bool],
        race: Race | None,
        stop: StopRule,
        crew: Crew,
    ) -> None:
        self._task, self._settings = task, settings
        self._shared = ray.put(task), ray.put(settings)
        self._searcher = searcher
        self._schedule = schedule
        self._usual = frozenset(usual)
        self._shared_trials, self._most_helpers = shared, helpers
        self._begins_here = begins_here
        self._race = race
        self._stop = stop
        self._crew = crew
        self._names = map(str, count())
        self._waiting: deque[_Attempt] = deque()
        self._calls: dict[Any, _Process] = {}
        self._processes: list[_Process] = []
        self._failed_starts = 0

    def run(self) -> None:
        """Trains.

        Raises:
            ClusterError: no worker can be started.
        """
        try:
            self._take_orders()
            if self._is_for_here():
                self._begin_here()
            while not self._stop.reason:
                self._take_orders()
                self._assign()
                self._start()
                if not self._waiting and all(process.attempt is None for process in self._processes):
                    return  # a worker that is still coming up has nothing to do any more
                self._listen(LOOK_S)
            if not self._stop.leaves_trials:
                self._hear_last_words()
        finally:
            for process in list(self._processes):
                if process.is_idle and process.slot in self._usual:
                    self._crew.take_over(process.slot, process.actor)
                else:
                    self._end(process)

    def _begin_here(self) -> None:
        """Trains the first trials in this process, which takes the place of a worker that starts later.

        Workers that have come up help. It ends with these trials, or when a worker has come up that cannot help.
        """
        threads = torch.get_num_threads()
        worker = TrialWorker(self._task, replace(self._settings, report_interval_s=GLANCE_S))
        helpers = min(self._most_helpers, len(self._waiting) - 1)
        self._start(fewer=1)
        try:
            is_going_on = True
            while is_going_on and self._is_for_here():
                attempt = self._waiting.popleft()
                worker.begin(attempt.order)
                if attempt.state:
                    worker.go_on_from(attempt.state)
                leader = _Process(attempt.order.slot, worker, attempt)
                is_going_on = self._lead(leader, helpers=helpers)
                self._free(leader)
                self._take_orders()
        finally:
            torch.set_num_threads(threads)

    def _is_for_here(self) -> bool:
        """Whether this process may train the trial that has waited longest."""
        first = self._waiting[0] if self._waiting else None
        return first is not None and self._is_shared(first) and self._begins_here(first.order.hyperparameters)

    def _lead(self, leader: _Process, *, helpers: int) -> bool:
        """Trains a trial in this process to its end or its next turn, or hands it over; whether another may follow."""
        attempt, worker = leader.attempt, leader.actor
        assert attempt, "it has just begun"
        is_begun = is_turn_over = False
        try:
            while not self._stop.reason and not is_turn_over and self._join(leader, most=helpers):
                report = worker.step()
                if self._is_over(attempt, report):
                    return not self._stop.reason
                is_begun, is_turn_over = True, self._gives_way(attempt, report)
            if not self._stop.reason:
                state = worker.checkpoint().to_bytes() if is_begun else attempt.state
                self._waiting.appendleft(replace(attempt, state=state))
                return is_turn_over
            if not self._stop.leaves_trials:
                self._take_last_word(attempt, worker.cut_off(self._stop.cut_off))
        except ray.exceptions.RayError:  # a helper is lost
            for helper in self._helpers(leader):
                self._end(helper)
            self._searcher.died(attempt.name)
        return False

    def _join(self, leader: _Process, *, most: int) -> bool:
        """Lets workers that have come up help, and replaces those that did not; whether none is left over."""
        self._listen(0)
        for process in [process for process in self._processes if process.is_idle]:
            if process.slot != leader.slot or len(self._helpers(leader)) >= most:
                return False
            process.leader = leader
            leader.actor.share(process.actor)
        self._start(fewer=1)
        return True

    def _is_shared(self, attempt: _Attempt) -> bool:
        return attempt.order.trial < self._shared_trials and attempt.order.slot in self._usual

    def _take_orders(self) -> None:
        """Takes trials from the searcher, which knows how many may be under way, and lets those of a race go first."""
        name = next(self._names)
        while order := self._searcher.suggest(name):
            self._waiting.append(_Attempt(name, order))
            name = next(self._names)
        if self._race:
            self._waiting = deque(sorted(self._waiting, key=self._turn))

    def _turn(self, attempt: _Attempt) -> Turn:
        """Sorts trials: those of a race go first, by its rules, the others follow as they were."""
        return self._race.turn(attempt.order) if self._race and self._is_shared(attempt) else NO_TURN

    def _gives_way(self, attempt: _Attempt, report: Report) -> bool:
        """Whether it is another trial's turn."""
        if not (self._race and self._is_shared(attempt) and self._race.comes_to_rung(attempt.order, report)):
            return False
        return any(self._turn(rival) < self._turn(attempt) for rival in self._waiting)

    def _assign(self) -> None:
        """Gives trials that wait to idle workers of their slot; while room is made for another size, ends those."""
        unusual = {attempt.order.slot for attempt in self._waiting} - self._usual
        for process in [process for process in self._processes if process.is_idle]:
            attempt = next((one for one in self._waiting if one.order.slot == process.slot), None)
            if leader := self._to_help(process):
                process.leader = leader
                leader.actor.share.remote(process.actor)
            elif attempt is not None and (not unusual or process.slot in unusual):
                self._waiting.remove(attempt)
                process.attempt = attempt
                process.actor.begin.remote(attempt.order)
                if attempt.state:
                    process.actor.go_on_from.remote(attempt.state)
                self._call(process)
            elif unusual or process.slot not in self._usual:
                self._end(process)

    def _to_help(self, process: _Process) -> _Process | None:
        """Whose trial an idle worker helps with. On a GPU a trial's folds share what is one device anyway."""
        for leader in [] if process.slot.gpus else self._processes:
            is_shared = leader.attempt and self._is_shared(leader.attempt)
            if is_shared and leader.slot == process.slot and len(self._helpers(leader)) < self._most_helpers:
                return leader
        return None

    def _helpers(self, leader: _Process) -> list[_Process]:
        return [process for process in self._processes if process.leader is leader]

    def _free(self, process: _Process) -> None:
        """The worker's trial has ended; so has its helpers' work."""
        process.attempt = None
        for helper in self._helpers(process):
            helper.leader = None

    def _start(self, *, fewer: int = 0) -> None:
        """Starts a worker for each trial that waits and has none coming, or free later; unusual sizes come first.

        Args:
            fewer: workers that are not started yet, unless none would be.
        """
        missing = [attempt.order.slot for attempt in self._waiting]
        unusual = [slot for slot in missing if slot not in self._usual]
        for process in self._processes:
            if (process.leader or not process.is_up) and process.slot in missing:
                missing.remove(process.slot)
        for slot in missing[: max(1, len(missing) - fewer)]:
            if not unusual or slot in unusual:
                process = _Process(slot, ray.remote(**slot.options)(TrialWorker).remote(*self._shared))
                self._processes.append(process)
                self._calls[process.actor.__ray_ready__.remote()] = process

    def _listen(self, timeout_s: float) -> None:
        """Hears what workers answer."""
        answered, _ = ray.wait(list(self._calls), timeout=timeout_s) if self._calls else ([], [])
        for call in answered:
            self._answered(self._calls.pop(call), call)

    def _call(self, process: _Process) -> None:
        self._calls[process.actor.step.remote()] = process

    def _answered(self, process: _Process, call: Any) -> None:
        try:
            answer = ray.get(call)
        except ray.exceptions.RayError as error:
            self._lost(process, error)
            return
        if process.attempt is None:
            process.is_up, self._failed_starts = True, 0
        else:
            self._reported(process, process.attempt, answer)

    def _reported(self, process: _Process, attempt: _Attempt, report: Report) -> None:
        """Goes on with a trial, or is done with it."""
        if self._is_over(attempt, report):
            self._free(process)
            if report.traceback and process.slot.gpus:  # an error may have cost the process its GPU
                self._end(process)
        elif self._gives_way(attempt, report):
            self._put_off(process, attempt)
        else:
            self._call(process)

    def _put_off(self, process: _Process, attempt: _Attempt) -> None:
        """A trial waits for its next turn."""
        try:
            checkpoint = ray.get(process.actor.checkpoint.remote())
        except ray.exceptions.RayError as error:
            self._lost(process, error)
        else:
            self._free(process)
            self._waiting.append(replace(attempt, state=checkpoint.to_bytes()))

    def _is_over(self, attempt: _Attempt, report: Report) -> bool:
        """Tells the searcher; whether the trial has come to its end or is stopped."""
        if report.outcome is None and self._goes_on(attempt.order.trial, report):
            self._searcher.reported(attempt.name, report)
            return False
        self._searcher.ended(attempt.name, report)
        if self._race:
            self._race.leaves(attempt.order)
        return True

    def _hear_last_words(self) -> None:
        """Takes what trials reached that a limit cuts off: the first ones may be the best that there are."""
        steps = {process: call for call, process in self._calls.items() if process.attempt}
        words = {process.actor.cut_off.remote(self._stop.cut_off): process for process in steps}
        answered, _ = ray.wait(list(words), num_returns=len(words), timeout=LAST_WORD_S) if words else ([], [])
        for word in answered:
            process = words[word]
            attempt = process.attempt
            assert attempt, "it was under way"
            self._free(process)
            with suppress(ray.exceptions.RayError):
                report, last = ray.get([steps[process], word])
                if report.outcome is None:
                    self._searcher.reported(attempt.name, report)
                    report = last
                self._take_last_word(attempt, report)

    def _take_last_word(self, attempt: _Attempt, report: Report) -> None:
        if report.outcome is not None:
            self._searcher.ended(attempt.name, report)

    def _goes_on(self, trial: int, report: Report) -> bool:
        return report.best is None or self._schedule.goes_on(
            trial, report.hyperparameters, report.epoch, report.best.score
        )

    def _lost(self, process: _Process, error: Exception) -> None:
        """A worker's process or node is gone, or its helper's; the trial goes on in another, as the searcher wants."""
        for lost in [process, *self._helpers(process)]:
            self._end(lost)
        if process.attempt is not None:
            self._searcher.died(process.attempt.name)
            return
        self._failed_starts += 1
        if self._failed_starts >= FAILED_STARTS:
            raise ClusterError(f"no worker can be started: {_last_line(error)}")

    def _end(self, process: _Process) -> None:
        self._processes.remove(process)
        with suppress(ray.exceptions.RayError):
            ray.kill(process.actor)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
