"""Trainings after the search, in workers that it left."""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import ray
import torch

from lstm_tune.search.crew import Crew
from lstm_tune.search.jobs import Job, run_jobs
from lstm_tune.search.placement import Slot
from lstm_tune.spec.errors import DivergedError

pytestmark = pytest.mark.usefixtures("shared_ray")
SLOT = Slot(0.5, 0)
TASK: Any = "the task"
CPU = torch.device("cpu")


class Worker:
    """Holds a task as a worker of the search does."""

    def process(self) -> int:
        return os.getpid()

    def train(self, job: Job[Any], threads: int, helpers: Sequence[Any]) -> Any:
        assert threads == 1
        return job("the worker's task", CPU, helpers)


@pytest.fixture
def crew() -> Iterator[Crew]:
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import this module
    crew = Crew()
    for _ in range(2):
        crew.take_over(SLOT, ray.remote(num_cpus=0)(Worker).remote())
    yield crew
    crew.end()
    ray.cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


def numbered(number: int) -> Job[Any]:
    return lambda task, device, helpers: (number, task, os.getpid())


def run(crew: Crew, *jobs: Job[Any], slot: Slot = SLOT) -> tuple[list[Any], list[int]]:
    """What the jobs returned, and what was reported meanwhile."""
    told: list[int] = []
    return run_jobs(TASK, jobs, crew=crew, slot=slot, expected_s=0.0, report=told.append), told


def test_the_crew_shares_the_jobs_and_results_keep_their_order(crew: Crew) -> None:
    results, told = run(crew, *map(numbered, range(5)))
    assert [number for number, _, _ in results] == [0, 1, 2, 3, 4]
    assert {task for _, task, _ in results} == {"the worker's task"}
    assert len({process for _, _, process in results} - {os.getpid()}) == 2
    assert told == [0, 1, 2, 3, 4, 5]


def test_workers_that_occupy_something_else_are_left_alone(crew: Crew) -> None:
    results, _ = run(crew, numbered(7), slot=Slot(1, 0))
    assert results == [(7, TASK, os.getpid())]


def processes(task: Any, device: torch.device, helpers: Sequence[Any]) -> list[int]:
    """Of a job's worker and its helpers."""
    return [os.getpid(), *ray.get([helper.process.remote() for helper in helpers])]


def test_workers_for_which_there_is_no_job_help(crew: Crew) -> None:
    third = ray.remote(num_cpus=0)(Worker).remote()
    crew.take_over(SLOT, third)
    results, told = run(crew, processes, processes)
    assert [len(team) for team in results] == [2, 1]
    assert len({process for team in results for process in team} - {os.getpid()}) == 3
    assert told == [0, 1, 2]


def test_nobody_helps_where_workers_have_gpus(crew: Crew) -> None:
    slot = Slot(0.5, 0.5)
    for _ in range(2):
        crew.take_over(slot, ray.remote(num_cpus=0)(Worker).remote())
    ((process,),), _ = run(crew, processes, slot=slot)
    assert process != os.getpid()


def test_job_whose_helper_is_lost_is_done_without_a_crew(crew: Crew) -> None:
    _, helper = crew.of(SLOT)
    ray.kill(helper)
    results, _ = run(crew, processes)
    assert [len(team) for team in results] == [1]
    assert crew.of(SLOT) == []


def test_training_that_diverged_says_so(crew: Crew) -> None:
    def diverge(task: Any, device: torch.device, helpers: Sequence[Any]) -> None:
        raise DivergedError("the training loss became nan")

    with pytest.raises(DivergedError, match="became nan"):
        run(crew, numbered(0), diverge)


def die(task: Any) -> None:
    os._exit(1)


def need_too_much(task: Any) -> None:
    raise RuntimeError("CUDA error: out of memory")


@pytest.mark.parametrize("trouble", [die, need_too_much])
def test_jobs_are_done_without_a_crew_that_dies_or_has_too_little_memory(
    trouble: Callable[[Any], None], crew: Crew
) -> None:
    def job(task: Any, device: torch.device, helpers: Sequence[Any]) -> Any:
        return task if task == TASK else trouble(task)

    results, told = run(crew, numbered(0), job)
    assert [results[0][:2], results[1]] == [(0, TASK), TASK]
    assert told[-3:] == [0, 1, 2]
    assert crew.of(SLOT) == []


def test_memory_that_is_never_enough_says_so(crew: Crew) -> None:
    def job(task: Any, device: torch.device, helpers: Sequence[Any]) -> Any:
        need_too_much(task)

    with pytest.raises(MemoryError, match="out of memory"):
        run(crew, job)
