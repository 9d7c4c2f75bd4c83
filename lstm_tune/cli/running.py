"""Commands that run an experiment, or show one that runs."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.status import Status

from lstm_tune.cli.places import refreshed, run_folder
from lstm_tune.cli.terminal import INTERRUPTED, own_terminal
from lstm_tune.display.board import Board
from lstm_tune.display.follow import follow as follow_events
from lstm_tune.display.leaderboard import render
from lstm_tune.display.live import choose_display
from lstm_tune.report.ending import report_end
from lstm_tune.spec.events import read_events
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import RunPaths, is_remote, open_run, split_address

if TYPE_CHECKING:
    from lstm_tune.search.runner import Run


def run_experiment(
    space: Path,
    overrides: Sequence[str],
    *,
    warm_start: str | None,
    address: str | None,
    keep_data: bool,
    json: bool,
    command: Sequence[str],
) -> None:
    """Runs an experiment file from the start.

    Args:
        space: the file.
        overrides: `key.path=value` texts.
        warm_start: an earlier run whose best configurations are tried first.
        address: a Ray cluster to join; None for a private Ray on this machine.
        keep_data: copy local data into the run.
        json: write events as JSON lines instead of a leaderboard.
        command: the command line, for the run's manifest.
    """
    experiment = load_experiment(space, overrides)
    earlier = open_run(run_folder(warm_start)) if warm_start else None
    _go(
        f"{experiment.name}: reading the data",
        lambda run: run.create(experiment, folder=space.parent, command=command, keep_data=keep_data),
        json=json,
        address=address,
        warm_start=earlier,
    )


def resume_experiment(place: str, overrides: Sequence[str], *, address: str | None, json: bool) -> None:
    """Goes on with the run at `place`; arguments as in `run_experiment`."""
    root = run_folder(place)
    open_run(root)
    _go(
        f"{root.name}: reading the run",
        lambda run: run.reopen(root, overrides=[*_moved(place), *overrides]),
        json=json,
        address=address,
    )


def _moved(place: str) -> list[str]:
    """The override that lets a run that was brought here be copied to where it came from."""
    return [f"output.directory={split_address(place)[0]}"] if is_remote(place) else []


def show_leaderboard(place: str, *, follow: bool, json: bool) -> None:
    """Draws the run at `place` once or, with `follow`, until it ends; with `json` its events instead."""
    paths, console = open_run(run_folder(place)), Console()
    if json or follow:
        events = follow_events(paths.events, until_end=True) if follow else read_events(paths.events)
        with refreshed(place if follow else ""), choose_display(json=json, console=console) as display:
            for stamped in events:
                display(stamped)
        return
    board = Board()
    for stamped in read_events(paths.events):
        board.fold(stamped)
    console.print(render(board, width=console.width, height=None, now_s=board.at_s))


def _go(
    message: str,
    made: Callable[[type["Run"]], "Run"],
    *,
    json: bool,
    address: str | None,
    warm_start: RunPaths | None = None,
) -> None:
    """Makes a run, with a line on the screen and Ray on its way up meanwhile, and lets it go."""
    with ExitStack() as stack:
        with _waiting(message, json=json):
            from lstm_tune.search.cluster import ray_ahead

            private = stack.enter_context(ray_ahead(address))  # before what takes seconds to import
            from lstm_tune.search.runner import Run

            run = made(Run)
        console = stack.enter_context(own_terminal(run.paths.driver_log))
        display = stack.enter_context(choose_display(json=json, console=console))
        outcome = run.go(
            [display],
            warm_start=warm_start,
            address=address,
            private=private,
            closing=lambda: report_end(run.paths, [display]),
        )
    if outcome.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not outcome.is_copied:
        raise typer.Exit(1)


def _waiting(message: str, *, json: bool) -> Status:
    """A line at once, while libraries are imported and data is read."""
    return Console(stderr=True, quiet=json).status(message)
