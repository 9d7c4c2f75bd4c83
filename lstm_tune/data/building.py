"""From a frame to a `Panel`: every check of the user's rows, then series on a grid of steps in flat float32 arrays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.data.panel import Columns, Feature, Floats, Frequency, Integers, Panel
from lstm_tune.data.reading import MISSING_WORDS
from lstm_tune.data.times import (
    Flags,
    grid_positions,
    infer_frequency,
    is_regular,
    parse_frequency,
    parse_times,
    shift_times,
    shown_rows,
)
from lstm_tune.spec.errors import Fault, InputError, did_you_mean

Missing = Literal["error", "interpolate", "forward", "mask"]

_SHOWN = 3
# A grid with more new rows than this multiple of the given ones comes from a wrong time, not from missing steps.
_MOST_NEW_ROWS = 10
_FEWEST_NEW_ROWS = 1_000
_ADVICE = "Set data.missing to interpolate, forward or mask, or complete the data"


@dataclass(frozen=True)
class _Table:
    """Rows ordered by series and time, before or after the gaps of the grid are filled.

    Attributes:
        starts: first row of each series and the end, int64 [S + 1].
        times: time of every row, length N.
        numbers: row of the input each row came from, counted from 1; 0 for a filled gap; int64 [N].
        blocks: float32 [N, F] for each role that changes with time: target, past and known.
    """

    starts: Integers
    times: pl.Series
    numbers: NDArray[np.integer]
    blocks: dict[str, Floats]


def build_panel(
    frame: pl.DataFrame, columns: Columns, *, missing: Missing, frequency: str = "auto", where: str
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

    Returns:
        The panel, its values in the user's units.

    Raises:
        InputError: the rows break a rule; lists the faults with row numbers, counted from 1 at the first row of data.
    """
    _check_shape(frame, columns, where)
    faults: list[Fault] = [*_null_faults(frame, columns, where)]
    times, time_faults = _times(frame, columns, where)
    encoded = {role: _encode(frame, names, role, where) for role, names in _roles(columns).items()}
    faults += [*time_faults, *(fault for block in encoded.values() for fault in block.faults)]
    if faults:
        raise InputError(faults)
    names, ids = _series(frame, columns.series)
    table = _sorted(ids, times, {role: block.values for role, block in encoded.items()}, len(names))
    if columns.time:
        _check_distinct(table, columns, names, where)
    else:
        table = replace(table, times=pl.Series(_positions(table.starts)))
    static = _static_values(table.blocks["static"], table.starts, encoded["static"].features, names, where)
    table = replace(table, blocks={role: table.blocks[role] for role in ("target", "past", "known")})
    step = _frequency(table, columns, frequency, where)
    table = _on_grid(table, step, names, where)
    ends = _ends(table, names, columns, where)
    if missing == "error":
        _check_complete(table, ends, columns, step, where)
    table = _trimmed(table, ends)
    panel = Panel(
        columns=columns,
        frequency=step,
        names=names,
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
    _check_learnable(panel, where)
    return panel


def _roles(columns: Columns) -> dict[str, tuple[str, ...]]:
    return {"target": columns.targets, "past": columns.past, "known": columns.known, "static": columns.static}


# --- the frame as given ---------------------------------------------------------------------------


def _check_shape(frame: pl.DataFrame, columns: Columns, where: str) -> None:
    found = frame.columns
    lost = [name for name in columns.all if name not in found]
    if lost:
        raise InputError(
            Fault(where, f"must hold a column '{name}', but has none. {did_you_mean(name, found)}") for name in lost
        )
    if frame.height == 0:
        raise InputError.at(where, "must hold rows of data, but has no rows")
    if frame.height == 1:
        raise InputError.at(where, "has one row; a series needs at least 2 steps. Add its earlier rows")


def _null_faults(frame: pl.DataFrame, columns: Columns, where: str) -> Iterable[Fault]:
    for name in columns.series + ((columns.time,) if columns.time else ()):
        column = frame[name]
        is_null = column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()
        if is_null.any():
            role = "time" if name == columns.time else "series"
            problem = f"column '{name}' ({role}) must have a value in every row, found none in {_named(is_null)}"
            yield Fault(where, f"{problem}. Fill in or remove these rows (words such as NA count as missing)")


def _named(flags: pl.Series) -> str:
    rows = flags.arg_true()
    return shown_rows((rows.head(_SHOWN) + 1).to_list(), count=len(rows))


def _times(frame: pl.DataFrame, columns: Columns, where: str) -> tuple[pl.Series, list[Fault]]:
    """The parsed time column; row positions where rows are steps."""
    if columns.time is None:
        return pl.int_range(frame.height, dtype=pl.Int64, eager=True), []
    try:
        return parse_times(frame[columns.time], where=where), []
    except InputError as error:
        return frame[columns.time], list(error.faults)


@dataclass(frozen=True)
class _Block:
    """The columns of one role as numbers: float32 [N, F], their descriptions, and what is wrong with them."""

    values: Floats
    features: tuple[Feature, ...]
    faults: tuple[Fault, ...]


def _encode(frame: pl.DataFrame, names: Sequence[str], role: str, where: str) -> _Block:
    values = np.empty((frame.height, len(names)), dtype=np.float32)
    features: list[Feature] = []
    faults: list[Fault] = []
    for i, name in enumerate(names):
        column = frame[name]
        if role != "target" and column.dtype in (pl.String, pl.Categorical, pl.Enum):
            values[:, i], categories = _codes(column)
            features.append(Feature(name, categories))
            continue
        numbers, problem = _numbers(column)
        features.append(Feature(name))
        if problem is None:
            values[:, i] = numbers.fill_null(float("nan")).to_numpy()
            problem = _infinity(values[:, i], column)
        if problem is not None:
            faults.append(Fault(where, f"column '{name}' ({role}) {problem}"))
    return _Block(values, tuple(features), tuple(faults))


def _codes(column: pl.Series) -> tuple[Floats, tuple[str, ...]]:
    """The index of each value among the sorted categories, NaN for a missing one, and the categories."""
    text = column.cast(pl.String)
    categories = sorted(text.drop_nulls().unique())
    codes = text.cast(pl.Enum(categories)).to_physical().cast(pl.Float32)
    return codes.fill_null(float("nan")).to_numpy(), tuple(categories)


def _numbers(column: pl.Series) -> tuple[pl.Series, str | None]:
    """The column as Float32 with nulls, or what is wrong with it."""
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float32), None
    if column.dtype not in (pl.String, pl.Categorical, pl.Enum):
        return column, f"must hold numbers, found {column.dtype}. Name another column"
    text = column.cast(pl.String).str.strip_chars()
    text = text.set(text.is_in(MISSING_WORDS), None)
    numbers = text.cast(pl.Float64, strict=False)
    is_bad = text.is_not_null() & numbers.is_null()
    if is_bad.any():
        values = ", ".join(repr(value) for value in column.filter(is_bad).head(_SHOWN))
        return (
            column,
            f"must hold numbers, found the text {values} in {_named(is_bad)}. Correct or remove these rows",
        )
    return numbers.cast(pl.Float32), None


