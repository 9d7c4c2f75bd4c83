"""Writes the files of a run that never happened, as a real one would leave them."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path

import polars as pl
import yaml

from lstm_tune.spec.events import (
    BaselineScored,
    Event,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TestScored,
    TrialEnded,
    TrialReported,
    TrialStarted,
    VerdictReached,
    Warned,
    WinnerChosen,
)
from lstm_tune.spec.paths import RunPaths

SPACE = {
    "units": {"low": 8, "high": 64, "log": True},
    "dropout": {"low": 0.0, "high": 0.5},
    "window": [12, 24],
    "highway": [True, False],
    "recurrent_dropout": {"low": 0.0, "high": 0.5, "when": {"units": {"above": 16}}},
}
EXPERIMENT = {"name": "sales", "task": {"kind": "forecast", "horizon": 3}, "space": SPACE}
MANIFEST = {
    "command": ["lstm-tune", "run", "space.yaml"],
    "python": "3.11",
    "packages": {"torch": "2.9"},
    "folds": [
        {"series": 1, "longest_series": {"train_end": 24, "block_start": 24, "block_end": 27}},
        {"series": 1, "longest_series": {"train_end": 27, "block_start": 27, "block_end": 30}},
    ],
    "test_steps": 3,
}
START = RunStarted("sales", "mase", "minimize", 12, None, 2, 8, list(SPACE), 1, 33, "2026-01-01T00:00:00+00:00")
BASELINES = [BaselineScored("ridge", 0.6, 0.05), BaselineScored("last value", 1.9, 0.1)]
VERDICT = VerdictReached(
    "prefer the baseline",
    ["Do not use an LSTM here: ridge does as well.", "Expected mase on new data 0.7."],
    "ridge",
    0.7,
    0.5,
    0.9,
    0.55,
    0.25,
    0.04,
)
END: list[Event] = [
    SearchEnded("the budget is used", False),
    WinnerChosen(2, 0.52, "the fewest parameters within one standard error"),
    TestScored("mase", 0.66, {"ridge": 0.61, "last value": 2.0}, 3, low=0.4, high=0.8),
    VERDICT,
    RunEnded("done", "Forecast with: lstm-tune predict"),
]


def trial(number: int, *, state: str = "complete") -> list[Event]:
    """The story of one trial; every other is too small for its conditional hyperparameter."""
    values = {"units": 8 if number % 2 else 32, "dropout": number / 30, "window": 12, "highway": number % 3 == 0}
    if number % 2 == 0:
        values["recurrent_dropout"] = 0.1
    score = None if state == "failed" else 0.5 + number / 100
    curve = [[float(epoch), 0.5 + number / 100 + 1 / epoch, 0.4 + 1 / epoch] for epoch in range(1, 9)]
    error, best = (None, 0) if score is None else (0.04, 6)
    return [
        TrialStarted(number, values, 900 + 40 * number),
        TrialReported(number, 8, curve[-1][1], 0.04, 0.4, curve[-1][1], 8, 1.0, "here", curve),
        TrialEnded(number, state, "why", values, 900 + 40 * number, score, error, [], 0.4, 0.2, best, 8, 1.0, []),  # type: ignore[arg-type]
    ]


TRIALS = [event for number in range(12) for event in trial(number, state="pruned" if number > 8 else "complete")]


def write_run(root: Path, events: Sequence[Event], *, forecasts: pl.DataFrame | None = None) -> RunPaths:
    """The files of a run in which these events happened, a second apart."""
    paths = RunPaths(root)
    root.mkdir(parents=True)
    paths.experiment.write_text(yaml.safe_dump(EXPERIMENT))
    paths.manifest.write_text(json.dumps(MANIFEST))
    stamped = [Stamped(float(at_s), event) for at_s, event in enumerate(events)]
    paths.events.write_text("".join(f"{one.to_json()}\n" for one in stamped))
    if VERDICT in events:
        paths.verdict.write_text(json.dumps({**asdict(VERDICT), "interval_level": 0.8}))
        paths.importances.write_text(json.dumps({"dropout": 0.7, "units": 0.3}))
    if forecasts is not None:
        forecasts.write_parquet(paths.forecasts)
    return paths


def finished_run(root: Path, *, series: Sequence[str] = ("",), times: str = "date") -> RunPaths:
    """A run that came to its end."""
    events = [START, *BASELINES, Warned("one value is missing"), *TRIALS, *END]
    return write_run(root, events, forecasts=forecasts_of(series, times=times))


def forecasts_of(series: Sequence[str], *, times: str = "date") -> pl.DataFrame:
    """Two folds and a test of three steps; the n-th series is missed by n percent, the first value is missing."""
    rows = []
    for rank, name in enumerate(series):
        for part, first in (("fold 1", 0), ("fold 2", 3), ("test", 6)):
            for step in range(3):
                truth = 10.0 + first + step
                forecast = truth * (1 + rank / 100)
                known = None if part == "fold 1" and step == 0 else truth
                interval = (forecast - 1, forecast + 1) if part == "test" else (None, None)
                place = first + step
                moment = date(2020, 1 + place, 1) if times == "date" else place
                rows.append((part, name, 0, moment, step + 1, "y", known, forecast, *interval, truth + 2))
    names = ["part", "series", "origin", "time", "step", "target", "truth", "forecast", "low", "high", "baseline"]
    table = pl.DataFrame(rows, schema=names, orient="row", infer_schema_length=None)
    table = table.with_columns(pl.col("truth", "forecast", "low", "high", "baseline").cast(pl.Float32))
    return table.with_columns(pl.col("time").cast(pl.Datetime("us", "UTC"))) if times == "zoned" else table
