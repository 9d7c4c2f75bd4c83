import pytest

from lstm_tune.search.schedulers import SCHEDULERS, Halving, Median, build_schedule
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import SearchSpec
from lstm_tune.spec.space import Dimension, Fixed, Range

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


def stopped(scheduler: str, scores: dict[int, float]) -> set[int]:
    """The trials, by their units, that are stopped within 26 epochs with a score that never changes."""
    made = build_schedule(scheduler, max_epochs=27, space={"units": Range(4, 64)}, seed=0)
    ended: set[int] = set()
    for epoch in range(1, 27):
        for units in [units for units in scores if units not in ended]:
            if not made.goes_on(units, {"units": units}, epoch, scores[units]):
                ended.add(units)
    return ended


@pytest.mark.parametrize("scheduler", ["asha", "hyperband", "median"])
def test_default_configuration_is_never_stopped_early(scheduler: str) -> None:
    ended = stopped(scheduler, dict.fromkeys(range(10, 19), 1.0) | {8: 9.0, 32: 9.0})
    assert 8 in ended
    assert 32 not in ended


def test_no_scheduler_stops_nobody() -> None:
    assert stopped("none", {8: 9.0, 9: 1.0, 10: 5.0}) == set()


def test_halving_lets_the_best_third_of_those_before_go_on() -> None:
    halving = Halving([[2, 6]])
    scores = {0: 5.0, 1: 4.0, 2: 4.7, 3: 4.5, 4: 3.0}
    assert [trial for trial, score in scores.items() if halving.goes_on(trial, 2, score)] == [0, 1, 4]
    assert halving.goes_on(3, 3, 4.5)  # decided once a rung
    assert [halving.goes_on(trial, 6, scores[trial]) for trial in (4, 1)] == [True, False]


def test_halving_takes_a_late_report_for_the_last_rung_passed() -> None:
    halving = Halving([[2, 6]])
    assert halving.goes_on(0, 7, 1.0)
    assert not halving.goes_on(1, 6, 2.0)


def test_hyperband_assigns_most_trials_to_the_bracket_that_stops_first() -> None:
    made = build_schedule("hyperband", max_epochs=27, space=SPACE, seed=0)
    first = [trial for trial in range(300) if not made.goes_on(trial, {}, 1, 1.0 + trial)]
    assert 180 < len(first) < 220  # e² of e² + e + 1, or 66 %


def test_judge_remembers_the_trials_of_earlier_processes() -> None:
    made = build_schedule("asha", max_epochs=54, space=SPACE, seed=0)
    curve = [[float(epoch), score, 0.0] for epoch, score in enumerate((1.0, 3.0, 3.0, 0.5), start=1)]
    made.remember([TrialRecord(0, {}, 1, reports={2: 3.0, 4: 0.5}, curve=curve)])
    assert not made.goes_on(1, {}, 2, 1.1)  # the best until epoch 2 is what counts there
    assert made.goes_on(2, {}, 2, 0.9)


def test_median_waits_for_three_others() -> None:
    rule = Median(first=1)
    assert [rule.goes_on(trial, 1, score) for trial, score in enumerate((1.0, 2.0, 3.0, 4.0, 2.0))] == [
        *(True, True, True, False, True)
    ]


def test_population_needs_something_to_change() -> None:
    with pytest.raises(InputError, match=r"the space varies none that can be changed then\. Search learning_rate"):
        build_schedule("pbt", max_epochs=9, space={"units": Range(4, 8), "dropout": Fixed(0.1)}, seed=0)