def _infinity(values: Floats, column: pl.Series) -> str | None:
    is_infinite = np.isinf(values)
    if not is_infinite.any():
        return None
    rows = np.flatnonzero(is_infinite)
    found = ", ".join(str(value) for value in column.gather(rows[:_SHOWN]))
    shown = shown_rows(rows[:_SHOWN] + 1, count=len(rows))
    return (
        f"must hold finite numbers below 3.4e38, found {found} in {shown}. Correct these rows or leave the value empty"
    )


# --- rows in order --------------------------------------------------------------------------------


def _series(frame: pl.DataFrame, series: Sequence[str]) -> tuple[pl.DataFrame, NDArray[np.int32]]:
    """One row a series, sorted by value, and the series of each row, int32 [N]."""
    if not series:
        return pl.DataFrame(height=1), np.zeros(frame.height, dtype=np.int32)
    keys = frame.select(series)
    by_value = [
        pl.col(name).cast(pl.String) if frame[name].dtype == pl.Categorical else pl.col(name) for name in series
    ]
    names = keys.unique().sort(by_value)
    ids = keys.join(names.with_row_index("__id"), on=list(series), how="left", maintain_order="left")["__id"]
    return names, ids.to_numpy().astype(np.int32)


def _sorted(ids: NDArray[np.int32], times: pl.Series, blocks: dict[str, Floats], series: int) -> _Table:
    """The rows by series and time; rows of equal time keep their order. Nothing is copied when they are in order."""
    starts = np.concatenate(([0], np.cumsum(np.bincount(ids, minlength=series)))).astype(np.int64)
    clock = times.to_physical().to_numpy()
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint32)
    if ((ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (clock[1:] >= clock[:-1]))).all():
        return _Table(starts, times, numbers, blocks)
    order = np.lexsort((clock, ids))
    return _Table(starts, times.gather(order), numbers[order], {role: block[order] for role, block in blocks.items()})


def _check_distinct(table: _Table, columns: Columns, names: pl.DataFrame, where: str) -> None:
    physical = table.times.to_physical().to_numpy()
    is_repeated = physical[1:] == physical[:-1]
    is_repeated[table.starts[1:-1] - 1] = False
    repeated = np.flatnonzero(is_repeated)
    if not len(repeated):
        return
    shown = [
        f"{_moment(table, names, i)} in rows {table.numbers[i]} and {table.numbers[i + 1]}" for i in repeated[:_SHOWN]
    ]
    more = f" and {len(repeated) - _SHOWN} more" if len(repeated) > _SHOWN else ""
    rule = f"column '{columns.time}' (time) must have each time once{' in a series' if columns.series else ''}"
    advice = "Remove the repeated rows, or name the columns that tell the series apart in data.series"
    raise InputError.at(where, f"{rule}, found {'; '.join(shown)}{more}. {advice}")


