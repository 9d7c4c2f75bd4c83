import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from search_setup import ended

from lstm_tune.search import process
from lstm_tune.search.importances import importances, write_importances
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import Warned
from lstm_tune.spec.paths import RunPaths
from lstm_tune.spec.space import parse_space

RAW = {
    "units": {"low": 4, "high": 64, "log": True},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "window": [6, 12],
    "recurrent_dropout": {"low": 0.0, "high": 0.5, "when": {"units": {"above": 16}}},
}
SPACE, _ = parse_space(RAW, task="forecast")


def records(number: int) -> list[TrialRecord]:
    """Trials whose score is their learning rate and nothing else."""
    draw, found = random.Random(0), []
    for trial in range(number):
        units, rate = draw.randint(4, 64), 10 ** draw.uniform(-4, -1)
        values: dict[str, Any] = {"units": units, "learning_rate": rate, "window": draw.choice([6, 12])}
        if units > 16:
            values["recurrent_dropout"] = draw.uniform(0.0, 0.5)
        end = ended(trial, score=rate, hyperparameters=values)
        found.append(TrialRecord(trial, values, 100, end=end))
    return found


def test_what_decides_the_score_is_the_most_important() -> None:
    shares = importances(SPACE, records(60))
    assert next(iter(shares)) == "learning_rate"
    assert shares["learning_rate"] > 0.5
    assert abs(sum(shares.values()) - 1) < 1e-9


def test_a_hyperparameter_that_is_not_always_active_is_judged_too() -> None:
    assert set(importances(SPACE, records(40))) == set(RAW)


def test_few_trials_say_nothing() -> None:
    assert importances(SPACE, records(9)) == {}
    assert importances(SPACE, []) == {}


def test_equal_scores_do_not_fail() -> None:
    same = [TrialRecord(i, {"units": 8}, 1, end=ended(i, hyperparameters={"units": 8})) for i in range(12)]
    assert all(share >= 0 for share in importances(SPACE, same).values())


def test_they_are_kept_in_the_run(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    write_importances(paths, SPACE, records(40))
    assert sum(json.loads(paths.importances.read_text()).values()) > 0.99


def test_a_run_goes_on_where_they_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "write_importances", lambda *arguments: 1 / 0)
    recorded: list[object] = []
    session = SimpleNamespace(paths=None, prepared=SimpleNamespace(space={}), records=dict, record=recorded.append)
    process._weigh_hyperparameters(session)  # type: ignore[arg-type]
    assert recorded == [Warned("The hyperparameters' importances are not known: ZeroDivisionError: division by zero")]
