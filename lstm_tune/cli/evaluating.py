"""The command that looks at a finished run again."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from lstm_tune.cli.places import run_folder
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import finite, is_remote, open_run

if TYPE_CHECKING:
    from lstm_tune.search.evaluating import Looked


def evaluate_run(place: str, data: str | None, *, as_json: bool) -> None:
    """Scores a run's model and writes the look into its ledger, the one at a remote address included.

    Args:
        place: the run's directory or address.
        data: table with newer rows; None for the run's own test part.
        as_json: one JSON object instead of a table.
    """
    root = run_folder(place)
    paths = open_run(root)
    if not paths.bundle.is_dir():
        raise InputError.at(str(root), f"is a run without a model yet. Finish it: lstm-tune resume {root}")
    with Console(stderr=True, quiet=as_json).status(f"{root.name}: reading the run"):
        from lstm_tune.search.evaluating import look_at

        looked = look_at(paths, data)
        if is_remote(place):
            from lstm_tune.search.copying import update_copy

            update_copy(root, place)
    if as_json:
        typer.echo(json.dumps(finite(_values(looked)), allow_nan=False))
        return
    from lstm_tune.display.evaluation import render_evaluation

    console = Console()
    console.print(render_evaluation(looked.evaluation, looked.sentences, width=console.width))


def _values(looked: "Looked") -> dict[str, Any]:
    values = asdict(looked.evaluation)
    within = {"is_as_claimed": looked.evaluation.is_as_claimed}
    return {**values, **within, "look": looked.look, "sentences": list(looked.sentences)}
