"""Writes events to the run's file, then hands them to whoever listens."""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import IO

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import Event, Stamped, TrialEnded, read_events
from lstm_tune.spec.paths import RunPaths

Listener = Callable[[Stamped], None]


class Recorder:
    """The one writer of a run's events.

    An event is on the file before anyone hears of it; the end of a trial is on the disk. An event that the disk has no
    room for leaves no part of itself. Any thread may call. Use as a context manager.

    Args:
        paths: the run's files.
        listeners: called with each event, in order.

    Raises:
        InputError: another process writes to the run.
    """

    def __init__(self, paths: RunPaths, listeners: Sequence[Listener] = ()) -> None:
        self._lock = locked(paths)
        self._listeners = listeners
        try:
            _cut_partial_line(paths)
            self.history = list(read_events(paths.events)) if paths.events.exists() else []
        except BaseException:
            self._lock.close()
            raise
        self._offset_s = self.history[-1].at_s if self.history else 0.0
        self._started = time.monotonic()
        self._turn = threading.RLock()
        self._file = paths.events.open("ab", buffering=0)

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
        with self._turn:
            stamped = Stamped(self.elapsed_s, event)
            self._append(stamped.to_json().encode() + b"\n", is_synced=isinstance(event, TrialEnded))
            self._pass_on(stamped)

    def tell(self, event: Event) -> None:
        """Passes on an event that is not kept: what is worth knowing after the run's end."""
        with self._turn:
            self._pass_on(Stamped(self.elapsed_s, event))

    def _append(self, line: bytes, *, is_synced: bool) -> None:
        length = self._file.seek(0, os.SEEK_END)
        try:
            written = 0
            while written < len(line):
                written += self._file.write(line[written:])
            if is_synced:
                os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(length)
            raise

    def _pass_on(self, stamped: Stamped) -> None:
        for listener in self._listeners:
            listener(stamped)

    def replay(self) -> None:
        """Shows the listeners what happened before this process."""
        for stamped in self.history:
            self._pass_on(stamped)


def locked(paths: RunPaths) -> IO[str]:
    """The run's lock, held until it is closed.

    Raises:
        InputError: another process holds it.
    """
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
