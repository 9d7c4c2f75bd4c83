"""Commands that run an experiment, or show one that runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.status import Status

from lstm_tune.cli.terminal import INTERRUPTED, own_terminal
from lstm_tune.display.board import Board
from lstm_tune.display.follow import follow as follow_events
from lstm_tune.display.leaderboard import render
from lstm_tune.display.live import choose_display
from lstm_tune.report.ending import report_end
from lstm_tune.spec.events import read_events
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import RunPaths, open_run

if TYPE_CHECKING:
    from lstm_tune.search.runner import Run


def run_experiment(
    space: Path, overrides: Sequence[str], *, warm_start: Path | None, json: bool, command: Sequence[str]
) -> None:
    """Runs an experiment file from the start.

    Args:
        space: the file.
        overrides: `key.path=value` texts.
        warm_start: an earlier run whose best configurations are tried first.
        json: write events as JSON lines instead of a leaderboard.
        command: the command line, for the run's manifest.
    """
    experiment = load_experiment(space, overrides)
    earlier = open_run(warm_start) if warm_start else None
    with _waiting(f"{experiment.name}: reading the data", json=json):
        from lstm_tune.search.runner import Run

        run = Run.create(experiment, folder=space.parent, command=command)
    _go(run, json=json, warm_start=earlier)


def resume_experiment(root: Path, overrides: Sequence[str], *, json: bool) -> None:
    """Goes on with the run in `root`; arguments as in `run_experiment`."""
    open_run(root)
    with _waiting(f"{root.name}: reading the run", json=json):
        from lstm_tune.search.runner import Run

        run = Run.reopen(root, overrides=overrides)
    _go(run, json=json)


def show_leaderboard(root: Path, *, follow: bool, json: bool) -> None:
    """Draws the run in `root` once or, with `follow`, until it ends; with `json` its events instead."""
    paths, console = open_run(root), Console()
    if json or follow:
        events = follow_events(paths.events, until_end=True) if follow else read_events(paths.events)
        with choose_display(json=json, console=console) as display:
            for stamped in events:
                display(stamped)
        return
    board = Board()
    for stamped in read_events(paths.events):
        board.fold(stamped)
    console.print(render(board, width=console.width, height=None, now_s=board.at_s))


def _go(run: "Run", *, json: bool, warm_start: RunPaths | None = None) -> None:
    with own_terminal(run.paths.driver_log) as console, choose_display(json=json, console=console) as display:
        try:
            outcome = run.go([display], warm_start=warm_start)
        finally:
            report_end(run.paths, [display])
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)


def _waiting(message: str, *, json: bool) -> Status:
    """A line at once, while libraries are imported and data is read."""
    return Console(stderr=True, quiet=json).status(message)
