"""The rows of a table up to a step, as if the later ones had never been written.

Shape letters: S series.
"""

import polars as pl

from lstm_tune.data.panel import Integers, Panel
from lstm_tune.data.times import parse_times

_TIME, _LAST = "__time", "__last"


def rows_until(frame: pl.DataFrame, panel: Panel, ends: Integers, *, where: str) -> pl.DataFrame:
    """The rows of a table before some step of each series, unchanged and in their order.

    Nothing else of the later rows reaches the result: whatever is inferred or fitted is so anew, from these alone.

    Args:
        frame: the rows that the panel was built from.
        panel: says which time each step has.
        ends: first step of each series that is left out, int64 [S]; a series without steps before it is left out whole.
        where: how messages call the table.

    Returns:
        The columns of `frame`; text is no longer categorical.
    """
    columns = panel.columns
    names = list(columns.series)
    texts = frame.with_columns(pl.col(pl.Categorical).cast(pl.String))
    if columns.time is None:
        position = pl.int_range(pl.len(), dtype=pl.Int64)
        timed = texts.with_columns((position.over(names) if names else position).alias(_TIME))
    else:
        times = parse_times(frame[columns.time], where=where).cast(panel.times.dtype)
        timed = texts.with_columns(times.alias(_TIME))
    limits = _limits(panel, ends)
    joined = timed.join(limits, on=names, maintain_order="left") if names else timed.join(limits, how="cross")
    return joined.filter(pl.col(_TIME) <= pl.col(_LAST)).select(frame.columns)


def _limits(panel: Panel, ends: Integers) -> pl.DataFrame:
    """The last time that is kept of each series that keeps any."""
    is_kept = ends > 0
    lasts = panel.times.gather(panel.starts[:-1][is_kept] + ends[is_kept] - 1).alias(_LAST)
    names = [column.filter(pl.Series(is_kept)) for column in panel.names]
    return pl.DataFrame([*names, lasts]).with_columns(pl.col(pl.Categorical).cast(pl.String))
