"""A small job that prints a run's directory: an archive in base64, for whoever reaches nothing but the jobs' logs."""

import base64
import hashlib
import json
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from lstm_tune.spec.paths import RunPaths

HEAD, DATA = "lstm-tune-archive ", "lstm-tune-data "
"""What the line about the archive, and each line of it, begins with; Ray prints lines of its own between them."""

CHUNK_BYTES = 12 * 1024
"""Bytes in a line; Ray sends lines on when it has about 20,000 characters."""


def main() -> None:
    """Prints the run whose directory is the only argument."""
    paths = RunPaths(Path(sys.argv[1]))
    if not paths.root.is_dir():
        sys.exit(f"There is no {paths.root} on this node")
    with tempfile.TemporaryFile() as file:
        pack(paths, file)
        for line in lines(file):
            sys.stdout.write(line)
    sys.stdout.flush()


def pack(paths: RunPaths, into: IO[bytes]) -> None:
    """Writes a run's files as one compressed archive; of a run that goes on, each file as it was at its turn."""
    left_out = (paths.scratch, paths.lock)
    with tarfile.open(fileobj=into, mode="w:gz") as archive:
        for path in sorted(paths.root.rglob("*")):
            if any(path.is_relative_to(one) for one in left_out) or path.is_symlink() or not path.is_file():
                continue
            try:
                with path.open("rb") as file:
                    entry = archive.gettarinfo(arcname=str(path.relative_to(paths.root)), fileobj=file)
                    archive.addfile(entry, file)
            except FileNotFoundError:  # a temporary name that its file has given up
                continue


def lines(file: IO[bytes]) -> Iterator[str]:
    """The lines of an archive: its size and SHA-256 first."""
    digest, size = hashlib.sha256(), 0
    for chunk in _chunks(file):
        digest.update(chunk)
        size += len(chunk)
    yield f"{HEAD}{json.dumps({'bytes': size, 'sha256': digest.hexdigest()})}\n"
    for chunk in _chunks(file):
        yield f"{DATA}{base64.b64encode(chunk).decode()}\n"


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    return iter(lambda: file.read(CHUNK_BYTES), b"")


if __name__ == "__main__":
    main()
