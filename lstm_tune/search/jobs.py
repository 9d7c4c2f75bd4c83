"""Training after the search: a few independent jobs, in this process when they are short, else in Ray workers."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import ray
import torch

from lstm_tune.search.cluster import own_device
from lstm_tune.search.placement import Slot
from lstm_tune.spec.errors import DivergedError
from lstm_tune.tasks.forecast import ForecastTask

T = TypeVar("T")
Job = Callable[[ForecastTask, torch.device], T]
"""(task, device) -> result; it must be possible to send it to another process."""

SHORT_S = 20.0
"""Training below this is done by the driving process; a Ray worker needs four seconds and more to import torch."""


def run_jobs(
    task: ForecastTask, jobs: Sequence[Job[T]], *, slot: Slot, expected_s: float, report: Callable[[int], None]
) -> list[T]:
    """The results of all jobs, in their order.

    Args:
        task: what each job is called with; workers share one copy.
        jobs: what to run.
        slot: what each job occupies.
        expected_s: seconds of training of all jobs together.
        report: called with the number of finished jobs, from 0.

    Raises:
        DivergedError: a job's training diverged.
    """
    report(0)
    if expected_s < SHORT_S and not slot.gpus:
        return _run_here(task, jobs, slot, report)
    return _run_remotely(task, jobs, slot, report)


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
    try:
        return list(ray.get(pending))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, DivergedError) else error from None


def _run(job: Job[T], task: ForecastTask, threads: int) -> T:
    """One job on the device of the process it runs in; the number of threads is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        return job(task, own_device())
    finally:
        torch.set_num_threads(before)
