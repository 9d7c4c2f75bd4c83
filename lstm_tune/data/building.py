"""From a frame to a `Panel`: every check of the user's rows, then series on a grid of steps in flat float32 arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl

from lstm_tune.data.encoding import FAULTS_SHOWN, encode_columns, null_faults
from lstm_tune.data.frequency import infer_frequency, parse_frequency
from lstm_tune.data.grid import Flags
from lstm_tune.data.panel import Columns, Feature, Floats, Frequency, Integers, Panel
from lstm_tune.data.table import Table, on_grid, repeated_fault, sorted_table, trimmed
from lstm_tune.data.times import parse_times, shown_rows
from lstm_tune.spec.errors import Fault, InputError, did_you_mean

Missing = Literal["error", "interpolate", "forward", "mask"]

_ADVICE = "Set data.missing to interpolate, forward or mask, or complete the data"


def build_panel(
    frame: pl.DataFrame,
    columns: Columns,
    *,
    missing: Missing,
    frequency: str = "auto",
    where: str,
    model_features: Sequence[Feature] | None = None,
) -> Panel:
    """The checked series of a frame, on a regular grid of steps.

    Rows may come in any order. Series are sorted by the values of their columns, so the same rows give the same panel
    in any order. Missing steps of the grid become rows of NaN, and NaN stays NaN: nothing is imputed here. A string
    target is read as numbers when every value is one. The rows after a series' last target are future steps as far as
    every known covariate is given; other rows before the first and after the last target are dropped (they are faults
    under `missing: error`).

    Args:
        frame: the rows; needs the columns with a role, others are ignored.
        columns: which column plays which role.
        missing: `error` refuses missing values and missing steps in the history; the others let them through as NaN.
        frequency: `auto` infers the step from the times; else `rows`, or a count and a unit such as `1mo`.
        where: what messages are about, usually the file.
        model_features: the covariates as a trained model knows them, for rows that it is to forecast: they decide which
            columns are categorical and which code a category has, and a constant target or a single row is fine. None
            for rows to learn from: the columns decide, and there must be something to learn.

    Returns:
        The panel, its values in the user's units.

    Raises:
        InputError: the rows break a rule; lists the faults with row numbers, counted from 1 at the first row of data.
    """
    is_for_learning = model_features is None
    _check_shape(frame, columns, where, fewest=2 if is_for_learning else 1)
    times, faults = _times(frame, columns, where)
    encoded = {
        role: encode_columns(frame, names, role=role, where=where, model_features=model_features)
        for role, names in _roles(columns).items()
    }
    faults += [fault for block in encoded.values() for fault in block.faults]
    if faults:
        raise InputError(faults)
    table = sorted_table(frame, columns.series, times, {role: block.values for role, block in encoded.items()})
    static, faults = _static_values(table, encoded["static"].features, where)
    if columns.time and (fault := repeated_fault(table, f"column '{columns.time}' (time)", where)):
        faults.insert(0, fault)
    if faults:
        raise InputError(faults)
    table = replace(table, blocks={role: table.blocks[role] for role in ("target", "past", "known")})
    step = _frequency(table, columns, frequency, where)
    table = on_grid(table, step, where)
    ends = _ends(table, columns, where)
    if missing == "error":
        _check_complete(table, ends, columns, step, where)
    if is_for_learning:
        _check_learnable(table, ends, columns, where)
    table = trimmed(table, ends.first, ends.future)
    return Panel(
        columns=columns,
        frequency=step,
        names=table.names,
        starts=table.starts,
        histories=ends.history - ends.first,
        times=table.times,
        target=table.blocks["target"],
        past=table.blocks["past"],
        known=table.blocks["known"],
        static=static,
        past_features=encoded["past"].features,
        known_features=encoded["known"].features,
        static_features=encoded["static"].features,
    )


def _roles(columns: Columns) -> dict[str, tuple[str, ...]]:
    return {"target": columns.targets, "past": columns.past, "known": columns.known, "static": columns.static}


# --- the frame as given ---------------------------------------------------------------------------


def _check_shape(frame: pl.DataFrame, columns: Columns, where: str, *, fewest: int) -> None:
    found = frame.columns
    lost = [name for name in columns.all if name not in found]
    if lost:
        raise InputError(
            Fault(where, f"must hold a column '{name}', but has none. {did_you_mean(name, found)}") for name in lost
        )
    if frame.height == 0:
        raise InputError.at(where, "must hold rows of data, but has no rows")
    if frame.height < fewest:
        raise InputError.at(where, "has one row; a series needs at least 2 steps. Add its earlier rows")


def _times(frame: pl.DataFrame, columns: Columns, where: str) -> tuple[pl.Series | None, list[Fault]]:
    """The parsed time column, None where rows are steps; and what is wrong with the columns that place a row."""
    faults = list(null_faults(frame, columns.series, role="series", where=where))
    if columns.time is None:
        return None, faults
    faults += null_faults(frame, (columns.time,), role="time", where=where)
    try:
        return parse_times(frame[columns.time], where=where), faults
    except InputError as error:
        return None, [*faults, *error.faults]


def _static_values(table: Table, features: Sequence[Feature], where: str) -> tuple[Floats, list[Fault]]:
    """One value a series, float32 [S, M]; missing values are ignored where the series has one elsewhere."""
    values, starts = table.blocks["static"], table.starts
    if not features:
        return np.empty((len(starts) - 1, 0), dtype=np.float32), []
    lowest = np.fmin.reduceat(values, starts[:-1], axis=0)
    highest = np.fmax.reduceat(values, starts[:-1], axis=0)
    faults = []
    for j, feature in enumerate(features):
        is_unknown = np.isnan(lowest[:, j])
        changes = np.flatnonzero((lowest[:, j] != highest[:, j]) & ~is_unknown)
        subject = f"column '{feature.name}' (static)"
        if len(changes):
            problem = f"must have one value a series, but changes within {table.shown_series(changes)}"
            faults.append(Fault(where, f"{subject} {problem}. Name it in covariates.past or .known"))
        if feature.categories is not None:
            lowest[is_unknown, j] = -1
        elif is_unknown.any():
            unknown = table.shown_series(np.flatnonzero(is_unknown))
            problem = f"must have a value in each series, found none in {unknown}"
            faults.append(Fault(where, f"{subject} {problem}. Fill it in or leave the column out"))
    return lowest, faults


def _frequency(table: Table, columns: Columns, asked: str, where: str) -> Frequency:
    if columns.time is None:
        if asked in ("auto", "rows"):
            return Frequency("rows")
        problem = f"data.frequency {asked} needs a time column, but data.time is null"
        raise InputError.at(where, f"{problem}. Name the column, or leave data.frequency out")
    if asked == "auto":
        return infer_frequency(table.times, table.starts)
    return parse_frequency(asked, table.times.alias(columns.time), where=where)


# --- history and future ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Ends:
    """Rows that bound the parts of each series, all int64 [S].

    Attributes:
        first: the first row with a target.
        history: the row after the last with a target.
        future: the row after the last future step.
    """

    first: Integers
    history: Integers
    future: Integers


def _ends(table: Table, columns: Columns, where: str) -> _Ends:
    given = np.flatnonzero(~np.isnan(table.blocks["target"]).all(axis=1))
    edges = np.searchsorted(given, table.starts)
    empty = np.flatnonzero(edges[1:] == edges[:-1])
    if len(empty):
        problem = f"must have values in each series, found none in {table.shown_series(empty)}"
        raise InputError.at(where, f"column '{columns.targets[0]}' (target) {problem}. Remove these series")
    first, history = given[edges[:-1]], given[edges[1:] - 1] + 1
    if not columns.known:
        return _Ends(first, history, history)
    unknown = np.append(np.flatnonzero(np.isnan(table.blocks["known"]).any(axis=1)), table.starts[-1])
    return _Ends(first, history, np.minimum(unknown[np.searchsorted(unknown, history)], table.starts[1:]))


def _check_complete(table: Table, ends: _Ends, columns: Columns, step: Frequency, where: str) -> None:
    """Refuses missing steps and missing values of the history."""
    steps = np.arange(table.starts[-1])
    series = np.repeat(np.arange(len(ends.first)), np.diff(table.starts))
    is_new = table.numbers == 0
    is_future = (steps >= ends.history[series]) & (steps < ends.future[series])
    faults = list(_gap_faults(table, is_new, columns, step, where))
    for role in ("target", "past", "known"):
        for j, name in enumerate(_roles(columns)[role]):
            lost = np.flatnonzero(np.isnan(table.blocks[role][:, j]) & ~is_new & ~is_future)
            if len(lost):
                faults.append(_missing_fault(table, lost, f"column '{name}' ({role})", columns, where))
    if faults:
        raise InputError(faults)


def _gap_faults(table: Table, is_new: Flags, columns: Columns, step: Frequency, where: str) -> Iterable[Fault]:
    new = np.flatnonzero(is_new)
    if len(new):
        found = ", ".join(str(table.times[int(i)]) for i in new[:FAULTS_SHOWN])
        more = f" and {len(new) - FAULTS_SHOWN} more" if len(new) > FAULTS_SHOWN else ""
        problem = f"must have a row for each step of {step.every}, but {_lost(len(new), 'step')}: {found}{more}"
        yield Fault(where, f"column '{columns.time}' (time) {problem}. {_ADVICE}")


def _missing_fault(table: Table, lost: Integers, subject: str, columns: Columns, where: str) -> Fault:
    rows = shown_rows(table.numbers[lost[:FAULTS_SHOWN]], count=len(lost))
    found = ", ".join(str(table.times[int(i)]) for i in lost[:FAULTS_SHOWN]) if columns.time else ""
    at = f" ({found}{', ...' if len(lost) > FAULTS_SHOWN else ''})" if found else ""
    return Fault(where, f"{subject} must have no gaps, but {_lost(len(lost), 'value')}: {rows}{at}. {_ADVICE}")


def _lost(count: int, noun: str) -> str:
    return f"1 {noun} is missing" if count == 1 else f"{count} {noun}s are missing"


def _check_learnable(table: Table, ends: _Ends, columns: Columns, where: str) -> None:
    """Refuses targets that never change, and series that all have one step."""
    if (ends.history - ends.first).max() < 2:
        raise InputError.at(where, "has one row a series; a series needs at least 2 steps. Check data.series")
    faults = []
    target = table.blocks["target"]
    lowest, highest = np.fmin.reduce(target, axis=0), np.fmax.reduce(target, axis=0)
    for j, name in enumerate(columns.targets):
        subject, advice = f"column '{name}' (target)", "Name another column in data.target"
        if np.isnan(lowest[j]):
            faults.append(Fault(where, f"{subject} must hold numbers, found no value in any row. {advice}"))
        elif lowest[j] == highest[j]:
            problem = f"has the value {lowest[j]:g} in every row, so there is nothing to learn"
            faults.append(Fault(where, f"{subject} {problem}. {advice}"))
    if faults:
        raise InputError(faults)
