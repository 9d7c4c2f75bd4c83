"""From a checked experiment to a task on real data: reads, checks, splits, and settles the search space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_tune.data.building import build_panel
from lstm_tune.data.folds import Split, auto_block, split_panel
from lstm_tune.data.leaks import Leak, find_leaks
from lstm_tune.data.panel import Columns, Floats, Panel
from lstm_tune.data.reading import read_frame
from lstm_tune.data.scaling import training_rows
from lstm_tune.data.seasons import infer_season
from lstm_tune.data.sequences import prepare
from lstm_tune.models.forecaster import Design
from lstm_tune.spec.defaults import default_space
from lstm_tune.spec.errors import Fault, InputError
from lstm_tune.spec.experiment import DataSpec, Experiment
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Value, completed
from lstm_tune.spec.space import Choice, Dimension, Fixed
from lstm_tune.tasks.baselines import unjudged_folds
from lstm_tune.tasks.forecast import ForecastTask

LONG_SERIES = 0.9
"""Which series of a panel says how long windows may be, as a share of those that are shorter: a short series' window is
padded, and the longer ones are those that a window can learn from. On the folds of M3 yearly, half of whose series have
7 steps or fewer to train on at first, windows of 4, 6, 8 and 12 steps gave a MASE of 3.72, 3.61, 3.51 and 3.66."""

POSITIVE_SHARE = 0.99
"""Share of a target's values above zero from which its logarithm may be modelled. Of tourism quarterly 24 of the 39,128
development values are zero, in 12 of 427 series, and the logarithm lowers its MASE by 4 %."""

PARAMETERS_PER_ROW = 200
"""Free parameters a row beyond which `validate` warns; twice what the derived spaces reach on the smallest data."""


@dataclass(frozen=True)
class Prepared:
    """An experiment that is ready to be searched.

    Attributes:
        panel: the data.
        task: the question put to it.
        space: dimensions, parents first; what the file leaves out has its default.
        warnings: what the user should know before the search begins.
    """

    panel: Panel
    task: ForecastTask
    space: dict[str, Dimension]
    warnings: tuple[str, ...]


def columns_of(data: DataSpec) -> Columns:
    """The roles of the columns, as the data layer wants them."""
    return Columns(
        targets=tuple(data.target),
        time=data.time,
        series=tuple(data.series or ()),
        past=tuple(data.covariates.past),
        known=tuple(data.covariates.known),
        static=tuple(data.covariates.static),
    )


def assemble(experiment: Experiment, *, folder: Path) -> Prepared:
    """Everything a search needs, short of the search.

    Args:
        experiment: the checked file.
        folder: what `data.path` is relative to.

    Raises:
        InputError: the data cannot be read, breaks a rule, or is too short for the folds or the windows.
    """
    columns = columns_of(experiment.data)
    frame = read_frame(experiment.data.path, folder=folder, columns=columns.all, repeated=columns.repeated)
    missing, frequency = experiment.data.missing, experiment.data.frequency
    panel = build_panel(frame, columns, missing=missing, frequency=frequency, where=experiment.data.path)
    asked = infer_season(panel.frequency) if experiment.task.season == "auto" else experiment.task.season
    split = _split(experiment, panel)
    development = split.test.starts
    season = asked if asked < int(development.max()) else 1
    space = experiment.dimensions
    sequences = prepare(panel, missing=missing)
    _check_leaks(experiment, find_leaks(sequences, split.test, horizon=experiment.task.horizon, season=season))
    positive_share = _positive_share(sequences.target[training_rows(sequences, split.test)])
    if space is None:
        space = default_space(
            rows=int(development.sum()),
            longest=int(np.quantile(split.folds[0].train_ends[split.folds[0].train_ends > 0], LONG_SERIES)),
            horizon=experiment.task.horizon,
            season=season,
            positive=positive_share >= POSITIVE_SHARE,
        )
    _check_space(space, split=split, positive_share=positive_share)
    largest = int(_corners(space, "window")[1])
    design = Design(
        horizon=experiment.task.horizon,
        season=season,
        targets=len(columns.targets),
        quantiles=tuple(experiment.task.quantiles or ()),
        indicator=missing == "mask" or _is_padded(split, largest),
    )
    task = ForecastTask(sequences, split, design, experiment.search.metric)
    _check_judged(task)
    warnings = _length_warnings(experiment, panel, split, space)
    if season < asked:
        warnings.append(f"The season ({asked} steps) is as long as the history or longer, so none is used.")
    if experiment.space is not None:
        warnings += _size_warnings(task, space, rows=int(development.sum()))
    return Prepared(panel, task, space, tuple(warnings))


def _positive_share(target: Floats) -> float:
    """The share of observed values above zero in [R, Y], of the target that has the fewest."""
    observed = ~np.isnan(target)
    return float(((target > 0).sum(axis=0) / observed.sum(axis=0).clip(min=1)).min())


def _is_padded(split: Split, window: int) -> bool:
    """Whether a window of so many steps reaches back before the start of a series that trains."""
    ends = np.stack([fold.train_ends for fold in (*split.folds, split.test)])
    return bool(((ends > 0) & (ends < 2 * window)).any())


def _split(experiment: Experiment, panel: Panel) -> Split:
    validation, horizon, test = experiment.validation, experiment.task.horizon, experiment.test_steps
    block = validation.block
    if block == "auto":
        block = auto_block(panel.histories, horizon=horizon, folds=validation.folds, test=test)
    return split_panel(
        panel.histories, horizon=horizon, folds=validation.folds, block=block, gap=validation.gap, test=test
    )


def _corners(space: dict[str, Dimension], name: str) -> tuple[Value, Value]:
    entry = space.get(name) or Fixed(HYPERPARAMETERS["forecast"][name].default)
    return entry.corners


def corner(space: dict[str, Dimension], *, largest: bool) -> dict[str, Value]:
    """The configuration with the fewest, or the most, free parameters that the space allows."""
    values = completed({}, task="forecast")
    for name, dimension in space.items():
        values[name] = dimension.corners[1 if largest else 0]
    return values


def _check_space(space: dict[str, Dimension], *, split: Split, positive_share: float) -> None:
    faults: list[Fault] = []
    longest = int(split.folds[0].train_ends.max())
    smallest_window = int(_corners(space, "window")[0])
    if smallest_window > longest:
        problem = (
            f"every window is longer than the {longest} training steps that the longest series has in the first fold;"
            f" the smallest is {smallest_window}. Shorten the windows, or lower validation.folds"
        )
        faults.append(Fault("space.window", problem))
    if positive_share < POSITIVE_SHARE and True in _values_of(space, "log_transform"):
        problem = (
            f"is true for some trials, so {POSITIVE_SHARE:.0%} of the target's values must be above zero, but"
            f" {1 - positive_share:.1%} are not. Leave log_transform out"
        )
        faults.append(Fault("space.log_transform", problem))
    if faults:
        raise InputError(faults)


def _check_leaks(experiment: Experiment, leaks: list[Leak]) -> None:
    """Refuses covariates that are the target: the search would find them, and new data would not have them."""
    if leaks:
        raise InputError(Fault(experiment.data.path, _leak(experiment, leak)) for leak in leaks)


def _leak(experiment: Experiment, leak: Leak) -> str:
    horizon, steps = experiment.task.horizon, f"{abs(leak.lag)} step{'' if abs(leak.lag) == 1 else 's'}"
    when = f" {steps} {'earlier' if leak.lag > 0 else 'later'}" if leak.lag else ""
    rule = f"be known {horizon} steps ahead" if leak.role == "known" else "know nothing of the future"
    advice = "Name it in covariates.past" if leak.role == "known" and leak.lag >= 0 else "Correct it"
    found = f"those of the target '{experiment.data.target[leak.target]}'{when} (correlation {leak.correlation:.4f})"
    subject = f"column '{leak.covariate}' ({leak.role})"
    return f"{subject} must {rule}, but its changes are {found}. {advice}, or leave it out"


def _check_judged(task: ForecastTask) -> None:
    """Refuses a metric that is undefined in a fold: every trial would fail."""
    if folds := unjudged_folds(task):
        shown = f"fold{'' if len(folds) == 1 else 's'} {', '.join(map(str, folds))}"
        problem = (
            f"{task.metric} must have something to count in each fold, but the target never changes, or has too few"
            f" values, in {shown}. Choose another, such as mae, or lower validation.folds"
        )
        raise InputError.at("search.metric", problem)


def _values_of(space: dict[str, Dimension], name: str) -> tuple[Value, ...]:
    entry = space.get(name)
    if isinstance(entry, Choice):
        return entry.values
    return (entry.value,) if isinstance(entry, Fixed) else ()


def _length_warnings(experiment: Experiment, panel: Panel, split: Split, space: dict[str, Dimension]) -> list[str]:
    found: list[str] = []
    largest, shortest = int(_corners(space, "window")[1]), int(panel.histories.min())
    training = int(split.folds[0].train_ends.max())
    if largest > training:
        found.append(
            f"The largest window ({largest} steps) is longer than any training part of the first fold ({training})."
        )
    elif largest > shortest - experiment.test_steps:
        found.append(f"The largest window ({largest} steps) is longer than some series; their windows are padded.")
    if experiment.task.horizon > split.block:
        found.append(
            f"The horizon ({experiment.task.horizon} steps) is longer than a validation block ({split.block});"
            " the last forecast steps are never judged."
        )
    if 0 < experiment.test_steps < experiment.task.horizon:
        found.append(
            f"The test part ({experiment.test_steps} steps) is shorter than the horizon ({experiment.task.horizon})."
        )
    left_out = panel.size - split.folds[0].series
    if left_out:
        found.append(f"{left_out} of {panel.size} series are too short for the first fold and join later folds only.")
    return found


def _size_warnings(task: ForecastTask, space: dict[str, Dimension], *, rows: int) -> list[str]:
    parameters = task.parameters(corner(space, largest=True))
    if parameters <= PARAMETERS_PER_ROW * rows:
        return []
    return [
        f"The largest network has {parameters:,} parameters for {rows:,} rows; a space this large invites overfitting."
        " Lower the upper end of units or depth, or leave space: out."
    ]
