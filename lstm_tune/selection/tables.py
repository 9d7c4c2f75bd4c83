"""The run's tables, for people who want to look closer: `trials.parquet` and `curves.parquet`."""

import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl

from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.paths import RunPaths, write_atomically


def trials_table(records: Iterable[TrialRecord]) -> pl.DataFrame:
    """One row a finished trial, in the order of their numbers; the hyperparameters are columns `hp_<name>`."""
    ended = sorted((record for record in records if record.end), key=lambda record: record.trial)
    names = sorted({name for record in ended for name in record.hyperparameters})
    schema: dict[str, pl.DataType | type[pl.DataType]] = {
        "trial": pl.Int64,
        "state": pl.String,
        "reason": pl.String,
        "score": pl.Float64,
        "standard_error": pl.Float64,
        "train_score": pl.Float64,
        "gap": pl.Float64,
        "best_epoch": pl.Int64,
        "epochs": pl.Int64,
        "seconds": pl.Float64,
        "parameters": pl.Int64,
        "fold_scores": pl.List(pl.Float64),
        "violations": pl.List(pl.String),
    }
    rows = [{name: getattr(record.end, name) for name in schema} for record in ended]
    table = pl.DataFrame(rows, schema=schema)
    columns = [_column(name, [record.hyperparameters.get(name) for record in ended]) for name in names]
    return table.with_columns(columns)


def _column(name: str, values: list[object]) -> pl.Series:
    present = [value for value in values if value is not None]
    if any(isinstance(value, float) for value in present) and not any(isinstance(value, str) for value in present):
        values = [None if value is None else float(value) for value in values]  # type: ignore[arg-type]
    return pl.Series(f"hp_{name}", values)


def curves_table(records: Iterable[TrialRecord]) -> pl.DataFrame:
    """One row a trial and epoch: the fold mean of the metric on validation and training targets."""
    schema = {"trial": pl.Int64, "epoch": pl.Int64, "score": pl.Float64, "train_score": pl.Float64}
    rows = [
        (record.trial, int(epoch), score, train_score)
        for record in sorted(records, key=lambda record: record.trial)
        for epoch, score, train_score in record.curve
    ]
    return pl.DataFrame(rows, schema=schema, orient="row")


def write_tables(paths: RunPaths, records: Mapping[int, TrialRecord]) -> None:
    """Writes both tables, each in one move."""
    for path, table in ((paths.trials, trials_table(records.values())), (paths.curves, curves_table(records.values()))):
        write_table(table, path)


def write_table(table: pl.DataFrame, path: Path) -> None:
    """Writes one table as Parquet, in one move."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    write_atomically(path, buffer.getvalue())
