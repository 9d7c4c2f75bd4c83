"""A run whose workers train nothing; everything else is the product's own, from the experiment to the events."""

import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from idle_worker import Manner, idle_workers

from lstm_tune.search import process
from lstm_tune.search.placement import Placement, Slot
from lstm_tune.search.recorder import Listener, Recorder
from lstm_tune.search.runner import Run
from lstm_tune.search.session import Session
from lstm_tune.spec.loading import parse_experiment

SPACE = {
    "units": {"low": 8, "high": 128, "log": True},
    "depth": {"low": 1, "high": 3},
    "window": {"low": 12, "high": 48},
    "dropout": {"low": 0.0, "high": 0.5},
    "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
    "weight_decay": {"low": 1e-4, "high": 1e-1, "log": True},
}
"""Six numbers, so that no sampler runs out of configurations and every sampler has something to model."""


def idle_run(folder: Path, *, trials: int, max_epochs: int, **search: Any) -> Run:
    """A run of a small wave, in a folder that is emptied.

    Args:
        folder: of the data and the run.
        trials: to run.
        max_epochs: epochs of a trial, which the scheduler's rungs follow from.
        search: other keys of the experiment's section, such as the sampler.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rows = [f"{step},{10 + 3 * math.sin(step / 2) + 0.1 * (step % 5):.4f}" for step in range(240)]
    (folder / "wave.csv").write_text("\n".join(["step,y", *rows]) + "\n")
    raw = {
        "name": "idle",
        "task": {"kind": "forecast", "horizon": 6, "season": 1},
        "data": {"path": "wave.csv", "target": "y"},
        "validation": {"test": 6, "folds": 4},
        "search": {"trials": trials, "time_limit": None, "stop_when_stale": None, "metric": "mae", **search},
        "space": SPACE,
        "training": {"max_epochs": max_epochs},
        "output": {"directory": str(folder / "runs")},
    }
    return Run.create(parse_experiment(raw), folder=folder)


@contextmanager
def session_of(run: Run, listeners: Sequence[Listener] = ()) -> Iterator[Session]:
    """The run's session, with its recorder open."""
    with Recorder(run.paths, listeners) as record:
        yield Session(run.experiment, run.prepared, run.paths, record)


def search_idly(session: Session, manner: Manner, *, slot: Slot, workers: int) -> None:
    """The search of `process.py` with workers of the given manner, on the Ray that runs.

    Args:
        session: the run's.
        manner: how a worker passes its time.
        slot: of a trial.
        workers: at once.
    """
    with idle_workers(manner):
        process._search(session, Placement(((slot, workers),)), [])
