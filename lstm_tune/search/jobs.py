"""Training after the search: a few independent jobs, in the search's workers, or in this process or new workers."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import ray
import torch

from lstm_tune.search.crew import Crew
from lstm_tune.search.device import own_device
from lstm_tune.search.placement import Slot
from lstm_tune.search.worker import is_memory_error
from lstm_tune.spec.errors import DivergedError
from lstm_tune.tasks.forecast import ForecastTask

LOST = (
    MemoryError,
    ray.exceptions.RayActorError,
    ray.exceptions.ObjectLostError,
    ray.exceptions.OutOfMemoryError,
    ray.exceptions.WorkerCrashedError,
)
"""What a job ends with that had too little memory, or whose process or node is gone."""

T = TypeVar("T")
Job = Callable[[ForecastTask, torch.device, Sequence[Any]], T]
"""(task, device, helpers) -> result; it must be possible to send it to another process.

Helpers are handles of `TrialWorker`s that have nothing else to do until the job has ended, if there are any.
"""

SHORT_S = 20.0
"""Training below this is done by the driving process; a new worker needs two seconds and more to import torch."""


def run_jobs(
    task: ForecastTask,
    jobs: Sequence[Job[T]],
    *,
    crew: Crew,
    slot: Slot,
    expected_s: float,
    report: Callable[[int], None],
) -> list[T]:
    """The results of all jobs, in their order.

    The search's workers do them where there are any, several of them one job where there are fewer jobs. A resumed run
    may have none; then short jobs are done here. Where memory runs out or a node is lost, all are done once more, by
    new workers with twice the share.

    Args:
        task: what each job is called with; workers share one copy.
        jobs: what to run.
        crew: the search's workers.
        slot: what each job occupies.
        expected_s: seconds of training of all jobs together.
        report: called with the number of finished jobs, from 0.

    Raises:
        DivergedError: a job's training diverged.
    """
    report(0)
    try:
        if workers := crew.of(slot):
            return _run_by(workers, jobs, slot, report)
        if expected_s < SHORT_S and not slot.gpus:
            return _run_here(task, jobs, slot, report)
        return _run_remotely(task, jobs, slot, report)
    except LOST:
        crew.end()
        report(0)
        return _run_remotely(task, jobs, slot.doubled() or slot, report)


def _run_by(workers: list[Any], jobs: Sequence[Job[T]], slot: Slot, report: Callable[[int], None]) -> list[T]:
    results: dict[int, T] = {}
    left, under_way = deque(enumerate(jobs)), dict[Any, tuple[int, list[Any]]]()
    idle = deque(_teams(workers, jobs=len(jobs), slot=slot))
    while left or under_way:
        while left and idle:
            number, job = left.popleft()
            leader, *helpers = team = idle.popleft()
            under_way[leader.train.remote(job, slot.threads, helpers)] = number, team
        (done,), _ = ray.wait(list(under_way))
        number, team = under_way.pop(done)
        results[number] = _result(done)
        idle.append(team)
        report(len(results))
    return [results[number] for number in range(len(jobs))]


def _teams(workers: list[Any], *, jobs: int, slot: Slot) -> list[list[Any]]:
    """Workers that do one job together. On a GPU a trial's folds share what is one device anyway."""
    count = len(workers) if slot.gpus else min(jobs, len(workers))
    return [workers[number::count] for number in range(count)]


def _run_here(task: ForecastTask, jobs: Sequence[Job[T]], slot: Slot, report: Callable[[int], None]) -> list[T]:
    results: list[T] = []
    for job in jobs:
        results.append(_run(job, task, slot.threads))
        report(len(results))
    return results


def _run_remotely(task: ForecastTask, jobs: Sequence[Job[T]], slot: Slot, report: Callable[[int], None]) -> list[T]:
    shared = ray.put(task)
    run = ray.remote(**slot.options)(_run)
    pending = [run.remote(job, shared, slot.threads) for job in jobs]
    waiting = list(pending)
    while waiting:
        _, waiting = ray.wait(waiting)
        report(len(jobs) - len(waiting))
    return [_result(one) for one in pending]


def _result(done: Any) -> Any:
    """What a job returned, or its own error; `MemoryError` whatever memory ran out."""
    try:
        return ray.get(done)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, Exception) and is_memory_error(error.cause):
            raise MemoryError(str(error.cause)) from None
        raise error.cause if isinstance(error.cause, DivergedError) else error from None


def _run(job: Job[T], task: ForecastTask, threads: int) -> T:
    """One job on the device of the process it runs in; the number of threads is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return job(task, own_device(), [])
    finally:
        torch.set_num_threads(before)
