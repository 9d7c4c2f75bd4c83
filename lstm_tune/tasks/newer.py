"""Rows that came after a run: what each series' last known step was, and which steps of a later table follow it.

Shape letters: S series.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from lstm_tune.data.folds import Fold
from lstm_tune.data.grid import Flags
from lstm_tune.data.panel import Columns, Integers, Panel
from lstm_tune.data.table import row_positions
from lstm_tune.spec.errors import InputError

_LAST, _STEPS = "last", "steps"
_SERIES_SHOWN = 3


@dataclass(frozen=True)
class Newer:
    """The steps of a table that a run did not know.

    Attributes:
        fold: what precedes them, and they as the block; zeros for a series without any.
        remarks: what was left out, one sentence each.
    """

    fold: Fold
    remarks: tuple[str, ...]


def known_steps(panel: Panel) -> pl.DataFrame:
    """What a run knew: the columns that name a series as text, its `first` and `last` time, and its `steps`."""
    firsts, ends = panel.starts[:-1], panel.starts[:-1] + panel.histories
    times = panel.times
    told = {"first": times.gather(firsts), _LAST: times.gather(ends - 1), _STEPS: pl.Series(panel.histories)}
    return pl.DataFrame([*_labels(panel), *(values.alias(name) for name, values in told.items())])


def with_history(frame: pl.DataFrame, earlier: pl.DataFrame, columns: Columns) -> pl.DataFrame:
    """A table completed by the rows of an earlier one that it does not hold itself.

    Args:
        frame: the later rows; those it shares with the earlier table win.
        earlier: rows of the same columns.
        columns: their roles. Without a time column a table cannot be completed, and is returned as it is.
    """
    if columns.time is None:
        return frame
    keys = [*columns.series, columns.time]
    texts = pl.col(pl.Categorical).cast(pl.String)
    later, before = frame.with_columns(texts), earlier.with_columns(texts)
    if any(later[key].dtype != before[key].dtype for key in keys):
        return frame
    kept = before.join(later, on=keys, how="anti")
    try:
        return pl.concat([kept, later.select(kept.columns)], how="vertical_relaxed")
    except pl.exceptions.PolarsError:
        return frame


def newer_steps(panel: Panel, known: pl.DataFrame, *, where: str) -> Newer:
    """The steps of a panel after the last that each series had in a run.

    Args:
        panel: a table with newer rows and what precedes them.
        known: what the run knew, as `known_steps` tells.
        where: how messages call the table.

    Raises:
        InputError: there is no newer row, or nothing that precedes them.
    """
    lasts = _lasts(panel, known, where)
    is_known = lasts.is_not_null().to_numpy()
    if not is_known.any():
        problem = "must hold series that the run knew, but has none of them. Check the columns of data.series"
        raise InputError.at(where, problem)
    starts = _steps_up_to(panel, lasts)
    ends = np.where(is_known, panel.histories, 0)
    has_newer = ends > starts
    if not has_newer.any():
        problem = f"must hold rows after the last that the run knew ({_shown(known[_LAST])}), but has none"
        advice = "Add newer rows, or look at the run's own test part again by leaving the table out"
        raise InputError.at(where, f"{problem}. {advice}")
    _check_history(panel, has_newer & (starts == 0), known, where)
    return Newer(Fold(starts, starts, np.maximum(ends, starts)), tuple(_remarks(is_known, has_newer)))


def _labels(panel: Panel) -> list[pl.Series]:
    """The columns that name a series, as text; one row a series."""
    return [column.cast(pl.String) for column in panel.names]


def _lasts(panel: Panel, known: pl.DataFrame, where: str) -> pl.Series:
    """The last known time of each series of a panel, in its type of times; null for a series that was unknown."""
    names = list(panel.columns.series)
    labels = pl.DataFrame(_labels(panel))
    found = labels.join(known, on=names, how="left", maintain_order="left") if names else known
    try:
        return found[_LAST].cast(panel.times.dtype)
    except pl.exceptions.PolarsError:
        wanted, given = known[_LAST].dtype, panel.times.dtype
        problem = f"must have times of the run's kind ({wanted}), found {given}. Write them as the run's data has them"
        raise InputError.at(where, f"column '{panel.columns.time}' (time) {problem}") from None


def _steps_up_to(panel: Panel, lasts: pl.Series) -> Integers:
    """Steps of each series' history that are not after its last known time, int64 [S]; 0 for an unknown series."""
    sizes = np.diff(panel.starts)
    series = np.repeat(np.arange(panel.size), sizes)
    is_old = (panel.times <= lasts.gather(series)).fill_null(value=False).to_numpy()
    is_old &= row_positions(panel.starts) < panel.histories[series]
    return np.bincount(series[is_old], minlength=panel.size).astype(np.int64)


def _check_history(panel: Panel, is_bare: Flags, known: pl.DataFrame, where: str) -> None:
    """Refuses newer rows without the steps that a forecast starts from."""
    bare = np.flatnonzero(is_bare).tolist()
    if bare:
        labels = ", ".join(panel.label(i) for i in bare[:_SERIES_SHOWN]) if panel.columns.series else ""
        of = f" of series {labels}{' and others' if len(bare) > _SERIES_SHOWN else ''}" if labels else ""
        problem = f"must hold the history{of} up to {_shown(known[_LAST])} too, as forecasts start from it"
        raise InputError.at(where, f"{problem}, but begins later. Put the earlier rows before the newer ones")


def _remarks(is_known: Flags, has_newer: Flags) -> list[str]:
    unknown, without = int((~is_known).sum()), int((is_known & ~has_newer).sum())
    found = []
    if unknown:
        found.append(f"{unknown:,} series that the run did not know {'is' if unknown == 1 else 'are'} left out.")
    if without:
        found.append(f"{without:,} series {'has' if without == 1 else 'have'} no newer rows.")
    return found


def _shown(lasts: pl.Series) -> str:
    """The latest of some times, for a message."""
    return str(lasts.max())
