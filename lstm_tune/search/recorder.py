"""Writes events to the run's file, then hands them to whoever listens."""

import fcntl
import os
import time
from collections.abc import Callable, Sequence
from typing import IO

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import Event, Stamped, TrialEnded, read_events
from lstm_tune.spec.paths import RunPaths

Listener = Callable[[Stamped], None]


class Recorder:
    """The one writer of a run's events.

    An event is on the file before anyone hears of it; the end of a trial is on the disk. Use as a context manager.

    Args:
        paths: the run's files.
        listeners: called with each event, in order.

    Raises:
        InputError: another process writes to the run.
    """

    def __init__(self, paths: RunPaths, listeners: Sequence[Listener] = ()) -> None:
        self._lock = _locked(paths)
        self._listeners = listeners
        try:
            _cut_partial_line(paths)
            self.history = list(read_events(paths.events)) if paths.events.exists() else []
        except BaseException:
            self._lock.close()
            raise
        self._offset_s = self.history[-1].at_s if self.history else 0.0
        self._started = time.monotonic()
        self._file = paths.events.open("a", encoding="utf-8")

    def __enter__(self) -> "Recorder":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()
        self._lock.close()

    @property
    def elapsed_s(self) -> float:
        """Seconds the run has worked, earlier processes included."""
        return self._offset_s + time.monotonic() - self._started

    def __call__(self, event: Event) -> None:
        """Records an event and passes it on."""
        stamped = Stamped(self.elapsed_s, event)
        self._file.write(stamped.to_json() + "\n")
        self._file.flush()
        if isinstance(event, TrialEnded):
            os.fsync(self._file.fileno())
        for listener in self._listeners:
            listener(stamped)

    def replay(self) -> None:
        """Shows the listeners what happened before this process."""
        for stamped in self.history:
            for listener in self._listeners:
                listener(stamped)


def _locked(paths: RunPaths) -> IO[str]:
    lock = paths.lock.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InputError.at(
            str(paths.root), "is being written by another process; wait for it or stop it first"
        ) from None
    return lock


def _cut_partial_line(paths: RunPaths) -> None:
    """Removes what a crash left of a line, so that the next event starts on its own."""
    if not paths.events.exists():
        return
    content = paths.events.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        with paths.events.open("r+b") as file:
            file.truncate(whole)
