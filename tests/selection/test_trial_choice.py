from typing import Any

import numpy as np
import pytest

from lstm_tune.selection.choice import candidates, choose
from lstm_tune.selection.out_of_fold import OutOfFold
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


def losses(rows: dict[int, list[float]]) -> OutOfFold:
    """One series with a block a fold."""
    blocks = len(next(iter(rows.values()), []))
    sums = np.array(list(rows.values())).reshape(len(rows), blocks)
    positions = np.arange(blocks)
    return OutOfFold(np.array(list(rows), int), sums, np.ones_like(sums), positions, np.zeros(blocks, int), positions)


def test_best_complete_trial_wins() -> None:
    ends = candidates([record(0, "complete", 0.5), record(1, "complete", 0.4), record(2, "pruned", 0.1)])
    assert [end.trial for end in ends] == [1, 0]


def test_smaller_network_wins_a_tie() -> None:
    assert candidates([record(0, "complete", 0.4), record(1, "complete", 0.4, parameters=50)])[0].trial == 1


def test_trial_stopped_early_wins_where_none_ran_to_its_end() -> None:
    ends = candidates([record(0, "pruned", 0.5), record(1, "pruned", 0.4), TrialRecord(2, {}, 100)])
    choice = choose(ends, losses({}), rule="one-se", finish=np.abs)
    assert choice.end.trial == 1
    assert choice.reason == "the best fold mean, stopped early, as no trial ran to its end"


def test_the_rule_may_prefer_a_smaller_network() -> None:
    ends = candidates([record(0, "complete", 1.0), record(1, "complete", 1.01, parameters=10)])
    blocks = losses({0: [1.0, 1.2, 0.8, 1.0, 1.1, 0.9], 1: [1.1, 1.0, 0.9, 1.1, 1.0, 0.96]})
    assert choose(ends, blocks, rule="best", finish=np.abs).end.trial == 0
    assert choose(ends, blocks, rule="one-se", finish=np.abs).end.trial == 1


def test_failed_trial_never_wins_whatever_it_scored() -> None:
    assert [end.trial for end in candidates([record(0, "failed", 0.1), record(1, "pruned", 0.5)])] == [1]
    with pytest.raises(SearchFailedError, match=r"ended with a score that counts\. The first failure: a reason"):
        candidates([record(0, "failed", 0.1)])


def test_trial_that_breaks_a_constraint_never_wins() -> None:
    broken = record(0, "complete", 0.1, violations=["gap 0.90 above 0.5"])
    assert [end.trial for end in candidates([broken, record(1, "complete", 0.5)])] == [1]
    with pytest.raises(SearchFailedError, match=r"No trial keeps the constraints \(gap 0\.90 above 0\.5\)\. Loosen"):
        candidates([broken])


@pytest.mark.parametrize("records", [[], [TrialRecord(0, {}, 100)], [record(0, "pruned", None)]])
def test_search_without_a_report_asks_for_time(records: list[TrialRecord]) -> None:
    with pytest.raises(SearchFailedError, match=r"Give it more time: --set search\.time_limit"):
        candidates(records)
