from pathlib import Path

import polars as pl
import pytest
from run_files import BASELINES, END, START, TRIALS, finished_run, forecasts_of, trial, write_run

from lstm_tune.report.facts import read_facts
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import RunEnded


def test_a_finished_run_is_read_whole(tmp_path: Path) -> None:
    facts = read_facts(finished_run(tmp_path / "run"))
    assert (facts.name, facts.metric, facts.leader, facts.interval_level) == ("sales", "mase", 2, 0.8)
    assert [end.trial for end in facts.complete] == list(range(9))
    assert facts.best_baseline == BASELINES[0]
    assert facts.forecasts is not None


def test_a_resumed_run_forgets_how_it_had_ended(tmp_path: Path) -> None:
    facts = read_facts(write_run(tmp_path / "run", [START, *TRIALS, *END, START, *trial(12)]))
    assert facts.story.verdict is None
    assert facts.story.end is None
    assert len(facts.records) == 13


@pytest.mark.parametrize("name", ["forecasts", "verdict", "importances", "manifest", "test_ledger"])
def test_a_damaged_file_counts_as_missing(tmp_path: Path, name: str) -> None:
    paths = finished_run(tmp_path / "run")
    getattr(paths, name).write_bytes(b"\x00{")
    assert read_facts(paths).leader == 2


def test_forecasts_without_a_needed_column_are_left_out(tmp_path: Path) -> None:
    table = forecasts_of([""]).drop("low")
    assert read_facts(write_run(tmp_path / "run", [START, *END], forecasts=table)).forecasts is None


def test_columns_of_a_later_release_do_no_harm(tmp_path: Path) -> None:
    table = forecasts_of([""]).with_columns(pl.lit(0.9).alias("level"))
    assert read_facts(write_run(tmp_path / "run", [START, *END], forecasts=table)).forecasts is not None


def test_damaged_events_are_an_error_that_says_where(tmp_path: Path) -> None:
    paths = write_run(tmp_path / "run", [START, RunEnded("done", "")])
    paths.events.write_text("nothing\n" + paths.events.read_text())
    with pytest.raises(InputError, match=r"events.ndjson:1: is not an event"):
        read_facts(paths)
