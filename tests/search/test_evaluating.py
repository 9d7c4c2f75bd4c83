import json
import math
from pathlib import Path

import pytest
from search_setup import events_of, go

from lstm_tune.search.evaluating import look_at
from lstm_tune.search.runner import Run
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import Warned

pytestmark = pytest.mark.usefixtures("shared_ray")


def waves(folder: Path, name: str, first: int, last: int) -> str:
    """The tiny experiment's wave from one step to another, as a table with times."""
    rows = [f"{step},{10 + 3 * math.sin(step / 2) + 0.1 * (step % 5):.4f}" for step in range(first, last)]
    (folder / name).write_text("\n".join(["step,y", *rows]) + "\n")
    return str(folder / name)


def test_run_is_looked_at_again_and_each_look_is_kept(folder: Path) -> None:
    run, outcome, _ = go(folder, search={"trials": 2}, data={"time": "step"})
    again = look_at(run.paths, None)
    assert again.evaluation.score == outcome.test_score
    assert {name: scores["mae"] for name, scores in again.evaluation.baselines.items()} == outcome.baselines
    assert (again.evaluation.first, again.evaluation.last) == ("57", "59")
    assert (again.look, again.sentences[0][:40]) == (2, "This is look 2 at the test part: choices")

    newer = look_at(run.paths, waves(folder, "newer.csv", 60, 68))
    whole = look_at(run.paths, waves(folder, "whole.csv", 0, 68))
    assert newer.evaluation == whole.evaluation
    assert (newer.look, newer.evaluation.steps, newer.evaluation.forecasts) == (1, 8, 3)
    assert not any("look" in sentence for sentence in newer.sentences)

    looks = json.loads(run.paths.test_ledger.read_text())
    assert [(look["by"], look["part"], look["look"]) for look in looks] == [
        ("run", "test", 1),
        ("evaluate", "test", 2),
        ("evaluate", "new data", 1),
        ("evaluate", "new data", 2),
    ]
    assert looks[0]["metrics"] == looks[1]["metrics"]
    assert looks[2]["data"]["rows"] == 8
    assert len(looks[2]["data"]["sha256"]) == 64

    waves(folder, "sine.csv", 0, 68)
    with pytest.raises(InputError, match="has changed since the run, or is gone, so its test part is not what it was"):
        look_at(run.paths, None)
    assert look_at(run.paths, str(folder / "sine.csv")).evaluation == whole.evaluation
    with pytest.raises(InputError, match="must hold the history up to 59 too"):
        look_at(run.paths, str(folder / "newer.csv"))


def test_run_that_goes_on_after_its_test_says_that_it_looks_again(folder: Path) -> None:
    run, _, _ = go(folder, search={"trials": 1})
    Run.reopen(run.paths.root, overrides=["search.trials=2"]).go()
    looks = json.loads(run.paths.test_ledger.read_text())
    assert [(look["by"], look["look"]) for look in looks] == [("run", 1), ("resume", 2)]
    warned = [event.message for event in events_of(run) if isinstance(event, Warned)]
    assert "This is look 2 at the test part: choices made after the first look make it optimistic." in warned
