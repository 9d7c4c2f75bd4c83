from typing import Any

import pytest

from lstm_tune.selection.choice import choose
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.errors import SearchFailedError
from lstm_tune.spec.events import TrialEnded, TrialState


def record(trial: int, state: TrialState, score: float | None, **fields: Any) -> TrialRecord:
    values: dict[str, Any] = {
        "reason": "a reason",
        "hyperparameters": {},
        "parameters": 100,
        "standard_error": None,
        "fold_scores": [],
        "train_score": None,
        "gap": None,
        "best_epoch": 1,
        "epochs": 1,
        "seconds": 1.0,
        "violations": [],
    }
    end = TrialEnded(trial=trial, state=state, score=score, **{**values, **fields})
    return TrialRecord(trial, {}, end.parameters, end=end)


def test_best_complete_trial_wins() -> None:
    choice = choose([record(0, "complete", 0.5), record(1, "complete", 0.4), record(2, "pruned", 0.1)])
    assert (choice.end.trial, choice.reason) == (1, "best fold mean")


def test_smaller_network_wins_a_tie() -> None:
    assert choose([record(0, "complete", 0.4), record(1, "complete", 0.4, parameters=50)]).end.trial == 1


def test_trial_stopped_early_wins_where_none_ran_to_its_end() -> None:
    choice = choose([record(0, "pruned", 0.5), record(1, "pruned", 0.4), TrialRecord(2, {}, 100)])
    assert choice.end.trial == 1
    assert choice.reason == "best fold mean of the trials stopped early, as none ran to its end"


def test_failed_trial_never_wins_whatever_it_scored() -> None:
    assert choose([record(0, "failed", 0.1), record(1, "pruned", 0.5)]).end.trial == 1
    with pytest.raises(SearchFailedError, match=r"None of 1 trials reached a score\. The first one's reason: a reason"):
        choose([record(0, "failed", 0.1)])


def test_trial_that_breaks_a_constraint_never_wins() -> None:
    broken = record(0, "complete", 0.1, violations=["gap 0.90 above 0.5"])
    assert choose([broken, record(1, "complete", 0.5)]).end.trial == 1
    with pytest.raises(SearchFailedError, match=r"No trial keeps the constraints \(gap 0\.90 above 0\.5\)\. Loosen"):
        choose([broken])


@pytest.mark.parametrize("records", [[], [TrialRecord(0, {}, 100)], [record(0, "pruned", None)]])
def test_search_without_a_report_asks_for_time(records: list[TrialRecord]) -> None:
    with pytest.raises(SearchFailedError, match=r"Give it more time: --set search\.time_limit"):
        choose(records)
