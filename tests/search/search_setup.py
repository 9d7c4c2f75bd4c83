"""What the tests of the search share: one tiny experiment, and ends of trials."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from lstm_tune.search.runner import Outcome, Run
from lstm_tune.spec.events import (
    Event,
    RunStarted,
    Stamped,
    TrialEnded,
    TrialReported,
    TrialStarted,
    TrialState,
    read_events,
)
from lstm_tune.spec.loading import parse_experiment

LEARNING_RATES = {"low": 1e-3, "high": 1e-1, "log": True}

RAW = {
    "name": "tiny",
    "task": {"kind": "forecast", "horizon": 3, "season": 1},
    "data": {"path": "sine.csv", "target": "y"},
    "validation": {"test": 3, "folds": 2},
    "search": {"trials": 4, "seed": 1, "metric": "mae"},
    "space": {"units": {"low": 4, "high": 8}, "learning_rate": LEARNING_RATES, "window": 6},
    "training": {"max_epochs": 4, "patience_epochs": 4},
    "resources": {"max_concurrent": 2},
    "output": {"seeds": 1},
}

STARTED = RunStarted("tiny", "mae", "minimize", 4, None, 2, 4, ["units"], 1, 60, "2026-01-01T00:00:00+00:00")


def write_sine(folder: Path) -> None:
    """Sixty steps of a wave with a little saw on it."""
    rows = [f"{step},{10 + 3 * math.sin(step / 2) + 0.1 * (step % 5):.4f}" for step in range(60)]
    (folder / "sine.csv").write_text("\n".join(["step,y", *rows]) + "\n")


def new_run(folder: Path, overrides: Sequence[str] = (), **sections: dict[str, Any]) -> Run:
    """A run of the tiny experiment below `folder`, with keys of its sections replaced (`space` as a whole)."""
    write_sine(folder)
    raw: dict[str, Any] = {name: dict(value) if isinstance(value, dict) else value for name, value in RAW.items()}
    for name, section in sections.items():
        raw[name] = section if name == "space" else {**raw.get(name, {}), **section}
    raw["output"]["directory"] = str(folder / "runs")
    return Run.create(parse_experiment(raw, overrides=overrides), folder=folder)


def go(folder: Path, **sections: dict[str, Any]) -> tuple[Run, Outcome, list[Event]]:
    """A whole run: the run, its outcome, and the events on its file."""
    run = new_run(folder, **sections)
    outcome = run.go()
    return run, outcome, events_of(run)


def events_of(run: Run) -> list[Event]:
    """The events on a run's file."""
    return [stamped.event for stamped in read_events(run.paths.events)]


def curve(run: Run, trial: int) -> list[tuple[int, int, float, float]]:
    """Trial, epoch, score and training score of every epoch that a trial trained, from the table of curves."""
    return pl.read_parquet(run.paths.curves).filter(pl.col("trial") == trial).rows()


def ends_of(events: Sequence[Event | Stamped]) -> list[TrialEnded]:
    """The ends of trials among events, in order."""
    plain = [event.event if isinstance(event, Stamped) else event for event in events]
    return [event for event in plain if isinstance(event, TrialEnded)]


def last_attempts(events: list[Event]) -> list[Event]:
    """Events without those of a trial that was cut off and began again."""
    begins = {event.trial: i for i, event in enumerate(events) if isinstance(event, TrialStarted)}
    return [
        event
        for i, event in enumerate(events)
        if not isinstance(event, TrialStarted | TrialReported) or i >= begins[event.trial]
    ]


def ended(trial: int, state: TrialState = "complete", score: float | None = 1.0, **fields: Any) -> TrialEnded:
    """The end of a trial, unremarkable but for what is named."""
    values: dict[str, Any] = {
        "reason": "all epochs trained",
        "hyperparameters": {},
        "parameters": 100,
        "standard_error": 0.1,
        "fold_scores": [],
        "train_score": 0.5,
        "gap": 0.2,
        "best_epoch": 3,
        "epochs": 4,
        "seconds": 1.0,
        "violations": [],
    }
    return TrialEnded(trial=trial, state=state, score=score, **{**values, **fields})
