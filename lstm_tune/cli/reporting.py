"""The report of a run, on demand."""

from collections.abc import Callable
from pathlib import Path

import typer

from lstm_tune.cli.places import run_folder
from lstm_tune.spec.errors import lookup
from lstm_tune.spec.paths import RunPaths, open_run


def report_run(place: str, output: Path | None, *, format: str) -> None:
    """Writes the report of a run and says where it is.

    Args:
        place: the run's directory or address.
        output: the page, or the folder of the pictures; None for a place in the run.
        format: html or png.
    """
    from lstm_tune.report.writing import write_page, write_pictures

    writers: dict[str, Callable[[RunPaths, Path | None], Path]] = {"html": write_page, "png": write_pictures}
    write = lookup(writers, format, what="report format", where="--format")
    typer.echo(f"report: {write(open_run(run_folder(place)), output)}")
