import json
from pathlib import Path
from statistics import fmean

import numpy as np
import polars as pl
import pytest
from search_setup import events_of, go, new_run

from lstm_tune.search.nested import OuterFold, announcement, fold_experiment, fold_rows, outer_folds
from lstm_tune.search.runner import Run
from lstm_tune.spec.errors import SearchFailedError
from lstm_tune.spec.events import NestedReported, RunEnded, VerdictReached, Warned, read_events
from lstm_tune.tasks.assembly import Prepared, assemble

NESTED = {"test": 3, "folds": 2, "nested": True}


def planned(run: Run, *, is_derived: bool = False) -> list[tuple[int, list[int], int]]:
    folds = outer_folds(run.experiment, run.prepared, is_derived=is_derived)
    return [(fold.number, fold.ends.tolist(), fold.folds) for fold in folds]


def test_each_fold_becomes_the_end_of_a_table_of_its_own(folder: Path) -> None:
    # 57 steps of development, blocks of 9: before the blocks lie 39 and 48 steps, 40 % of which hold 1 and 2 blocks
    assert planned(new_run(folder, validation=NESTED)) == [(1, [48], 1), (2, [57], 2)]


def test_fold_without_room_for_a_search_before_it_is_left_out(folder: Path) -> None:
    # before the blocks of 12 lie 9, 21, 33 and 45 steps, and a window of 6 must be left beside a block
    run = new_run(folder, validation={**NESTED, "folds": 4, "block": 12})
    assert planned(run) == [(2, [33], 1), (3, [45], 2), (4, [57], 3)]


def test_derived_space_asks_for_no_window(folder: Path) -> None:
    # before the blocks of 9 lie 21, 30, 39 and 48 steps
    run = new_run(folder, validation={**NESTED, "folds": 4, "block": 9}, space={"units": 4, "window": 14})
    assert [fold[0] for fold in planned(run)] == [2, 3, 4]
    assert [fold[0] for fold in planned(run, is_derived=True)] == [1, 2, 3, 4]


def test_announcement_says_how_long_it_takes(folder: Path) -> None:
    run = new_run(folder, validation=NESTED, search={"time_limit": 60.0})
    assert "expect up to 3 times the time, 180 s of searching at most." in announcement(run.experiment)


def fold_of(run: Run, folder: Path, *, is_derived: bool) -> Prepared:
    """What the search of the first outer fold sees."""
    fold: OuterFold = outer_folds(run.experiment, run.prepared, is_derived=is_derived)[0]
    folder.mkdir()
    fold_rows(run.experiment, run.prepared, fold, folder=folder).write_parquet(folder / "data.parquet")
    block = run.prepared.task.split.block
    return assemble(fold_experiment(run.experiment, fold, block=block, is_derived=is_derived), folder=folder)


def test_later_rows_never_reach_an_outer_fold(folder: Path) -> None:
    seen = []
    for scale in (1.0, -1e4):
        run = new_run(folder, validation=NESTED)
        changed = pl.when(pl.col("step") >= 48).then(scale * pl.col("y")).otherwise(pl.col("y"))
        pl.read_csv(folder / "sine.csv").with_columns(changed).write_csv(folder / "sine.csv")
        run = Run.create(run.experiment.model_copy(update={"space": None}), folder=folder)
        seen.append(fold_of(run, folder / f"fold {scale}", is_derived=True))
    one, other = seen
    assert one.space == other.space
    assert (one.task.design, one.warnings) == (other.task.design, other.warnings)
    np.testing.assert_array_equal(one.panel.target, other.panel.target)
    assert one.panel.histories.tolist() == [48]
    test = one.task.split.test
    assert (test.starts.tolist(), test.ends.tolist()) == ([39], [48])


@pytest.mark.usefixtures("shared_ray")
def test_stopped_nested_run_goes_on_where_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(folder, validation=NESTED, search={"trials": 2})
    run_fold = Run._run_fold

    def stop_in_the_second(experiment: object, paths: object) -> float | None:
        if "fold-2" in str(paths):
            raise KeyboardInterrupt
        return run_fold(experiment, paths)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "_run_fold", staticmethod(stop_in_the_second))
    assert run.go().interrupted
    first = run.paths.nested_fold(1)
    before = first.events.read_bytes()
    monkeypatch.setattr(Run, "_run_fold", staticmethod(run_fold))
    assert not Run.reopen(run.paths.root).go().interrupted

    assert first.events.read_bytes() == before
    events = events_of(run)
    reported = [(event.done, event.total) for event in events if isinstance(event, NestedReported)]
    assert reported == [(0, 2), (1, 2), (0, 2), (1, 2), (2, 2)]
    scores = [json.loads(run.paths.nested_fold(k).test_ledger.read_text())[0]["metrics"]["mae"] for k in (1, 2)]
    verdict = json.loads(run.paths.verdict.read_text())
    assert verdict["nested_folds"] == scores
    assert verdict["nested"] == fmean(scores)
    (told,) = [event for event in events if isinstance(event, VerdictReached)]
    words = f"Nested estimate {fmean(scores):.4g} over 2 outer folds, each with a search of its own; the corrected"
    assert told.sentences[2].startswith(words)
    assert any("repeats the whole search" in event.message for event in events if isinstance(event, Warned))
    assert pl.read_parquet(first.forecasts).filter(pl.col("part") == "test")["time"].to_list() == list(range(39, 48))

    again = Run.reopen(run.paths.root, overrides=["search.trials=3"])
    assert not again.go().interrupted
    ends = [stamped.event for stamped in read_events(first.events) if isinstance(stamped.event, RunEnded)]
    assert len(ends) == 2


@pytest.mark.usefixtures("shared_ray")
def test_fold_whose_search_fails_is_told_and_does_not_count(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(experiment: object, paths: object) -> float | None:
        raise SearchFailedError("no trial reached a score")

    monkeypatch.setattr(Run, "_run_fold", staticmethod(fail))
    run, outcome, events = go(folder, validation=NESTED, search={"trials": 1})
    assert outcome.bundle is not None
    verdict = json.loads(run.paths.verdict.read_text())
    assert (verdict["nested"], verdict["nested_folds"]) == (None, [])
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert "The nested search of fold 2 failed and does not count: no trial reached a score" in warned
