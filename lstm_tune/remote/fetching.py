"""Brings a run from the node that drove it, by a small job that prints it."""

import base64
import hashlib
import json
import os
import secrets
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from lstm_tune.remote.following import Notice, follow_lines, parse
from lstm_tune.remote.jobs import Cluster, Job
from lstm_tune.remote.packing import own_package
from lstm_tune.remote.sending import DATA, HEAD
from lstm_tune.spec.errors import ClusterError, InputError
from lstm_tune.spec.events import RunEnded, RunStarted, Stamped

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Whereabouts:
    """What a job's log says of its run.

    Attributes:
        directory: on the node that drives it.
        end: how it ended; None while it goes on, or where its process was killed.
    """

    directory: str
    end: RunEnded | None


def whereabouts(cluster: Cluster, job: Job) -> Whereabouts:
    """Where a job's run is.

    Raises:
        ClusterError: it has not begun.
    """
    found: RunStarted | None = None
    end: RunEnded | None = None
    for line in cluster.log(job.id).splitlines():
        match parse(line):
            case Stamped(event=RunStarted() as event):
                found, end = event, None
            case Stamped(event=RunEnded() as event):
                end = event
    if found is None:
        advice = f"What it said: lstm-tune logs {job.id}"
        raise ClusterError(f"{job.id}: the job has no run yet; Ray calls it {job.status}. {advice}")
    return Whereabouts(found.directory, end)


def check_destination(folder: Path) -> None:
    """Refuses a folder that holds something.

    Raises:
        InputError: it does.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError.at(str(folder), "must be a new or empty folder. Name another with -o")


def fetch_run(cluster: Cluster, job: Job, directory: str, into: Path, progress: Progress) -> None:
    """Brings a run's directory.

    Args:
        cluster: where it is.
        job: whose run it is.
        directory: on the node.
        into: a new or empty folder, which then holds all of it or nothing.
        progress: called with the bytes that have come, and their number.

    Raises:
        ClusterError: it did not come, or not as it was sent.
    """
    sender = f"{job.id}-fetch-{secrets.token_hex(2)}"
    with own_package() as package:
        command = f"python -P -m lstm_tune.remote.sending {shlex.quote(directory)}"
        cluster.submit(sender, command, runtime_env={"py_modules": [package]}, metadata={"lstm_tune_fetches": job.id})
    with tempfile.TemporaryFile() as file:
        said = receive(follow_lines(cluster, sender), file, progress)
        ended = cluster.read(sender)
        if ended.status != "SUCCEEDED":
            raise ClusterError(f"{job.id}: its run could not be brought. {' '.join(said[-3:]) or ended.message}")
        cluster.delete(sender)
        unpack(file, into)


def receive(lines: Iterable[str | Notice], into: IO[bytes], progress: Progress) -> list[str]:
    """Writes an archive that comes as lines, and checks it.

    Returns:
        The lines that are no part of it.

    Raises:
        ClusterError: it is not what was sent.
    """
    digest, size, head = hashlib.sha256(), 0, None
    others: list[str] = []
    for line in lines:
        if isinstance(line, Notice):
            others.append(line.text)
        elif line.startswith(HEAD):
            head = json.loads(line.removeprefix(HEAD))
        elif line.startswith(DATA) and head is not None:
            chunk = base64.b64decode(line.removeprefix(DATA), validate=False)
            digest.update(chunk)
            size += into.write(chunk)
            progress(size, head["bytes"])
        else:
            others.append(line)
    if head is not None and (size, digest.hexdigest()) != (head["bytes"], head["sha256"]):
        raise ClusterError(f"{size:,} of {head['bytes']:,} bytes came as they were sent. Fetch the run again")
    return others


def unpack(file: IO[bytes], into: Path) -> None:
    """Unpacks an archive of files into a folder that appears as a whole; a name that leads out of it is refused.

    Raises:
        ClusterError: the archive holds what a run does not.
    """
    file.seek(0)
    into = into.absolute()
    into.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}.") as scratch:
        whole = Path(scratch) / "run"
        with tarfile.open(fileobj=file, mode="r:gz") as archive:
            for entry in archive:
                target = whole / _inner(entry)
                target.parent.mkdir(parents=True, exist_ok=True)
                content = archive.extractfile(entry)
                assert content is not None, "a regular file has content"
                target.write_bytes(content.read())
        os.replace(whole, into)


def _inner(entry: tarfile.TarInfo) -> PurePosixPath:
    path = PurePosixPath(entry.name)
    if not entry.isreg() or path.is_absolute() or ".." in path.parts:
        raise ClusterError(f"the archive holds '{entry.name}', which no run does; nothing was unpacked")
    return path
