import optuna
import pytest
from search_setup import ended

from lstm_tune.search import model
from lstm_tune.search.model import Model
from lstm_tune.search.proposals import distribution, suggest
from lstm_tune.spec.space import Dimension, Range

SPACE: dict[str, Dimension] = {"units": Range(4, 64)}


@pytest.fixture(autouse=True)
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BEST": 2, "LATEST": 3, "MOST": 10}.items():
        monkeypatch.setattr(model, name, value)


def known(made: Model) -> list[optuna.trial.FrozenTrial]:
    return made._study.get_trials(deepcopy=False)


def begun(made: Model, number: int, units: int) -> None:
    trial = made.ask({"units": units})
    suggest(trial, SPACE)
    made.begin(number, trial)


def run(made: Model, numbers: range, *, worst_first: bool = True) -> None:
    for number in numbers:
        begun(made, number, 4 + number)
        made.tell(ended(number, score=float(100 - number if worst_first else number)), {})


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_best_and_latest_trials_are_kept(sampler: str) -> None:
    made = Model(SPACE, sampler, seed=0)
    run(made, range(10), worst_first=False)
    assert [trial.value for trial in known(made)] == [0.0, 1.0, 7.0, 8.0, 9.0]


def test_samplers_whose_state_lies_in_trials_forget_none() -> None:
    made = Model(SPACE, "nsga2", seed=0)
    run(made, range(12))
    assert len(known(made)) == 12


def test_trial_that_ran_while_others_were_forgotten_is_known_by_its_end() -> None:
    made = Model(SPACE, "tpe", seed=0)
    begun(made, 0, 50)
    made.report(0, 1, 7.0)
    run(made, range(1, 11))
    assert 50 not in [trial.params["units"] for trial in known(made)]
    made.tell(ended(0, score=0.5), {"gap": 0.25})
    last = known(made)[-1]
    assert (last.params, last.value, last.intermediate_values) == ({"units": 50}, 0.5, {1: 7.0})
    assert last.constraints == {"gap": 0.25}


def test_trials_of_an_earlier_process_are_learned_from_like_those_of_this_one() -> None:
    made = Model(SPACE, "tpe", seed=0)
    as_in_the_journal = {"units": distribution(SPACE["units"])}
    made.add(0, optuna.trial.create_trial(value=1.0, params={"units": 50}, distributions=as_in_the_journal))
    run(made, range(1, 2))
    earlier, later = known(made)
    assert earlier.distributions == later.distributions


def test_infeasible_trials_are_forgotten_first() -> None:
    made = Model(SPACE, "tpe", seed=0)
    for number in range(10):
        begun(made, number, 4 + number)
        made.tell(ended(number, score=float(number)), {"gap": 1.0 if number < 2 else -1.0})
    assert [trial.value for trial in known(made)] == [2.0, 3.0, 7.0, 8.0, 9.0]


def test_twin_of_a_complete_trial_counts_like_it_even_after_that_was_forgotten() -> None:
    made = Model(SPACE, "tpe", seed=0)
    run(made, range(10))
    made.settle_twin(made.ask({"units": 6}), 2)
    assert known(made)[-1].value == 98.0
