"""What a run was made with: versions, seeds, data and folds, for whoever wants to repeat it."""

import importlib.metadata
import platform
import sys
from pathlib import Path
from typing import Any

from lstm_tune.data.reading import file_hash
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import Experiment
from lstm_tune.tasks.assembly import Prepared

PACKAGES = ("lstm-tune", "torch", "ray", "optuna", "polars", "numpy")


def build_manifest(
    experiment: Experiment, prepared: Prepared, *, folder: Path, command: list[str], is_space_derived: bool
) -> dict[str, Any]:
    """The manifest of a run, as JSON values.

    Args:
        experiment: the resolved experiment.
        prepared: its data and folds.
        folder: what the data path is relative to.
        command: the command line.
        is_space_derived: whether the space came from the data.
    """
    panel, split = prepared.panel, prepared.task.split
    return {
        "command": command,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "seed": experiment.search.seed,
        "space": "derived" if is_space_derived else "given",
        "data": {
            "path": experiment.data.path,
            "sha256": file_hash(experiment.data.path, folder=folder),
            "series": panel.size,
            "rows": panel.rows,
            "frequency": panel.frequency.every,
            "season": prepared.task.design.season,
        },
        "folds": [
            {
                "series": fold.series,
                "longest_series": {
                    "train_end": int(fold.train_ends.max()),
                    "block_start": int(fold.starts.max()),
                    "block_end": int(fold.ends.max()),
                },
            }
            for fold in split.folds
        ],
        "test_steps": int((split.test.ends - split.test.starts).max()),
        "warnings": list(prepared.warnings),
    }


def check_same_data(manifest: dict[str, Any], experiment: Experiment, *, folder: Path) -> None:
    """Refuses to go on with a run whose data changed under it.

    Raises:
        InputError: the files' content is not what the run began with.
    """
    if file_hash(experiment.data.path, folder=folder) != manifest["data"]["sha256"]:
        problem = "has changed since the run began, so its trials could not be compared. Start a new run"
        raise InputError.at(experiment.data.path, problem)
