from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from lstm_tune.selection.records import TrialRecord, trial_records
from lstm_tune.selection.tables import curves_table, trials_table, write_tables
from lstm_tune.spec.events import Stamped, TrialEnded, TrialReported, TrialStarted, TrialState, Warned
from lstm_tune.spec.paths import create_run


def end(trial: int, state: TrialState = "complete", score: float | None = 0.5, **hyperparameters: Any) -> TrialEnded:
    return TrialEnded(
        trial,
        state,
        "a reason",
        hyperparameters,
        100,
        score,
        0.1,
        [0.4, 0.6],
        0.3,
        0.2,
        2,
        3,
        1.5,
        ["gap 0.9 above 0.5"],
    )


def record(trial: int, **hyperparameters: Any) -> TrialRecord:
    return TrialRecord(trial, hyperparameters, 100, curve=[[1, 0.6, 0.5]], end=end(trial, **hyperparameters))


def reported(trial: int, epoch: int, score: float) -> TrialReported:
    return TrialReported(trial, epoch, score, None, 0.1, score, epoch, 1.0, "here", [[epoch, score, 0.1]])


def records_of(*events: Any) -> dict[int, TrialRecord]:
    return trial_records(Stamped(0.0, event) for event in events)


def test_trials_are_rows_in_the_order_of_their_numbers() -> None:
    table = trials_table([record(2, units=8), record(0, units=4), TrialRecord(1, {"units": 6}, 100)])
    assert table["trial"].to_list() == [0, 2]
    assert table["hp_units"].to_list() == [4, 8]
    assert table.row(0, named=True)["fold_scores"] == [0.4, 0.6]
    assert table.row(0, named=True)["violations"] == ["gap 0.9 above 0.5"]


def test_hyperparameters_have_one_type_each() -> None:
    table = trials_table(
        [
            record(0, units=4, dropout=0, loss="mae", highway=True),
            record(1, units=8, dropout=0.5, loss="mse", highway=False),
        ]
    )
    types = {name: table.schema[f"hp_{name}"] for name in ("units", "dropout", "loss", "highway")}
    assert types == {"units": pl.Int64, "dropout": pl.Float64, "loss": pl.String, "highway": pl.Boolean}
    assert table["hp_dropout"].to_list() == [0.0, 0.5]


def test_switched_off_hyperparameters_are_null() -> None:
    table = trials_table([record(0, units=4), record(1, units=8, dropout=0.5), record(2, units=6, dropout=1)])
    assert table["hp_dropout"].to_list() == [None, 0.5, 1.0]


def test_trial_without_a_score_has_nulls() -> None:
    failed = TrialEnded(0, "failed", "it diverged", {"units": 4}, 100, None, None, [], None, None, 0, 0, 0.0, [])
    table = trials_table([TrialRecord(0, {}, 100, end=failed), record(1, units=8)])
    assert table["score"].to_list() == [None, 0.5]
    assert table["hp_units"].dtype == pl.Int64 or table["hp_units"].to_list() == [None, 8]


def test_no_trials_make_empty_tables_with_their_columns(tmp_path: Path) -> None:
    paths = create_run(tmp_path, "run", now=datetime(2026, 1, 1))
    write_tables(paths, {})
    assert pl.read_parquet(paths.trials).schema["score"] == pl.Float64
    assert pl.read_parquet(paths.curves).columns == ["trial", "epoch", "score", "train_score"]
    assert pl.read_parquet(paths.trials).height == pl.read_parquet(paths.curves).height == 0


def test_curve_has_a_row_an_epoch_also_of_trials_that_did_not_end() -> None:
    table = curves_table([TrialRecord(1, {}, 100, curve=[[1, 0.9, 0.8], [2, 0.7, None]]), record(0)])  # type: ignore[list-item]
    assert table.rows() == [(0, 1, 0.6, 0.5), (1, 1, 0.9, 0.8), (1, 2, 0.7, None)]


def test_record_gathers_a_trials_story() -> None:
    events = [
        TrialStarted(0, {"units": 4}, 100),
        reported(0, 1, 0.9),
        Warned("hm"),
        reported(0, 3, 0.7),
        end(0, units=5),
    ]
    (found,) = records_of(*events).values()
    assert found.reports == {1: 0.9, 3: 0.7}
    assert [epoch for epoch, _, _ in found.curve] == [1, 3]
    assert found.hyperparameters == {"units": 5}
    assert found.end == end(0, units=5)


def test_trial_that_ran_again_tells_its_last_story_only() -> None:
    started = TrialStarted(0, {"units": 4}, 100)
    found = records_of(started, reported(0, 1, 0.9), reported(0, 3, 0.8), started, reported(0, 1, 0.7))[0]
    assert found.reports == {1: 0.7}
    assert found.curve == [[1, 0.7, 0.1]]
    assert found.end is None
