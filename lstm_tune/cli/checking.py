"""Commands that look at data and files without searching."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

import typer
from rich.console import Console

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import is_remote, write_atomically


def validate_experiment(space: Path, overrides: Sequence[str]) -> None:
    """Checks a file and its data, and shows folds, counts, sizes and the expected time.

    Args:
        space: the file.
        overrides: `key.path=value` texts.
    """
    experiment = load_experiment(space, overrides)
    _check_output(experiment.output.directory)
    console = Console()
    with Console(stderr=True).status(f"{experiment.name}: reading the data"):
        from lstm_tune.cli.facts import describe, fold_rows
        from lstm_tune.tasks.assembly import assemble

        prepared = assemble(experiment, folder=space.parent)
        facts = describe(experiment, prepared)
    from lstm_tune.display.summary import render_facts
    from lstm_tune.display.timeline import render_folds

    rows, start, end = fold_rows(prepared)
    console.print(render_folds(rows, console.width, start=start, end=end))
    console.print(render_facts(facts, prepared.warnings, width=console.width))
    console.print(f"{space} is valid. Run it: lstm-tune run {space}", highlight=False, markup=False, soft_wrap=True)


def _check_output(directory: str) -> None:
    """Refuses an output directory that a run could not make or write, without making it."""
    if is_remote(directory):
        from lstm_tune.search.storage import probe

        probe(directory)
        return
    nearest = Path(directory).absolute()
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        return
    found = f"'{nearest}' is {'not writable' if nearest.is_dir() else 'a file'}"
    problem = f"'{directory}' must be a folder this user may write to, but {found}"
    raise InputError.at("output.directory", f"{problem}. Choose another with --set output.directory=...")


def write_experiment(data: str, output: Path, *, force: bool) -> None:
    """Writes an experiment file for a table nobody has described.

    Args:
        data: path, glob or address of the table.
        output: the file to write.
        force: replace an existing file.
    """
    if output.exists() and not force:
        raise InputError.at(str(output), "exists already. Name another file with -o, or replace it with --force")
    with Console(stderr=True).status(f"{data}: reading"):
        from lstm_tune.data.guessing import guess, render_experiment
        from lstm_tune.data.reading import read_frame

        found = guess(read_frame(data, folder=None), name=_name_of(data), where=data)
    text = render_experiment(found, path=_relative(data, output), file=str(output))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(output, text)
    except OSError as error:
        raise InputError.at(str(output), f"cannot be written: {error.strerror}. Name another file with -o") from None
    _confirm(output, load_experiment(output))


def _confirm(output: Path, experiment: Experiment) -> None:
    targets = ", ".join(experiment.data.target)
    typer.echo(f"{output}: forecasts {targets} {experiment.task.horizon} steps ahead")
    typer.echo(f"Look at it, then: lstm-tune validate {output} && lstm-tune run {output}")


def _name_of(data: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data).name.split(".")[0]).strip("-.") or "experiment"


def _relative(data: str, output: Path) -> str:
    """The data's path as the experiment file must name it: relative to the file's own folder."""
    return data if "://" in data else os.path.relpath(Path(data).expanduser(), output.parent)