def _moment(table: _Table, names: pl.DataFrame, row: np.integer | int) -> str:
    """The time of a row for a message, and its series where there are several."""
    i = int(np.searchsorted(table.starts, row, side="right")) - 1
    series = f" of series {'/'.join(str(value) for value in names.row(i))}" if names.width else ""
    return f"{table.times[int(row)]}{series}"


def _static_values(
    values: Floats, starts: Integers, features: Sequence[Feature], names: pl.DataFrame, where: str
) -> Floats:
    """One value a series, float32 [S, M]; missing values are ignored where the series has one elsewhere."""
    if not features:
        return np.empty((len(starts) - 1, 0), dtype=np.float32)
    lowest = np.fmin.reduceat(values, starts[:-1], axis=0)
    highest = np.fmax.reduceat(values, starts[:-1], axis=0)
    faults = []
    for j, feature in enumerate(features):
        is_unknown = np.isnan(lowest[:, j])
        changes = np.flatnonzero((lowest[:, j] != highest[:, j]) & ~is_unknown)
        if len(changes):
            problem = f"must have one value a series, but changes within {_series_shown(names, changes)}"
            faults.append(
                Fault(where, f"column '{feature.name}' (static) {problem}. Name it in covariates.past or .known")
            )
        if feature.categories is not None:
            lowest[is_unknown, j] = -1
        elif is_unknown.any():
            problem = (
                f"must have a value in each series, found none in {_series_shown(names, np.flatnonzero(is_unknown))}"
            )
            faults.append(
                Fault(where, f"column '{feature.name}' (static) {problem}. Fill it in or leave the column out")
            )
    if faults:
        raise InputError(faults)
    return lowest


def _series_shown(names: pl.DataFrame, indices: Integers) -> str:
    if not names.width:
        return "the series"
    labels = ["/".join(str(value) for value in names.row(int(i))) for i in indices[:_SHOWN]]
    more = f" and {len(indices) - _SHOWN} more" if len(indices) > _SHOWN else ""
    return f"series {', '.join(labels)}{more}"


# --- the grid -------------------------------------------------------------------------------------


def _frequency(table: _Table, columns: Columns, asked: str, where: str) -> Frequency:
    if columns.time is None:
        if asked in ("auto", "rows"):
            return Frequency("rows")
        problem = f"data.frequency {asked} needs a time column, but data.time is null"
        raise InputError.at(where, f"{problem}. Name the column, or leave data.frequency out")
    if asked == "auto":
        return infer_frequency(table.times, table.starts)
    return parse_frequency(asked, table.times.alias(columns.time), where=where)


def _on_grid(table: _Table, step: Frequency, names: pl.DataFrame, where: str) -> _Table:
    """The table with a row of NaN for every step of the grid that it lacks."""
    if table.times.dtype == pl.Date and step.every.endswith(("h", "m", "s")):
        table = replace(table, times=table.times.cast(pl.Datetime("us")))
    if is_regular(table.times, table.starts, step):
        return table
    positions, is_off = grid_positions(table.times, table.starts, step)
    if is_off.any():
        raise _off_grid(table, is_off, step, names, where)
    lengths = positions[table.starts[1:] - 1] + 1
    total, given = int(lengths.sum()), len(positions)
    if total - given > max(_MOST_NEW_ROWS * given, _FEWEST_NEW_ROWS):
        raise _too_sparse(table, positions, step, names, where)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    slots = positions + np.repeat(starts[:-1], np.diff(table.starts))
    return _spread(table, slots, starts, step)


def _positions(starts: Integers) -> Integers:
    """The position of each row in its series, int64 [N]."""
    return np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], np.diff(starts))


def _off_grid(table: _Table, is_off: Flags, step: Frequency, names: pl.DataFrame, where: str) -> InputError:
    rows = np.flatnonzero(is_off)
    found = ", ".join(_moment(table, names, i) for i in rows[:_SHOWN])
    shown = shown_rows(table.numbers[rows[:_SHOWN]], count=len(rows))
    rule = "weekdays" if step.every.endswith("b") else f"one for each step of {step.every}"
    advice = "Correct or remove these rows, or set data.frequency: rows to take each row as a step whatever its time"
    return InputError.at(where, f"times must be {rule}, found {found} in {shown}, off this grid. {advice}")


