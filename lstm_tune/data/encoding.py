"""Columns of a frame as blocks of float32: numbers as they are, text as category codes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from lstm_tune.data.panel import Feature, Floats
from lstm_tune.data.reading import MISSING_WORDS
from lstm_tune.data.times import shown_rows
from lstm_tune.spec.errors import Fault

FAULTS_SHOWN = 3
"""Rows, times or series that one message names."""

_TEXTS = (pl.String, pl.Categorical, pl.Enum)


@dataclass(frozen=True)
class Block:
    """The columns of one role as numbers.

    Attributes:
        values: float32 [N, F], NaN where missing.
        features: descriptions of the columns.
        faults: what is wrong with them; where there is any, `values` are not to be used.
    """

    values: Floats
    features: tuple[Feature, ...]
    faults: tuple[Fault, ...]


def encode_columns(
    frame: pl.DataFrame, names: Sequence[str], *, role: str, where: str, model_features: Sequence[Feature] | None = None
) -> Block:
    """The columns of one role as numbers, and every fault in them.

    Text becomes the index among the sorted categories; for a target, and for a column that a model knows as numeric, it
    is read as numbers. A category that a model does not know becomes -1.

    Args:
        frame: the rows, N of them.
        names: the columns, F of them.
        role: target, past, known or static; for messages, and a target is never categorical.
        where: what messages are about.
        model_features: how a trained model knows covariates, by name; None where the frame itself decides.
    """
    values = np.empty((frame.height, len(names)), dtype=np.float32)
    known = {feature.name: feature for feature in model_features or ()}
    features: list[Feature] = []
    faults: list[Fault] = []
    for i, name in enumerate(names):
        column = frame[name]
        feature = known.get(name) or _described(column, role)
        features.append(feature)
        if feature.categories is not None:
            values[:, i] = _codes(column, feature.categories)
            continue
        numbers, problem = _numbers(column)
        if problem is None:
            values[:, i] = numbers.fill_null(float("nan")).to_numpy()
            problem = _infinity(values[:, i], column)
        if problem is not None:
            faults.append(Fault(where, f"column '{name}' ({role}) {problem}"))
    return Block(values, tuple(features), tuple(faults))


def _described(column: pl.Series, role: str) -> Feature:
    """A column as it describes itself: categorical when it is text and no target."""
    if role == "target" or column.dtype not in _TEXTS:
        return Feature(column.name)
    return Feature(column.name, tuple(sorted(column.cast(pl.String).drop_nulls().unique())))


def _codes(column: pl.Series, categories: Sequence[str]) -> Floats:
    """The index of each value among the categories, -1 for one that is not there, NaN for a missing one."""
    text = column.cast(pl.String)
    codes = text.cast(pl.Enum(categories), strict=False).to_physical().cast(pl.Float32)
    codes = codes.set(codes.is_null() & text.is_not_null(), -1.0)
    return codes.fill_null(float("nan")).to_numpy()


def _numbers(column: pl.Series) -> tuple[pl.Series, str | None]:
    """The column as Float32 with nulls, or what is wrong with it."""
    if column.dtype.is_numeric() or column.dtype in (pl.Boolean, pl.Null):
        return column.cast(pl.Float32), None
    if column.dtype not in _TEXTS:
        return column, f"must hold numbers, found {column.dtype}. Name another column"
    text = column.cast(pl.String).str.strip_chars()
    text = text.set(text.is_in(MISSING_WORDS), None)
    numbers = text.cast(pl.Float64, strict=False)
    is_bad = text.is_not_null() & numbers.is_null()
    if is_bad.any():
        values = ", ".join(repr(value) for value in column.filter(is_bad).head(FAULTS_SHOWN))
        has_digits = bool(text.filter(is_bad).str.contains(r"\d").all())
        advice = "Write numbers like 1234.5, without other signs" if has_digits else "Correct or remove these rows"
        return (
            column,
            f"must hold numbers, found the text {values} in {named_rows(is_bad)}. {advice}",
        )
    return numbers.cast(pl.Float32), None


def _infinity(values: Floats, column: pl.Series) -> str | None:
    is_infinite = np.isinf(values)
    if not is_infinite.any():
        return None
    rows = np.flatnonzero(is_infinite)
    found = ", ".join(str(value) for value in column.gather(rows[:FAULTS_SHOWN]))
    shown = shown_rows(rows[:FAULTS_SHOWN] + 1, count=len(rows))
    return (
        f"must hold finite numbers below 3.4e38, found {found} in {shown}. Correct these rows or leave the value empty"
    )


def null_faults(frame: pl.DataFrame, names: Sequence[str], *, role: str, where: str) -> Iterable[Fault]:
    """A fault for each column that lacks a value in some row."""
    for name in names:
        column = frame[name]
        is_null = column.is_null() | column.is_nan() if column.dtype.is_float() else column.is_null()
        if is_null.any():
            problem = f"column '{name}' ({role}) must have a value in every row, found none in {named_rows(is_null)}"
            yield Fault(where, f"{problem}. Fill in or remove these rows (words such as NA count as missing)")


def named_rows(flags: pl.Series) -> str:
    """The rows of a flag for a message, counted from 1: `rows 3, 17, 42 and 5 more`."""
    rows = flags.arg_true()
    return shown_rows((rows.head(FAULTS_SHOWN) + 1).to_list(), count=len(rows))
