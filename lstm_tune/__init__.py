"""Honest hyperparameter search for PyTorch LSTMs on small sequence data.

Example:
    ```python
    outcome = lstm_tune.run("search_spaces/air_passengers.yaml", overrides=["search.trials=10"])
    model = lstm_tune.load(outcome.bundle)
    forecast = model.predict(frame)
    ```
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_tune.bundle.predict import Model
    from lstm_tune.search.final import Outcome
    from lstm_tune.spec.events import Stamped

__version__ = "0.1.0"
__all__ = ["__version__", "load", "run"]


def run(
    experiment: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    listeners: Sequence["Callable[[Stamped], None]"] = (),
) -> "Outcome":
    """Runs an experiment on this machine, without a display, and writes its report.

    Args:
        experiment: a YAML file, or what it would hold as a mapping (paths then relative to the working directory).
        overrides: `key.path=value` texts that replace or add keys of a file.
        listeners: called with each event, such as `print`.

    Returns:
        Where the run and its bundle are, and the scores.

    Raises:
        InputError: the experiment or its data is wrong; lists every fault.
        SearchFailedError: no trial reached a score.
        DiskFullError: there is no room for what the run writes; it can be resumed when there is.
    """
    from lstm_tune.report.ending import report_end
    from lstm_tune.search.runner import Run
    from lstm_tune.spec.loading import load_experiment, parse_experiment

    if isinstance(experiment, Mapping):
        checked, folder = parse_experiment(experiment, overrides=overrides), Path.cwd()
    else:
        checked, folder = load_experiment(experiment, overrides), Path(experiment).parent
    run = Run.create(checked, folder=folder)
    return run.go(listeners, closing=lambda: report_end(run.paths, listeners))


def load(path: Path | str) -> "Model":
    """The model of a bundle's folder, or of the run that made it; `model.predict(frame)` forecasts.

    Raises:
        BundleError: there is no readable bundle.
    """
    from lstm_tune.bundle.predict import load as load_model

    return load_model(path)
