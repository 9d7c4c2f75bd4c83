import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_bundles import write_tiny_bundle

from lstm_tune.search.runner import Run
from lstm_tune.spec.events import BaselineScored, Stamped
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import RunPaths, write_json

Command = Callable[..., Any]
Write = Callable[..., Path]

NEWER = "ds,y\n2003-05-01,14\n2003-06-01,15.1\n"
PROBE = """
import sys
from lstm_tune.cli.main import main
try:
    main()
finally:
    print(sys.modules.keys() & {"ray", "optuna"})
"""


@pytest.fixture
def begin(experiment: Write) -> Callable[..., RunPaths]:
    """Makes a run of 40 months that has a model, but was never searched."""

    def made(**changes: Any) -> RunPaths:
        space = experiment(**changes)
        paths = Run.create(load_experiment(space), folder=space.parent).paths
        write_tiny_bundle(paths.bundle)
        write_json(paths.verdict, {"expected": 1.5, "low": 1.0, "high": 1e6, "baseline": "last value"})
        scored = [BaselineScored("last value", 1.0, None), BaselineScored("ridge", 2.0, None)]
        paths.events.write_text("".join(f"{Stamped(0.0, event).to_json()}\n" for event in scored))
        return paths

    return made


def test_scores_stand_beside_the_baselines_and_the_claim(lstm_tune: Command, begin: Callable[..., RunPaths]) -> None:
    paths = begin()
    first, second = (lstm_tune("evaluate", paths.root) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    shown = " ".join(first.out.split())
    assert shown.startswith("the test part: 3 steps, 2003-02-01 to 2003-04-01 mase smape mae rmse rmsse")
    assert all(name in shown for name in ("the model", "last value", "ridge"))
    assert "The run expected 1.5 (80 % interval 1 to 1e+06, approximate);" in shown
    assert "lies inside it. The model beside last value, the best baseline in validation (" in shown
    assert "look 2" not in first.out
    assert "This is look 2 at the test part: choices made after the first look make it optimistic." in second.out


def test_newer_rows_are_scored_as_json(lstm_tune: Command, begin: Callable[..., RunPaths], tmp_path: Path) -> None:
    (tmp_path / "newer.csv").write_text(NEWER)
    ended = lstm_tune("evaluate", begin().root, tmp_path / "newer.csv", "--json")
    told = json.loads(ended.out)
    assert (told["part"], told["look"], told["steps"], told["first"]) == ("new data", 1, 2, "2003-05-01")
    assert told["baselines"]["last value"]["mae"] == pytest.approx((16.9 - 14 + 16.9 - 15.1) / 2)
    assert told["score"] == told["metrics"]["mase"]
    assert told["is_as_claimed"] is (1.0 <= told["score"] <= 1e6)


def test_look_at_a_remote_run_is_written_down_there(
    lstm_tune: Command, begin: Callable[..., RunPaths], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, elsewhere = f"file://{tmp_path}/remote", tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(tmp_path)
    paths = begin(output__directory=directory)
    address = f"{directory}/{paths.root.name}"
    assert lstm_tune("upload", paths.root).out == f"copied: {address}\n"
    monkeypatch.chdir(elsewhere)
    looks = [json.loads(lstm_tune("evaluate", address, "--json").out)["look"] for _ in range(2)]
    ledger = json.loads((tmp_path / "remote" / paths.root.name / "test_ledger.json").read_text())
    assert looks == [look["look"] for look in ledger] == [1, 2]
    assert not paths.test_ledger.exists()
    assert (elsewhere / "runs" / paths.root.name / "best").is_dir()


def test_what_cannot_be_scored_is_told(lstm_tune: Command, begin: Callable[..., RunPaths], tmp_path: Path) -> None:
    assert "is not a run" in lstm_tune("evaluate", tmp_path).err
    paths = begin(validation__test=0)
    ended = lstm_tune("evaluate", paths.root)
    assert (ended.code, ended.out) == (2, "")
    assert "kept no test part (validation.test is 0). Score newer rows instead" in ended.err
    (tmp_path / "other.csv").write_text("ds,z\n2003-05-01,14\n")
    assert "must hold a column 'y', but has none" in lstm_tune("evaluate", paths.root, tmp_path / "other.csv").err
    assert (
        "must hold rows after the last that the run knew" in lstm_tune("evaluate", paths.root, tmp_path / "a.csv").err
    )
    assert not paths.test_ledger.exists()


def test_run_without_a_model_is_told_how_to_get_one(lstm_tune: Command, begin: Callable[..., RunPaths]) -> None:
    paths = begin()
    paths.bundle.rename(paths.root / "gone")
    ended = lstm_tune("evaluate", paths.root)
    assert (ended.code, ended.out) == (2, "")
    assert f"is a run without a model yet. Finish it: lstm-tune resume {paths.root}" in ended.err


def test_evaluation_needs_neither_ray_nor_optuna(begin: Callable[..., RunPaths]) -> None:
    command = [sys.executable, "-c", PROBE, "evaluate", str(begin().root), "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout.splitlines()[-1]) == (0, "set()"), ended.stderr
