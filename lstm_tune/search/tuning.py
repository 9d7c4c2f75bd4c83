"""The search itself: trials over the study, until a budget, a limit or the user ends it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.search.crew import Crew
from lstm_tune.search.placement import Placement
from lstm_tune.search.pool import Pool
from lstm_tune.search.race import Race
from lstm_tune.search.schedulers import Schedule
from lstm_tune.search.searcher import StudySearcher
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.study import Study
from lstm_tune.search.worker import TrialSettings
from lstm_tune.spec.events import Event, SearchEnded
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.spec.space import Space
from lstm_tune.tasks.forecast import ForecastTask


@dataclass(frozen=True)
class Search:
    """What a search needs.

    Attributes:
        task: the question.
        settings: what trials share.
        space: what is searched.
        study: proposes and is told.
        schedule: stops poor trials.
        placement: what a trial occupies, and how many run at once.
        shared: how many trials, the first ones, are trained by several workers.
        begins_here: whether this process may train such a one, while workers start.
        is_race: whether these take turns, so that the best of them at the first rung ends first.
        largest_live: trials that may be under way at once.
        budget: trials to start.
        gap_at_most: constraint on the generalisation gap, or None.
        scratch: folder or address where Tune may write; removed by the caller.
        log_failure: keeps the traceback of a failed trial.
        keep_losses: keeps the out-of-fold losses of a complete trial.
        forget: removes what a trial kept while it was under way.
        crew: takes over the workers that are idle at the end.
    """

    task: ForecastTask
    settings: TrialSettings
    space: Space
    study: Study
    schedule: Schedule
    placement: Placement
    shared: int
    begins_here: Callable[[Hyperparameters], bool]
    is_race: bool
    largest_live: int
    budget: int
    gap_at_most: float | None
    scratch: str
    log_failure: Callable[[int, str], None]
    keep_losses: Callable[[int, NDArray[np.float64]], None]
    forget: Callable[[int], None]
    crew: Crew


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
    with stop.listening():
        _train(search, searcher, stop)
        searcher.close()
    reason = stop.reason or ("the space is exhausted" if searcher.is_exhausted else "all trials ran")
    record(SearchEnded(reason, stop.interrupted))


def _train(search: Search, searcher: StudySearcher, stop: StopRule) -> None:
    task, settings, placement = search.task, search.settings, search.placement
    if not search.schedule.needs_checkpoints:
        race = Race(search.schedule, max_epochs=settings.max_epochs, stop=stop) if search.is_race else None
        Pool(
            task,
            settings,
            searcher,
            search.schedule,
            usual=[slot for slot, _ in placement.kinds],
            shared=search.shared,
            helpers=len(task.split.folds) - 1,
            begins_here=search.begins_here,
            race=race,
            stop=stop,
            crew=search.crew,
        ).run()
        return
    from lstm_tune.search.population import train_population  # Ray Tune takes a second and a half to import

    train_population(task, settings, searcher, search.space, slots=placement.slots, scratch=search.scratch, stop=stop)
