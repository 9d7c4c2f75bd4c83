"""Runs at remote addresses: brought to a folder here, and copied back."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer
from rich.console import Console

from lstm_tune.spec.errors import InputError, LstmTuneError
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import is_remote, open_run, remote_address

REFRESH_S = 3.0
"""Between two looks at a remote run that is followed."""


def run_folder(place: str) -> Path:
    """The folder of a run; a remote one is brought to `runs` first.

    Args:
        place: the run's directory, or its address.
    """
    if not is_remote(place):
        return Path(place)
    with Console(stderr=True).status(f"{place}: reading the run"):
        from lstm_tune.search.copying import bring

        brought = bring(place)
    if brought.note:
        typer.echo(brought.note, err=True)
    return brought.root


@contextmanager
def refreshed(place: str) -> Iterator[None]:
    """Brings what is new of a remote run every now and then; a run in a folder needs nothing."""
    over = threading.Event()

    def refresh() -> None:
        from lstm_tune.search.copying import bring

        while not over.wait(REFRESH_S):
            with suppress(LstmTuneError):  # out of reach for a while, or changed while it was read
                bring(place)

    thread = threading.Thread(target=refresh, name="refresh", daemon=True)
    if is_remote(place):
        thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.is_alive():
            thread.join()


def upload_run(place: str) -> None:
    """Completes the remote copy of a run and says where it is.

    Args:
        place: the run's directory.
    """
    paths = open_run(place)
    address = remote_address(load_experiment(paths.experiment).output.directory, paths)
    if address is None:
        raise InputError.at(place, "has no remote copy, as its output.directory is a folder. Copy the folder itself")
    with Console(stderr=True).status(f"{address}: copying"):
        from lstm_tune.search.copying import update_copy

        update_copy(paths.root, address)
    typer.echo(f"copied: {address}")
