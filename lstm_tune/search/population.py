"""Population based training, by Ray Tune's controller: trials are paused and copied, their hyperparameters changed."""

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from ray import tune
from ray.tune import CheckpointConfig, Stopper
from ray.tune.schedulers import PopulationBasedTraining
from ray.tune.search import Searcher

from lstm_tune.models.problem import Task
from lstm_tune.search.cluster import environment
from lstm_tune.search.proposals import changeable, clipped
from lstm_tune.search.schedulers import interval_of
from lstm_tune.search.searcher import StudySearcher
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.worker import Order, Report, TrialSettings, TrialWorker
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.space import Choice, Fixed, Range, Space
from lstm_tune.tasks.forecast import ForecastTask

RESAMPLED = 0.25
"""Share of the changes that draw a new value; the others take a step of a fifth, or none in a list (Jaderberg et al.
2017, section 4; the figures are Ray's defaults)."""

FILE = "state"
"""The one file of a checkpoint that Tune keeps, and that is copied."""

TIME, METRIC = "epoch", "best_score"
"""The fields of a result that Tune reads."""


def train_population(
    task: ForecastTask,
    settings: TrialSettings,
    searcher: StudySearcher,
    space: Space,
    *,
    slots: int,
    scratch: str,
    stop: StopRule,
) -> None:
    """Trains trials by population based training, until there is none left or `stop` has a reason.

    Args:
        task: the question; workers share one copy.
        settings: what trials share.
        searcher: proposes each member's first configuration, and is told.
        space: what may change.
        slots: trials that run at once.
        scratch: folder or address where Tune may write.
        stop: limits and interruption.
    """
    trainable = tune.with_parameters(LstmTrainable, task=task, settings=settings)
    # Tune would start its workers one after the other.
    with _seeded(settings.seed), environment({"TUNE_MAX_PENDING_TRIALS_PG": str(slots)}):
        try:
            tune.run(
                tune.with_resources(trainable, _placed),
                name="tune",
                storage_path=scratch,
                num_samples=-1,
                search_alg=_Searcher(searcher),
                scheduler=_population(space, max_epochs=settings.max_epochs, seed=settings.seed),
                stop=_Stopper(stop),
                reuse_actors=True,
                checkpoint_config=CheckpointConfig(checkpoint_at_end=False, num_to_keep=None),
                raise_on_failed_trial=False,
                verbose=0,
            )
        finally:
            if stop.failure:  # Tune hands on its text, or nothing
                raise stop.failure


class LstmTrainable(tune.Trainable):  # type: ignore[misc]
    """A `TrialWorker`; Tune's configuration holds its `Order`, of which a population changes the hyperparameters."""

    def setup(self, config: dict[str, Any], task: Task, settings: TrialSettings) -> None:
        """Begins the first trial; `task` and `settings` come from the object store."""
        self._worker = TrialWorker(task, settings)
        self._worker.begin(config["order"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begins another trial in the same process."""
        self._worker.begin(new_config["order"])
        return True

    def step(self) -> dict[str, Any]:
        """Trains until the trial's next report."""
        report = self._worker.step()
        score = report.best.score if report.best else math.inf
        return {TIME: report.epoch, METRIC: score, "report": report, "done": report.outcome is not None}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Writes the state of all folds, without pickle, for another member of a population."""
        (Path(checkpoint_dir) / FILE).write_bytes(self._worker.checkpoint().to_bytes())

    def load_checkpoint(self, checkpoint_dir: str) -> None:
        """Goes on from a state, perhaps another trial's."""
        self._worker.go_on_from((Path(checkpoint_dir) / FILE).read_bytes())


class _Searcher(Searcher):  # type: ignore[misc]
    """The study's searcher in Tune's form."""

    def __init__(self, searcher: StudySearcher) -> None:
        super().__init__(metric=METRIC, mode="min")
        self._searcher = searcher

    def suggest(self, trial_id: str) -> Any:
        order = self._searcher.suggest(trial_id)
        if order is None:
            return Searcher.FINISHED if self._searcher.is_finished else None
        return {"order": order}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        self._searcher.reported(trial_id, result["report"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        report: Report | None = None if error or result is None else result.get("report")
        if report is None:
            self._searcher.died(trial_id)
        else:
            self._searcher.ended(trial_id, report)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the run's events are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed run replays its events."""


class _Population(PopulationBasedTraining):  # type: ignore[misc]
    """Ray's, together with a searcher: the study proposes each member's first configuration."""

    def on_trial_add(self, tune_controller: Any, trial: Any) -> None:
        """Ray refuses searchers here, as it cannot tell them what was changed; our reports carry the configuration."""
        super().on_trial_add(SimpleNamespace(search_alg=None), trial)


def _population(space: Space, *, max_epochs: int, seed: int) -> _Population:
    names, generator = changeable(space), random.Random(seed)

    def explore(config: dict[str, Any]) -> dict[str, Any]:
        order: Order = config["order"]
        values = order.hyperparameters
        changed = {name: explored(space[name], values[name], generator) for name in names}
        return config | {"order": replace(order, hyperparameters=values | changed)}

    return _Population(
        time_attr=TIME,
        metric=METRIC,
        mode="min",
        perturbation_interval=interval_of(max_epochs),
        custom_explore_fn=explore,
        log_config=False,
    )


def explored(dimension: Choice | Range | Fixed, value: Value, generator: random.Random) -> Value:
    """A value near another one or, now and then, anywhere in the dimension."""
    anywhere = generator.random() < RESAMPLED
    if isinstance(dimension, Choice):
        return generator.choice(dimension.values) if anywhere else value
    assert isinstance(dimension, Range), "a fixed value is never explored"
    if not anywhere:
        return clipped(dimension, float(value) * generator.choice((0.8, 1.2)))
    if dimension.log:
        return clipped(dimension, math.exp(generator.uniform(math.log(dimension.low), math.log(dimension.high))))
    return clipped(dimension, generator.uniform(dimension.low, dimension.high))


def _placed(config: dict[str, Any]) -> Any:
    """What a trial occupies, in Tune's form."""
    return tune.PlacementGroupFactory([config["order"].slot.request])


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seeds the global generators, which Ray's scheduler draws from, and puts them back."""
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
