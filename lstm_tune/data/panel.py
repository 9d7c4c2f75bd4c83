"""The data of an experiment after reading and checking: series on a regular grid of steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Columns:
    """Which column plays which role.

    Attributes:
        targets: columns to forecast, at least one.
        time: time column, or None where rows are steps.
        series: columns that together name a series; empty for a single series.
        past: covariates known up to the present.
        known: covariates known for the forecast steps too.
        static: covariates with one value a series.
    """

    targets: tuple[str, ...]
    time: str | None = None
    series: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    static: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        """Every column that has a role, in reading order."""
        time = (self.time,) if self.time else ()
        return (*self.series, *time, *self.targets, *self.past, *self.known, *self.static)

    @property
    def repeated(self) -> tuple[str, ...]:
        """The columns of a panel whose values come again and again: names of series and times."""
        return (*self.series, self.time) if self.time else self.series


@dataclass(frozen=True)
class Frequency:
    """The step of the time column.

    Attributes:
        every: a Polars duration of one step (`1mo`, `1d`, `30m`); "1b" for business days (Monday to Friday); "rows"
            where each row is a step whatever its time (irregular times, integer positions with holes that mean nothing)
            and "1i" where the time column holds integers one apart (years, indices).
        month_end: whether monthly, quarterly or yearly times fall on the last day of the month.
    """

    every: str
    month_end: bool = False


@dataclass(frozen=True)
class Feature:
    """One covariate column.

    Attributes:
        name: the column.
        categories: its values as text in sorted order when it is categorical, else None. A categorical feature is
            stored as the index into this tuple, -1 for a value outside it.
    """

    name: str
    categories: tuple[str, ...] | None = None


def category_counts(features: Sequence[Feature]) -> tuple[int, ...]:
    """Categories of each column, 0 for a numeric one."""
    return tuple(len(feature.categories or ()) for feature in features)


@dataclass(frozen=True)
class Panel:
    """Series on a regular grid of steps, one after the other in flat arrays.

    Series i owns the rows `starts[i]` to `starts[i + 1]`; the first `histories[i]` of them are its history, the rest
    are future steps for which only known covariates are given. Every row is one step of `frequency`: gaps in the time
    column have become rows whose values are NaN.

    Attributes:
        columns: the roles of the columns.
        frequency: the step.
        names: one row a series with the series columns; a single row without columns for a single series.
        starts: first row of each series and the end, int64 [S + 1].
        histories: steps of history of each series, int64 [S].
        times: time of every row (temporal or integer dtype), length N; row positions where there is no time column.
        target: float32 [N, Y] in the user's units, NaN where missing.
        past: float32 [N, P], NaN where missing.
        known: float32 [N, K], NaN where missing.
        static: float32 [S, M].
        past_features: descriptions of the columns of `past`.
        known_features: descriptions of the columns of `known`.
        static_features: descriptions of the columns of `static`.
    """

    columns: Columns
    frequency: Frequency
    names: pl.DataFrame
    starts: Integers
    histories: Integers
    times: pl.Series
    target: Floats
    past: Floats
    known: Floats
    static: Floats
    past_features: tuple[Feature, ...] = ()
    known_features: tuple[Feature, ...] = ()
    static_features: tuple[Feature, ...] = ()

    @property
    def size(self) -> int:
        """Number of series."""
        return len(self.histories)

    @cached_property
    def rows(self) -> int:
        """Steps of history, over all series."""
        return int(self.histories.sum())

    def label(self, i: int) -> str:
        """The name of series i for people: its series columns joined by a slash, or nothing for a single series."""
        return "/".join(str(value) for value in self.names.row(i)) if self.columns.series else ""
