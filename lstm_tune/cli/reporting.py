"""The report of a run, on demand."""

from collections.abc import Callable
from pathlib import Path

import typer

from lstm_tune.spec.errors import lookup
from lstm_tune.spec.paths import RunPaths, open_run


def report_run(root: Path, output: Path | None, *, format: str) -> None:
    """Writes the report of the run in `root` and says where it is.

    Args:
        root: the run's directory.
        output: the page, or the folder of the pictures; None for a place in the run.
        format: html or png.
    """
    from lstm_tune.report.writing import write_page, write_pictures

    writers: dict[str, Callable[[RunPaths, Path | None], Path]] = {"html": write_page, "png": write_pictures}
    write = lookup(writers, format, what="report format", where="--format")
    typer.echo(f"report: {write(open_run(root), output)}")
