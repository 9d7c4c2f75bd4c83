"""A run's copy at a remote address: brought up to date, and brought here.

What lies there is always a run that can go on: everything that an event speaks of is copied before the event.
Object stores cannot append, so `events.ndjson` grows there in pieces, `events/<offset of the first byte>.ndjson`, which
are put together now and then.
"""

import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar, final

from lstm_tune.search.recorder import locked
from lstm_tune.search.storage import RemoteFolder
from lstm_tune.spec.errors import InputError, StorageError
from lstm_tune.spec.paths import LOCAL_RUNS, RunPaths, split_address, write_atomically

AGAIN_S = 30.0
"""A copied file that changes again waits this long: the study and the logs grow all the time, and are copied whole."""

PIECES = 200
"""Pieces of events before they are put together: each is a request for whoever reads them."""

REQUESTS = 8
"""Requests at once."""

TRIES = 3
"""A run that goes on may delete a file while it is read; then it is read anew."""

_NAMES = RunPaths(Path())
EVENTS, EXPERIMENT = _NAMES.events.name, _NAMES.experiment.name
LOSSES, CHECKPOINTS = _NAMES.loss_parts.name, _NAMES.checkpoints.name

T = TypeVar("T")
Stamp = tuple[int, int]
"""Time of a file's last change, in nanoseconds, and its size in bytes."""


class _ChangedError(StorageError):
    """A remote run changed while it was read."""


@dataclass
class _Log:
    """What is copied of an `events.ndjson`.

    Attributes:
        length: bytes.
        pieces: how many pieces lie beside the whole file.
    """

    length: int = 0
    pieces: int = 0


@final
class RunCopy:
    """The copy of a run's folder at a remote address, and what it is known to hold.

    Args:
        root: the folder.
        remote: where its copy is, or will be.

    Raises:
        StorageError: the address cannot be read.
        InputError: the copy has events that the folder lacks.
    """

    def __init__(self, root: Path, remote: RemoteFolder) -> None:
        self._root = root
        self._remote = remote
        self._logs: dict[str, _Log] = {}
        self._missing: set[str] = set()
        self._copied_at_s: dict[str, float] = {}
        names = _names(remote)
        self._copied: dict[str, Stamp | None] = {name: None for name in names if _log_of(name) is None}
        for log in {log for name in names if (log := _log_of(name))}:
            content = _read_log(remote, log, names)
            if not _content(root / log).startswith(content):
                problem = f"holds events that '{root}' lacks, as the run went on elsewhere. Go on with that"
                raise InputError.at(remote.address, f"{problem}: lstm-tune resume '{remote.address}'")
            self._logs[log] = _Log(len(content), sum(name != log for name in names if _log_of(name) == log))

    def update(self, *, is_last: bool = False) -> None:
        """Copies what is new: first what events may speak of, then the events that were there before.

        Args:
            is_last: nothing is written any more, so that nothing need wait.

        Raises:
            StorageError: the address refused. What it took is known, and the rest is copied the next time.
        """
        found = _scan(self._root)
        logs = [name for name in found if _log_of(name)]
        files = {name: stamp for name, stamp in found.items() if name not in logs}
        due = [name for name, stamp in files.items() if self._is_due(name, stamp, is_last=is_last)]
        _at_once(lambda name: self._copy(name, files[name]), due)
        for name in logs:
            self._extend(name, found[name][1], is_last=is_last)
        self._delete(self._copied.keys() - files.keys(), found, is_last=is_last)

    def _is_due(self, name: str, stamp: Stamp, *, is_last: bool) -> bool:
        if self._copied.get(name) == stamp:
            return False
        return is_last or name not in self._copied_at_s or time.monotonic() - self._copied_at_s[name] >= AGAIN_S

    def _copy(self, name: str, stamp: Stamp) -> None:
        try:
            content = (self._root / name).read_bytes()
        except FileNotFoundError:
            return  # the next look finds it gone
        self._remote.write(name, content)
        self._copied[name], self._copied_at_s[name] = stamp, time.monotonic()

    def _extend(self, name: str, size: int, *, is_last: bool) -> None:
        """Copies the whole lines up to a size as one more piece, and puts the pieces together when there are many."""
        log = self._logs.setdefault(name, _Log())
        with (self._root / name).open("rb") as file:
            file.seek(log.length)
            lines = file.read(max(0, size - log.length))
        lines = lines[: lines.rfind(b"\n") + 1]
        if lines:
            self._remote.write(_piece(name, log.length), lines)
            log.length, log.pieces = log.length + len(lines), log.pieces + 1
        if log.pieces >= PIECES or (is_last and log.pieces):
            self._remote.write(name, _content(self._root / name)[: log.length])
            self._remote.delete_folder(_folder(_piece(name, 0)))
            log.pieces = 0

    def _delete(self, gone: set[str], found: Iterable[str], *, is_last: bool) -> None:
        """Deletes what was gone at the last look too: what took its place is copied by now."""
        sure = gone if is_last else gone & self._missing
        self._missing = gone - sure
        kept = [*found, *self._missing]
        for folder in sorted({_folder(name) for name in sure} - {"."}):
            if not any(name.startswith(f"{folder}/") for name in kept):
                self._remote.delete_folder(folder)
                self._forget([name for name in sure if name.startswith(f"{folder}/")])
        for name in sorted(sure & self._copied.keys()):
            self._remote.delete(name)
            self._forget([name])

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._copied.pop(name, None)
            self._copied_at_s.pop(name, None)