def _too_sparse(table: _Table, positions: Integers, step: Frequency, names: pl.DataFrame, where: str) -> InputError:
    leaps = np.diff(positions)
    i = int(leaps.argmax())
    hole = f"{leaps[i] - 1} steps are missing after {_moment(table, names, i)}"
    advice = "Correct the times, or set data.frequency: rows to take each row as a step whatever its time"
    return InputError.at(where, f"times must follow steps of {step.every} without great holes, but {hole}. {advice}")


def _spread(table: _Table, slots: Integers, starts: Integers, step: Frequency) -> _Table:
    """Moves each row to its slot in a longer table; the slots between are rows of NaN, with their times."""
    total = int(starts[-1])
    is_new = np.ones(total, dtype=np.bool_)
    is_new[slots] = False
    new = np.flatnonzero(is_new)
    before = np.searchsorted(slots, new) - 1
    times = shift_times(table.times.gather(before), new - slots[before], step)
    clock = np.empty(total, dtype=table.times.to_physical().to_numpy().dtype)
    clock[slots], clock[new] = table.times.to_physical().to_numpy(), times.to_physical().to_numpy()
    blocks = {role: np.full((total, block.shape[1]), np.nan, dtype=np.float32) for role, block in table.blocks.items()}
    for role, block in table.blocks.items():
        blocks[role][slots] = block
    numbers = np.zeros(total, dtype=table.numbers.dtype)
    numbers[slots] = table.numbers
    return _Table(starts, pl.Series(table.times.name, clock).cast(table.times.dtype), numbers, blocks)


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


def _ends(table: _Table, names: pl.DataFrame, columns: Columns, where: str) -> _Ends:
    given = np.flatnonzero(~np.isnan(table.blocks["target"]).all(axis=1))
    edges = np.searchsorted(given, table.starts)
    empty = np.flatnonzero(edges[1:] == edges[:-1])
    if len(empty):
        problem = f"must have values in each series, found none in {_series_shown(names, empty)}"
        raise InputError.at(where, f"column '{columns.targets[0]}' (target) {problem}. Remove these series")
    first, history = given[edges[:-1]], given[edges[1:] - 1] + 1
    if (history - first).max() < 2:
        raise InputError.at(where, "has one row a series; a series needs at least 2 steps. Check data.series")
    if not columns.known:
        return _Ends(first, history, history)
    unknown = np.append(np.flatnonzero(np.isnan(table.blocks["known"]).any(axis=1)), table.starts[-1])
    return _Ends(first, history, np.minimum(unknown[np.searchsorted(unknown, history)], table.starts[1:]))


def _check_complete(table: _Table, ends: _Ends, columns: Columns, step: Frequency, where: str) -> None:
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


def _gap_faults(table: _Table, is_new: Flags, columns: Columns, step: Frequency, where: str) -> Iterable[Fault]:
    new = np.flatnonzero(is_new)
    if len(new):
        found = ", ".join(str(table.times[int(i)]) for i in new[:_SHOWN])
        more = f" and {len(new) - _SHOWN} more" if len(new) > _SHOWN else ""
        problem = f"must have a row for each step of {step.every}, but {_lost(len(new), 'step')}: {found}{more}"
        yield Fault(where, f"column '{columns.time}' (time) {problem}. {_ADVICE}")


def _missing_fault(table: _Table, lost: Integers, subject: str, columns: Columns, where: str) -> Fault:
    rows = shown_rows(table.numbers[lost[:_SHOWN]], count=len(lost))
    found = ", ".join(str(table.times[int(i)]) for i in lost[:_SHOWN]) if columns.time else ""
    at = f" ({found}{', ...' if len(lost) > _SHOWN else ''})" if found else ""
    return Fault(where, f"{subject} must have no gaps, but {_lost(len(lost), 'value')}: {rows}{at}. {_ADVICE}")


def _lost(count: int, noun: str) -> str:
    return f"1 {noun} is missing" if count == 1 else f"{count} {noun}s are missing"


def _trimmed(table: _Table, ends: _Ends) -> _Table:
    """The table without the rows before each series' first and after its last step."""
    lengths = ends.future - ends.first
    if int(lengths.sum()) == len(table.times):
        return table
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    kept = _positions(starts) + np.repeat(ends.first, lengths)
    blocks = {role: block[kept] for role, block in table.blocks.items()}
    return _Table(starts, table.times.gather(kept), table.numbers[kept], blocks)


def _check_learnable(panel: Panel, where: str) -> None:
    faults = []
    lowest, highest = np.nanmin(panel.target, axis=0), np.nanmax(panel.target, axis=0)
    for j, name in enumerate(panel.columns.targets):
        if lowest[j] == highest[j]:
            problem = f"has the value {lowest[j]:g} in every row, so there is nothing to learn"
            faults.append(Fault(where, f"column '{name}' (target) {problem}. Name another column in data.target"))
    if faults:
        raise InputError(faults)
