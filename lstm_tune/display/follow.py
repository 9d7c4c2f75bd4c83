"""The events of a run that another process is writing."""

import time
from collections.abc import Iterator
from pathlib import Path

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import RunEnded, Stamped


def follow(path: Path, *, poll_s: float = 0.5, until_end: bool) -> Iterator[Stamped]:
    """The events of a file: those there are, then each as it is written.

    Waits for the file to be there. A last line without an end is read again later, so a write seen half, or one cut by
    a crash and removed by a resumption, does no harm.

    Args:
        path: an `events.ndjson`.
        poll_s: seconds between two looks at the file.
        until_end: stop at a `RunEnded` that nothing follows yet; otherwise go on, for a resumption may come.

    Raises:
        InputError: a whole line is not an event.
    """
    offset = number = 0
    ended = False
    while True:
        lines = _whole_lines(path, offset)
        for line in lines:
            offset += len(line)
            number += 1
            if line.strip():
                stamped = _event(line, f"{path}:{number}")
                ended = isinstance(stamped.event, RunEnded)
                yield stamped
        if lines:
            continue
        if ended and until_end:
            return
        time.sleep(poll_s)


def _whole_lines(path: Path, offset: int) -> list[bytes]:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            lines = file.read().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    return lines if not lines or lines[-1].endswith(b"\n") else lines[:-1]


def _event(line: bytes, where: str) -> Stamped:
    try:
        return Stamped.from_json(line.decode())
    except (ValueError, TypeError, KeyError):
        raise InputError.at(
            where, "is not an event; the file was changed or damaged. Restore it, or run anew"
        ) from None
