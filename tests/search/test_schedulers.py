import random
from types import SimpleNamespace

import numpy as np
import pytest
from ray.tune.schedulers import TrialScheduler

from lstm_tune.search.schedulers import SCHEDULERS, build_schedule, changeable, explored
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import SearchSpec
from lstm_tune.spec.space import Choice, Condition, Dimension, Fixed, Range

SPACE: dict[str, Dimension] = {"units": Range(4, 8), "learning_rate": Range(1e-3, 1e-1, log=True)}


def test_schedulers_are_those_of_the_experiment_file() -> None:
    assert set(SCHEDULERS) == set(SearchSpec.model_fields["scheduler"].annotation.__args__)


def test_asha_hears_of_its_rungs() -> None:
    assert build_schedule("asha", max_epochs=200, space=SPACE, seed=0).rungs == {7, 21, 63, 189}
    assert build_schedule("asha", max_epochs=9, space=SPACE, seed=0).rungs == {1, 3}


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_scheduler_takes_a_single_epoch(scheduler: str) -> None:
    assert build_schedule(scheduler, max_epochs=1, space=SPACE, seed=0).rungs <= {1}


def test_only_population_based_training_needs_checkpoints() -> None:
    needing = [name for name in SCHEDULERS if build_schedule(name, max_epochs=9, space=SPACE, seed=0).needs_checkpoints]
    assert needing == ["pbt"]


def test_unknown_scheduler_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"search\.scheduler: 'ahsa' is not a scheduler\. Did you mean 'asha'\?"):
        build_schedule("ahsa", max_epochs=9, space=SPACE, seed=0)


CONTROLLER = SimpleNamespace(get_live_trials=list)


class FakeTrial:
    """What a scheduler sees of a trial."""

    def __init__(self, units: int) -> None:
        self.trial_id, self.config = f"trial{units}", {"hyperparameters": {"units": units}}


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_default_configuration_is_never_stopped_early(scheduler: str) -> None:
    np.random.seed(0)  # hyperband draws each trial's bracket from it
    made = build_schedule(scheduler, max_epochs=27, space={"units": Range(4, 64)}, seed=0).scheduler
    made.set_search_properties("best_score", "min")
    scores = {FakeTrial(units): 1.0 for units in range(10, 19)} | {FakeTrial(8): 9.0, FakeTrial(32): 9.0}
    stopped = set()
    for trial in scores:
        made.on_trial_add(CONTROLLER, trial)
    for epoch in range(1, 27):
        for trial in [trial for trial in scores if trial not in stopped]:
            report = {"epoch": epoch, "best_score": scores[trial], "training_iteration": epoch}
            if made.on_trial_result(CONTROLLER, trial, report) == TrialScheduler.STOP:
                stopped.add(trial)
    names = {trial.trial_id for trial in stopped}
    assert "trial8" in names
    assert "trial32" not in names


def test_population_needs_something_to_change() -> None:
    with pytest.raises(InputError, match=r"the space varies none that can be changed then\. Search learning_rate"):
        build_schedule("pbt", max_epochs=9, space={"units": Range(4, 8), "dropout": Fixed(0.1)}, seed=0)


def test_changeable_leaves_weights_conditions_and_their_parents_alone() -> None:
    space: dict[str, Dimension] = {
        **SPACE,
        "weight_decay": Range(0.0, 0.1),
        "dropout": Range(0.0, 0.5),
        "ema": Choice((0.0, 0.9), when=(Condition("weight_decay", "above", 0.05),)),
    }
    assert changeable(space) == ["learning_rate", "dropout"]


@pytest.mark.parametrize(
    "dimension", [Range(1e-3, 1e-1, log=True), Range(0.0, 0.6, step=0.2), Choice(("mae", "mse")), Range(0.0, 1.0)]
)
def test_explored_values_stay_in_the_dimension_and_vary(dimension: Choice | Range) -> None:
    generator = random.Random(0)
    values = [explored(dimension, dimension.corners[1], generator) for _ in range(100)]
    assert len(set(values)) > 1
    if isinstance(dimension, Choice):
        assert set(values) <= set(dimension.values)
    else:
        assert all(dimension.low <= value <= dimension.high for value in values)
        assert not dimension.step or all(
            value / dimension.step == pytest.approx(round(value / 0.2)) for value in values
        )
