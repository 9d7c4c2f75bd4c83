"""The search itself: Ray Tune over the study, until a budget, a limit or the user ends it."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray import tune
from ray.tune import CheckpointConfig, Stopper

from lstm_tune.search.cluster import environment
from lstm_tune.search.placement import Placement
from lstm_tune.search.schedulers import Schedule
from lstm_tune.search.searcher import StudySearcher
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.study import Study
from lstm_tune.search.trainable import LstmTrainable, TrialSettings
from lstm_tune.spec.events import Event, SearchEnded
from lstm_tune.tasks.forecast import ForecastTask


@dataclass(frozen=True)
class Search:
    """What a search needs.

    Attributes:
        task: the question.
        settings: what trials share.
        study: proposes and is told.
        schedule: stops poor trials.
        placement: what a trial occupies, and how many run at once.
        largest_live: trials that may be under way at once.
        budget: trials to start.
        gap_at_most: constraint on the generalisation gap, or None.
        scratch: folder or address where Tune may write; removed by the caller.
        log_failure: keeps the traceback of a failed trial.
        keep_losses: keeps the out-of-fold losses of a complete trial.
        forget: removes what a trial kept while it was under way.
    """

    task: ForecastTask
    settings: TrialSettings
    study: Study
    schedule: Schedule
    placement: Placement
    largest_live: int
    budget: int
    gap_at_most: float | None
    scratch: str
    log_failure: Callable[[int, str], None]
    keep_losses: Callable[[int, NDArray[np.float64]], None]
    forget: Callable[[int], None]


def tune_trials(search: Search, record: Callable[[Event], None], stop: StopRule) -> None:
    """Runs trials until the budget is used up, the space is exhausted, or `stop` has a reason.

    Args:
        search: what to run.
        record: takes the events; the last one is `SearchEnded`.
        stop: limits and interruption.
    """
    searcher = StudySearcher(
        search.study,
        record,
        stop,
        placement=search.placement,
        budget=search.budget,
        largest_live=search.largest_live,
        log_failure=search.log_failure,
        keep_losses=search.keep_losses,
        forget=search.forget,
        gap_at_most=search.gap_at_most,
    )
    trainable = tune.with_parameters(LstmTrainable, task=search.task, settings=search.settings)
    pending = {
        "TUNE_MAX_PENDING_TRIALS_PG": str(search.placement.slots)
    }  # else workers are started one after the other
    with stop.listening(), _seeded(search.settings.seed), environment(pending):
        try:
            tune.run(
                tune.with_resources(trainable, lambda config: tune.PlacementGroupFactory([config["request"]])),
                name="tune",
                storage_path=search.scratch,
                num_samples=-1,
                search_alg=searcher,
                scheduler=search.schedule.scheduler,
                stop=_Stopper(stop),
                reuse_actors=True,
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False, num_to_keep=None),
                raise_on_failed_trial=False,
                verbose=0,
            )
        finally:
            if stop.failure:  # Tune hands on its text, or nothing
                raise stop.failure
        searcher.close()
    reason = stop.reason or ("the space is exhausted" if searcher.is_exhausted else "all trials ran")
    record(SearchEnded(reason, stop.interrupted))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators, which Ray's schedulers draw from, and puts them back."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


class _Stopper(Stopper):  # type: ignore[misc]
    """Asks the stop rule after every event of the controller."""

    def __init__(self, stop: StopRule) -> None:
        self._stop = stop

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._stop.reason is not None
