import json
from dataclasses import replace
from pathlib import Path

import pytest

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.ledger import Look, later_look, write_look
from lstm_tune.spec.paths import RunPaths

LOOK = Look("run", "test", "mase", {"mase": 0.5, "mae": 2.0}, {"ridge": 0.6})


def test_looks_are_numbered_within_their_part(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    newer = replace(LOOK, by="evaluate", part="new data", data={"path": "a.csv", "sha256": "0", "rows": 3})
    numbers = [write_look(paths, look) for look in (LOOK, newer, replace(LOOK, by="evaluate"), newer)]
    assert numbers == [1, 1, 2, 2]
    kept = json.loads(paths.test_ledger.read_text())
    assert [(look["part"], look["by"], look["look"]) for look in kept] == [
        ("test", "run", 1),
        ("new data", "evaluate", 1),
        ("test", "evaluate", 2),
        ("new data", "evaluate", 2),
    ]
    assert (kept[0]["metrics"], kept[0]["baselines"]) == ({"mase": 0.5, "mae": 2.0}, {"ridge": 0.6})
    assert kept[0]["at"].endswith("+00:00")
    assert "data" not in kept[0]
    assert kept[1]["data"] == {"path": "a.csv", "sha256": "0", "rows": 3}


def test_only_a_later_look_is_warned_of() -> None:
    assert later_look(1) is None
    told = later_look(2)
    assert told == "This is look 2 at the test part: choices made after the first look make it optimistic."


def test_damaged_ledger_is_not_written_over(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    paths.test_ledger.write_text("[{")
    with pytest.raises(InputError, match=r"is damaged, so it is not known how often .*\. Restore it"):
        write_look(paths, LOOK)
    assert paths.test_ledger.read_text() == "[{"


def test_look_that_cannot_be_written_down_is_not_taken(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="could not be written down and is not taken"):
        write_look(RunPaths(tmp_path / "nowhere"), LOOK)
