"""Rows ordered by series and time, and how the gaps between them are filled with rows of NaN."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lstm_tune.data.encoding import FAULTS_SHOWN
from lstm_tune.data.grid import Flags, grid_positions, is_regular, shift_times
from lstm_tune.data.panel import Floats, Frequency, Integers
from lstm_tune.data.times import shown_rows
from lstm_tune.spec.errors import Fault, InputError

# A grid with more new rows than this multiple of the given ones comes from a wrong time, not from missing steps.
_MOST_NEW_ROWS = 10
_FEWEST_NEW_ROWS = 1_000


@dataclass(frozen=True)
class Table:
    """Rows ordered by series and time, before or after the gaps of the grid are filled.

    Attributes:
        names: one row a series with the series columns; no columns for a single series.
        starts: first row of each series and the end, int64 [S + 1].
        times: time of every row, length N.
        numbers: row of the input each row came from, counted from 1; 0 for a filled gap; int64 [N].
        blocks: float32 [N, F] by role.
    """

    names: pl.DataFrame
    starts: Integers
    times: pl.Series
    numbers: NDArray[np.integer]
    blocks: dict[str, Floats]

    def moment(self, row: np.integer | int) -> str:
        """The time of a row for a message, and its series where there are several."""
        i = int(np.searchsorted(self.starts, row, side="right")) - 1
        return f"{self.times[int(row)]}{f' of {self.shown_series(np.array([i]))}' if self.names.width else ''}"

    def shown_series(self, indices: Integers) -> str:
        """Series for a message: `series a, b, c and 2 more`, or `the series` where there is only one without a name."""
        if not self.names.width:
            return "the series"
        labels = ["/".join(str(value) for value in self.names.row(int(i))) for i in indices[:FAULTS_SHOWN]]
        more = f" and {len(indices) - FAULTS_SHOWN} more" if len(indices) > FAULTS_SHOWN else ""
        return f"series {', '.join(labels)}{more}"


def sorted_table(
    frame: pl.DataFrame, series: Sequence[str], times: pl.Series | None, blocks: dict[str, Floats]
) -> Table:
    """The rows by series and time; rows of equal time keep their order. Nothing is copied when they are in order.

    Args:
        frame: holds the series columns.
        series: columns that together name a series; empty for a single series.
        times: length N; None where rows are steps, which are numbered from 0 in each series then.
        blocks: float32 [N, F] by role.
    """
    names, ids = _series(frame, series)
    starts = np.concatenate(([0], np.cumsum(np.bincount(ids, minlength=len(names))))).astype(np.int64)
    numbers = np.arange(1, len(ids) + 1, dtype=np.uint32)
    clock = numbers if times is None else times.to_physical().to_numpy()
    order = None
    if not ((ids[1:] > ids[:-1]) | ((ids[1:] == ids[:-1]) & (clock[1:] >= clock[:-1]))).all():
        order = np.lexsort((clock, ids))
        numbers, blocks = numbers[order], {role: block[order] for role, block in blocks.items()}
    if times is None:
        times = pl.Series(row_positions(starts))
    elif order is not None:
        times = times.gather(order)
    return Table(names, starts, times, numbers, blocks)


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


def row_positions(starts: Integers) -> Integers:
    """The position of each row in its series, int64 [N]."""
    return np.arange(starts[-1], dtype=np.int64) - np.repeat(starts[:-1], np.diff(starts))


def repeated_fault(table: Table, subject: str, where: str) -> Fault | None:
    """What is wrong when a series has a time twice.

    Args:
        table: the rows in order.
        subject: the column, for the message.
        where: what the message is about.
    """
    physical = table.times.to_physical().to_numpy()
    is_repeated = physical[1:] == physical[:-1]
    is_repeated[table.starts[1:-1] - 1] = False
    repeated = np.flatnonzero(is_repeated)
    if not len(repeated):
        return None
    shown = [
        f"{table.moment(i)} in rows {table.numbers[i]} and {table.numbers[i + 1]}" for i in repeated[:FAULTS_SHOWN]
    ]
    more = f" and {len(repeated) - FAULTS_SHOWN} more" if len(repeated) > FAULTS_SHOWN else ""
    rule = f"{subject} must have each time once{' in a series' if table.names.width else ''}"
    advice = "Remove the repeated rows, or name the columns that tell the series apart in data.series"
    return Fault(where, f"{rule}, found {'; '.join(shown)}{more}. {advice}")


def on_grid(table: Table, step: Frequency, where: str) -> Table:
    """The table with a row of NaN for every step of the grid that it lacks.

    Raises:
        InputError: times lie between the steps, or are so far apart that one of them must be wrong.
    """
    if table.times.dtype == pl.Date and step.every.endswith(("h", "m", "s")):
        table = replace(table, times=table.times.cast(pl.Datetime("us")))
    if is_regular(table.times, table.starts, step):
        return table
    positions, is_off = grid_positions(table.times, table.starts, step)
    if is_off.any():
        raise _off_grid(table, is_off, step, where)
    lengths = positions[table.starts[1:] - 1] + 1
    total, given = int(lengths.sum()), len(positions)
    if total - given > max(_MOST_NEW_ROWS * given, _FEWEST_NEW_ROWS):
        raise _too_sparse(table, positions, step, where)
    starts = np.concatenate(([0], np.cumsum(lengths)))
    slots = positions + np.repeat(starts[:-1], np.diff(table.starts))
    return _spread(table, slots, starts, step)


def _off_grid(table: Table, is_off: Flags, step: Frequency, where: str) -> InputError:
    rows = np.flatnonzero(is_off)
    found = ", ".join(table.moment(i) for i in rows[:FAULTS_SHOWN])
    shown = shown_rows(table.numbers[rows[:FAULTS_SHOWN]], count=len(rows))
    rule = "weekdays" if step.every.endswith("b") else f"one for each step of {step.every}"
    advice = "Correct or remove these rows, or set data.frequency: rows to take each row as a step whatever its time"
    return InputError.at(where, f"times must be {rule}, found {found} in {shown}, off this grid. {advice}")


def _too_sparse(table: Table, positions: Integers, step: Frequency, where: str) -> InputError:
    leaps = np.diff(positions)
    i = int(leaps.argmax())
    hole = f"{leaps[i] - 1} steps are missing after {table.moment(i)}"
    advice = "Correct the times, or set data.frequency: rows to take each row as a step whatever its time"
    return InputError.at(where, f"times must follow steps of {step.every} without great holes, but {hole}. {advice}")


def _spread(table: Table, slots: Integers, starts: Integers, step: Frequency) -> Table:
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
    return Table(table.names, starts, pl.Series(table.times.name, clock).cast(table.times.dtype), numbers, blocks)


def trimmed(table: Table, first: Integers, ends: Integers) -> Table:
    """The table with the rows `first` to `ends` of each series, both int64 [S], and no others."""
    lengths = ends - first
    if int(lengths.sum()) == len(table.times):
        return table
    starts = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    kept = row_positions(starts) + np.repeat(first, lengths)
    blocks = {role: block[kept] for role, block in table.blocks.items()}
    return Table(table.names, starts, table.times.gather(kept), table.numbers[kept], blocks)