def update_copy(root: Path, address: str) -> None:
    """Makes the copy of a run at an address the same as its folder.

    Raises:
        InputError: the copy has events that the folder lacks.
        StorageError: the address refused.
    """
    RunCopy(root, RemoteFolder.open(address)).update(is_last=True)


@dataclass(frozen=True)
class Brought:
    """A remote run's folder here.

    Attributes:
        root: the folder.
        note: what the user should know of it; empty for nothing.
    """

    root: Path
    note: str = ""


def bring(address: str, *, directory: Path = LOCAL_RUNS) -> Brought:
    """Makes the folder of a remote run here the same as the remote one.

    A folder that has all of the remote events and more stays as it is, and so does one that a process works on.

    Args:
        address: of the run.
        directory: where its folder is, or will be.

    Raises:
        InputError: there is no run, or the folder here holds another course of it.
        StorageError: the address cannot be read.
    """
    for _ in range(TRIES - 1):
        with suppress(_ChangedError):
            return _bring(address, directory)
    return _bring(address, directory)


def _bring(address: str, directory: Path) -> Brought:
    remote = RemoteFolder.open(address)
    names = _names(remote)
    events = _read_log(remote, EVENTS, names)
    if not events or EXPERIMENT not in names:
        raise InputError.at(address, f"is not a run: a run holds {EXPERIMENT} and {EVENTS}. Check the address")
    paths = RunPaths((directory / split_address(address)[1]).resolve())
    paths.logs.mkdir(parents=True, exist_ok=True)
    try:
        lock = locked(paths)
    except InputError:
        return Brought(paths.root, f"{paths.root}: a process works on this run here, so its own folder is used.")
    with lock:
        here = _content(paths.events)
        here = here[: here.rfind(b"\n") + 1]
        if here != events and here.startswith(events):
            more = here[len(events) :].count(b"\n")
            return Brought(paths.root, f"{paths.root}: is {more} events ahead of {address}, and is used as it is.")
        if not events.startswith(here):
            problem = f"holds another course of the run than {address}. Keep one of them: move this folder away, and"
            raise InputError.at(str(paths.root), f"{problem} try again")
        _download(remote, names, events, paths)
    return Brought(paths.root)


def _download(remote: RemoteFolder, names: Sequence[str], events: bytes, paths: RunPaths) -> None:
    """Writes all files of a remote run, the events last, so that a part of it is never taken for the whole."""

    def fetch(name: str) -> None:
        content = remote.read(name)
        if content is None:
            raise _ChangedError(f"{remote.address} changed while it was read. Try again")
        file = paths.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, content)

    _at_once(fetch, [name for name in names if _log_of(name) is None])
    for part in paths.loss_parts.glob("*"):  # a part counts before the table
        if f"{LOSSES}/{part.name}" not in names:
            part.unlink()
    for log in {log for name in names if (log := _log_of(name))} - {EVENTS}:
        (paths.root / log).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(paths.root / log, _read_log(remote, log, names))
    write_atomically(paths.events, events)


def _names(remote: RemoteFolder) -> list[str]:
    return [name for name in remote.names() if _is_copied(name)]


def _scan(root: Path) -> dict[str, Stamp]:
    """The files to copy, by their path relative to the folder, with what tells that they changed."""
    found = {}
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if _is_copied(name)]
        for path in (Path(folder) / name for name in sorted(files) if _is_copied(name)):
            with suppress(FileNotFoundError):  # it has gone meanwhile
                status = path.stat()
                found[path.relative_to(root).as_posix()] = (status.st_mtime_ns, status.st_size)
    return found


def _is_copied(name: str) -> bool:
    """Whether a file belongs to the copy: not the lock, scratch, checkpoints, or what has a temporary name."""
    parts = PurePosixPath(name).parts
    return CHECKPOINTS not in parts and not any(part.startswith(".") and part != LOSSES for part in parts)


def _log_of(name: str) -> str | None:
    """The `events.ndjson` that a file is, or is a piece of; None for any other."""
    path = PurePosixPath(name)
    if path.name == EVENTS:
        return name
    return str(path.parents[1] / EVENTS) if path.parent.name == PurePosixPath(EVENTS).stem else None


def _piece(log: str, offset: int) -> str:
    """The name of the piece that begins at a byte of a log."""
    path = PurePosixPath(log)
    return str(path.parent / path.stem / f"{offset:012d}{path.suffix}")


def _folder(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _content(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _read_log(remote: RemoteFolder, log: str, names: Sequence[str]) -> bytes:
    """The copied beginning of a log: the whole file, and the pieces that follow on it without a gap."""
    content = (remote.read(log) or b"") if log in names else b""
    pieces = [name for name in names if name != log and _log_of(name) == log and _offset(name) >= len(content)]
    for name, piece in zip(pieces, _at_once(remote.read, pieces), strict=True):
        if piece is None or _offset(name) != len(content):
            break
        content += piece
    return content


def _offset(piece: str) -> int:
    return int(PurePosixPath(piece).stem)


def _at_once(work: Callable[[str], T], names: Sequence[str]) -> list[T]:
    """What each name gives, in their order, by several threads; the first error is raised when all are done."""
    with ThreadPoolExecutor(REQUESTS, thread_name_prefix="copy") as threads:
        return list(threads.map(work, names))
