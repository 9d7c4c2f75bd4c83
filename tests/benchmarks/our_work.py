"""The contenders' work as an experiment of ours; `throughput.py` starts it as it starts them.

As in their scripts everything is imported before the clock starts, and Ray starts after it. Statistical baselines are
left out, as if their package were not installed: the others score none. Beside the time it writes when it heard of
what, for the table of where the time goes.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import ray  # noqa: F401
import torch  # noqa: F401

import lstm_tune
import lstm_tune.report.writing
import lstm_tune.search.runner
from lstm_tune.spec.events import Stamped, TrialEnded, TrialReported
from lstm_tune.spec.hyperparameters import Value

SPACE: dict[str, Value] = {
    "window": 24,
    "highway": False,
    "seasonal_residual": False,
    "normalization": "none",
    "locked_dropout": False,
    "ema": 0.0,
    "gradient_clip": 0.0,
    "weight_decay": 0.0,
}


def experiment(
    values: Path, *, grid: dict[str, list[float]], steps: int, trials: int, directory: Path
) -> dict[str, Any]:
    """The experiment: one epoch of so many steps on one fold, every configuration of the grid once."""
    return {
        "name": "same-work",
        "task": {"kind": "forecast", "horizon": 12, "season": 1},
        "data": {"path": str(values), "target": "y"},
        "validation": {"test": 12, "folds": 1},
        "search": {
            "trials": trials,
            "time_limit": None,
            "stop_when_stale": None,
            "sampler": "grid",
            "scheduler": "none",
            "metric": "mae",
        },
        "space": {**{name: list(values) for name, values in grid.items()}, **SPACE},
        "training": {"max_epochs": 1, "patience_epochs": 1, "batch_size": 32, "steps_per_epoch": steps},
        "resources": {"gpus_per_trial": 0},
        "output": {"directory": str(directory), "finalists": 1, "seeds": 1, "ensemble": False},
    }


def main() -> None:
    """The program."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("values", type=Path, help="one value a line")
    parser.add_argument("settings", type=Path, help="JSON: grid and steps")
    arguments = parser.parse_args()
    settings = json.loads(arguments.settings.read_text())
    table = arguments.values.with_suffix(".csv")
    table.write_text("y\n" + arguments.values.read_text())
    folder = arguments.values.parent
    heard: list[list[Any]] = []
    sys.modules["statsforecast"] = None  # type: ignore[assignment]
    started = time.monotonic()

    def hear(stamped: Stamped) -> None:
        event = stamped.event
        seconds = event.seconds if isinstance(event, TrialEnded | TrialReported) else 0.0
        heard.append([type(event).__name__, time.monotonic() - started, seconds])

    outcome = lstm_tune.run(experiment(table.absolute(), directory=folder / "runs", **settings), listeners=[hear])
    total = time.monotonic() - started
    (folder / "heard.json").write_text(json.dumps({"total_s": total, "heard": heard, "run": str(outcome.run)}))
    print(f"lstm-tune {total:.2f} s best {outcome.score:.3f}")  # noqa: T201


if __name__ == "__main__":
    main()
