"""Commands that use a finished model."""

import io
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import typer

from lstm_tune.bundle.files import read_bundle
from lstm_tune.bundle.predict import Model
from lstm_tune.cli.places import run_folder
from lstm_tune.data.reading import read_frame
from lstm_tune.spec.errors import InputError, lookup
from lstm_tune.spec.paths import write_atomically

_ROWS_SHOWN = 40

WRITERS: dict[str, Callable[[pl.DataFrame], bytes]] = {
    ".parquet": lambda table: _bytes(table.write_parquet),
    ".csv": lambda table: _bytes(table.write_csv),
    ".ndjson": lambda table: _bytes(table.write_ndjson),
    ".arrow": lambda table: _bytes(table.write_ipc),
}
"""Ending of a forecast's file to the content of the file."""


def predict_table(bundle: str, data: str, output: Path | None) -> None:
    """Forecasts every series of a table and writes or prints the result.

    Args:
        bundle: a bundle, or the directory or address of the run that made it.
        data: path or address of the table.
        output: a file whose ending names its format; None to print.
    """
    writer = lookup(WRITERS, output.suffix, what="table format", where=str(output)) if output else None
    model = Model(read_bundle(run_folder(bundle)))
    columns, horizon = model.bundle.preprocessing.columns, model.bundle.design.horizon
    frame = read_frame(data, folder=None, columns=columns.all, repeated=columns.repeated)
    forecast = model.predict(frame, where=data).with_columns(pl.col(pl.Categorical).cast(pl.String))
    if writer is None or output is None:
        typer.echo(_printed(forecast))
        return
    try:
        write_atomically(output, writer(forecast))
    except OSError as error:
        raise InputError.at(str(output), f"cannot be written: {error.strerror}. Name another file") from None
    series = f" for {forecast.height // horizon:,} series" if columns.series else ""
    typer.echo(f"{horizon} steps{series} written to {output}")


def export_model(place: str, format: str, output: Path | None) -> None:
    """Writes a model in another form and says where.

    Args:
        place: a bundle, or the directory or address of a run.
        format: bundle, torch-export or onnx.
        output: the folder to write into; None for `export` in the run's folder.
    """
    from lstm_tune.export.formats import export_bundle

    run = run_folder(place)
    bundle = read_bundle(run)
    written = export_bundle(bundle, output or (run if run.name != "best" else run.parent) / "export", format=format)
    typer.echo(f"written and checked: {written}")


def _printed(table: pl.DataFrame) -> str:
    """A table for eyes in a terminal, CSV in a pipe."""
    if not sys.stdout.isatty():
        return table.write_csv().rstrip("\n")
    with pl.Config(
        tbl_rows=_ROWS_SHOWN,
        tbl_cols=-1,
        tbl_hide_dataframe_shape=True,
        tbl_hide_column_data_types=True,
        tbl_formatting="NOTHING",
    ):
        return str(table)


def _bytes(write: Callable[..., object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()
