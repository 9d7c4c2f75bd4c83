"""A trial whose folds several workers train."""

import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from search_setup import new_run

from lstm_tune.search.finalists import repetition
from lstm_tune.search.helping import shared_out
from lstm_tune.search.placement import Slot
from lstm_tune.search.recorder import Recorder
from lstm_tune.search.session import Session
from lstm_tune.search.worker import Order, Report, TrialSettings, TrialWorker
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Patience, Portions

HYPERPARAMETERS = {"units": 4, "window": 6, "dropout": 0.2}
SLOT = Slot(0.5, 0)
SETTINGS = TrialSettings("forecast", Portions(8), 8, Patience(8), 0, frozenset(range(9)), None, math.inf, math.inf)


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    run = new_run(tmp_path_factory.mktemp("shared"), validation={"folds": 3}, training={"batch_size": 8})
    with Recorder(run.paths, []) as record:
        yield Session(run.experiment, run.prepared, run.paths, record)


@pytest.fixture(scope="module")
def task(session: Session) -> ForecastTask:
    return session.task


@pytest.fixture(scope="module")
def workers(task: ForecastTask, shared_ray: None) -> Iterator[list[Any]]:
    made = [ray.remote(num_cpus=SLOT.cpus)(TrialWorker).remote(task, SETTINGS) for _ in range(3)]
    yield made
    for worker in made:
        ray.kill(worker)


def steps(leader: Any, count: int) -> list[Report]:
    """What it reports after each of so many epochs."""
    return [ray.get(leader.step.remote()) for _ in range(count)]


def begin(leader: Any, **changes: float) -> None:
    ray.get(leader.begin.remote(Order(0, {**HYPERPARAMETERS, **changes}, SLOT)))


@pytest.mark.parametrize(
    ("folds", "workers", "shares"),
    [(4, 1, [[0, 1, 2, 3]]), (4, 2, [[0, 3], [1, 2]]), (4, 3, [[3], [2], [0, 1]]), (2, 3, [[1], [0], []])],
)
def test_folds_are_shared_out_evenly(folds: int, workers: int, shares: list[list[int]]) -> None:
    assert shared_out(folds, workers=workers) == shares


def test_trial_that_began_in_another_process_goes_on_as_it_would_alone(workers: list[Any], task: ForecastTask) -> None:
    elsewhere, helper, _ = workers
    begin(elsewhere)
    alone = steps(elsewhere, 8)
    here = TrialWorker(task, SETTINGS)
    here.begin(Order(0, HYPERPARAMETERS, SLOT))
    begun = [here.step()]
    here.share(helper)
    begun += [here.step() for _ in range(2)]
    begin(elsewhere)
    ray.get(elsewhere.go_on_from.remote(here.checkpoint().to_bytes()))
    going_on = steps(elsewhere, 5)
    assert [(one.last, one.best) for one in begun + going_on] == [(one.last, one.best) for one in alone]
    assert (going_on[-1].outcome, alone[-1].outcome) == ("complete", "complete")
    assert (going_on[-1].losses == alone[-1].losses).all()  # type: ignore[union-attr]


def test_trial_with_helpers_reports_what_it_would_alone(workers: list[Any]) -> None:
    leader, *helpers = workers
    begin(leader)
    alone = steps(leader, 8)
    begin(leader)
    shared = steps(leader, 1)
    for helper in helpers:  # the second one joins later
        leader.share.remote(helper)
        shared += steps(leader, 3)
    shared += steps(leader, 1)
    assert [(one.last, one.best, one.curve) for one in shared] == [(one.last, one.best, one.curve) for one in alone]
    assert (shared[-1].outcome, alone[-1].outcome) == ("complete", "complete")
    assert (shared[-1].losses == alone[-1].losses).all()  # type: ignore[union-attr]


def test_worker_that_helped_takes_trials_of_its_own(workers: list[Any]) -> None:
    leader, helper, other = workers
    begin(leader)
    leader.share.remote(helper)
    steps(leader, 2)
    begin(helper)
    begin(other)
    assert steps(helper, 2)[-1].curve == steps(other, 2)[-1].curve


def test_divergence_of_a_helper_s_fold_fails_the_trial(workers: list[Any]) -> None:
    leader, helper, _ = workers
    begin(leader)
    leader.share.remote(helper)
    steps(leader, 1)
    state = ray.get(helper.ask_folds.remote("state"))
    wild = {**HYPERPARAMETERS, "learning_rate": 1e30, "gradient_clip": 0.0}
    ray.get(helper.take_folds.remote(wild, [0, 1], state, SLOT.threads))
    (report,) = steps(leader, 1)
    assert (report.outcome, report.traceback) == ("failed", "")
    assert "became" in report.reason


@pytest.mark.parametrize("more", [0, 1])  # than there are folds for
def test_repetition_with_helpers_finds_what_it_would_alone(more: int, workers: list[Any], session: Session) -> None:
    leader, *helpers = workers
    end: Any = SimpleNamespace(hyperparameters=HYPERPARAMETERS, epochs=8, best_epoch=8)
    job = repetition(session, end)
    alone = job(session.task, torch.device("cpu"), [])
    together = ray.get(leader.train.remote(job, 1, helpers + [None] * more))
    assert alone
    assert alone.best.epoch > 1
    assert ray.get(helpers[0].ask_folds.remote("best_forecasts"))[0].equal(alone.forecasts[1])
    assert together.best == alone.best
    for here, there in zip(alone.tallies, together.tallies, strict=True):
        assert torch.equal(here.sums, there.sums)
    assert len(alone.forecasts) == 3
    for here, there in zip(alone.forecasts, together.forecasts, strict=True):
        assert torch.equal(here, there)


def test_lost_helper_is_not_taken_for_a_failed_trial(workers: list[Any]) -> None:
    leader, helper, _ = workers
    begin(leader)
    leader.share.remote(helper)
    steps(leader, 1)
    ray.kill(helper)
    with pytest.raises(ray.exceptions.RayError):
        steps(leader, 1)
