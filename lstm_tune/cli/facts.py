"""What `lstm-tune validate` tells about an experiment: numbers, folds, and how long a trial may take."""

import time

import torch

from lstm_tune.data.folds import Fold
from lstm_tune.data.panel import Frequency
from lstm_tune.display.timeline import FoldRow, FoldSegment, Kind
from lstm_tune.search.session import portions_of
from lstm_tune.spec.defaults import effective_windows
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.spec.space import Choice, Fixed
from lstm_tune.tasks.assembly import Prepared, corner
from lstm_tune.training.fold import Patience
from lstm_tune.training.lockstep import Lockstep

SHOWN_VALUES = 6
"""Values of a list that are written out."""

_SPOKEN = {
    "above": "is above",
    "at_least": "is at least",
    "below": "is below",
    "at_most": "is at most",
    "equals": "is",
    "in": "is",
}


def describe(experiment: Experiment, prepared: Prepared) -> dict[str, str]:
    """Names and values, in the order they are shown; trains a few steps to measure the time."""
    panel, task, split = prepared.panel, prepared.task, prepared.task.split
    lengths = panel.histories
    steps = f"{lengths.min():,}" if lengths.min() == lengths.max() else f"{lengths.min():,} to {lengths.max():,}"
    windows = sorted({int(corner(prepared.space, largest=largest)["window"]) for largest in (False, True)})
    development = int(split.test.starts.sum())
    effective = [
        f"{effective_windows(rows=development, window=window, horizon=task.design.horizon):,} of {window} steps"
        for window in windows
    ]
    smallest, largest = (task.parameters(corner(prepared.space, largest=end)) for end in (False, True))
    return {
        "series": f"{panel.size:,}, {steps} steps each, {panel.rows:,} rows",
        "step": f"{_step(panel.frequency)}, season {task.design.season}",
        "validation": f"{len(split.folds)} folds of {split.block} steps, gap {experiment.validation.gap}",
        "test": f"last {experiment.test_steps} steps of every series, locked" if experiment.test_steps else "none",
        "effective windows": ", ".join(effective),
        "parameters": f"{smallest:,} to {largest:,}",
        **{name: _shown(prepared, name) for name in prepared.space},
        "one trial": _expected_time(experiment, prepared),
    }


def _step(frequency: Frequency) -> str:
    return "each row" if frequency.every == "rows" else frequency.every.removesuffix("i")


def _shown(prepared: Prepared, name: str) -> str:
    entry = prepared.space[name]
    conditions = [f"{test.parent} {_SPOKEN[test.operator]} {_listed(test.operand)}" for test in entry.when]
    condition = f" when {' and '.join(conditions)}" if conditions else ""
    if isinstance(entry, Fixed):
        return f"{entry.value}{condition}"
    if isinstance(entry, Choice):
        more = f" and {len(entry.values) - SHOWN_VALUES} more" if len(entry.values) > SHOWN_VALUES else ""
        return ", ".join(str(value) for value in entry.values[:SHOWN_VALUES]) + more + condition
    return f"{entry.low:g} to {entry.high:g}{' (log)' if entry.log else ''}{condition}"


def _listed(operand: object) -> str:
    return " or ".join(str(value) for value in operand) if isinstance(operand, tuple) else str(operand)


def _expected_time(experiment: Experiment, prepared: Prepared) -> str:
    """Trains the middle configuration for a moment; a search stops most trials long before the last epoch."""
    training = experiment.training
    window = corner(prepared.space, largest=True)["window"]
    hyperparameters = completed({"window": window}, task=experiment.task.kind)
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, int(experiment.resources.cpus_per_trial)))
    try:
        lockstep = Lockstep(
            prepared.task,
            hyperparameters,
            portions_of(training),
            max_epochs=2,
            patience=Patience(2),
            seed=experiment.search.seed,
            device=torch.device("cpu"),
        )
        epochs = lockstep.epochs()
        next(epochs)
        started = time.monotonic()
        next(epochs)
        epoch_s = time.monotonic() - started
    finally:
        torch.set_num_threads(threads)
    whole = f"{_rounded(epoch_s * training.max_epochs)} s for all {training.max_epochs}"
    return f"about {_rounded(epoch_s)} s an epoch here, {whole}; most stop earlier"


def _rounded(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 10 else f"{seconds:,.0f}"


def fold_rows(prepared: Prepared) -> tuple[list[FoldRow], str, str]:
    """The folds of the longest series as a picture, and its first and last time."""
    panel, split = prepared.panel, prepared.task.split
    longest = int(panel.histories.argmax())
    length = int(panel.histories[longest])
    rows = [
        FoldRow(f"fold {k}", _segments(fold, longest, length, "validation"), f"{fold.series:,} series")
        for k, fold in enumerate(split.folds, start=1)
    ]
    rows.append(FoldRow("final", _segments(split.test, longest, length, "test"), "locked"))
    first = int(panel.starts[longest])
    return rows, str(panel.times[first]), str(panel.times[first + length - 1])


def _segments(fold: Fold, series: int, length: int, kind: Kind) -> list[FoldSegment]:
    train_end, start, end = (int(steps[series]) for steps in (fold.train_ends, fold.starts, fold.ends))
    segments = [FoldSegment("train", 0, train_end), FoldSegment("gap", train_end, start)]
    segments += [FoldSegment(kind, start, end), FoldSegment("unused", end, length)]
    return [segment for segment in segments if segment.end_step > segment.start_step]
