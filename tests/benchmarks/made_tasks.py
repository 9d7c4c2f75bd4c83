"""Forecasting tasks on generated series, for programs that time what does not depend on real values."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl

from lstm_tune.spec.loading import parse_experiment
from lstm_tune.tasks.assembly import assemble
from lstm_tune.tasks.forecast import ForecastTask


def made_task(*, rows: int, horizon: int, season: int) -> ForecastTask:
    """One noisy wave and its question: a fold, a test part, the mean absolute error."""
    step = np.arange(rows)
    noise = np.random.default_rng(0).standard_normal(rows)
    values = 10 + 3 * np.sin(2 * np.pi * step / season) + 0.3 * noise
    with TemporaryDirectory() as folder:
        pl.DataFrame({"step": step, "y": values}).write_csv(Path(folder) / "wave.csv")
        raw = {
            "name": "made",
            "task": {"kind": "forecast", "horizon": horizon, "season": season},
            "data": {"path": "wave.csv", "target": "y"},
            "validation": {"test": horizon, "folds": 1},
            "search": {"metric": "mae"},
        }
        return assemble(parse_experiment(raw), folder=Path(folder)).task
