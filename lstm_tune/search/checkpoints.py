"""States of trials that are under way: written now and then, so that a trial whose process dies need not start again.

A file is a SHA-256 digest and a safetensors document. It is written whole or not at all where the file system can
rename, and the digest finds what was cut or changed otherwise.
"""

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pyarrow.fs import FileSystem, FileType
from safetensors.torch import load, save
from torch import Tensor

DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(Exception):
    """A file is not what was written."""


@dataclass(frozen=True)
class Checkpoint:
    """A trial on its way.

    Attributes:
        tensors: what `Lockstep.state` returned, and the trainer's own.
        facts: JSON values: whose state it is, and how long it has trained.
    """

    tensors: Mapping[str, Tensor]
    facts: Mapping[str, Any]

    def to_bytes(self) -> bytes:
        """The checkpoint as a file's content."""
        document = save(dict(self.tensors), {"facts": json.dumps(self.facts)})
        return hashlib.sha256(document).digest() + document

    @classmethod
    def from_bytes(cls, content: bytes) -> "Checkpoint":
        """What `to_bytes` made.

        Raises:
            DamagedError: the content was cut or changed.
        """
        digest, document = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
        if hashlib.sha256(document).digest() != digest:
            raise DamagedError(f"a checkpoint of {len(content):,} bytes does not agree with its checksum")
        header = json.loads(document[8 : 8 + int.from_bytes(document[:8], "little")])
        return cls(load(document), json.loads(header["__metadata__"]["facts"]))


@dataclass(frozen=True)
class CheckpointStore:
    """One file a trial, where every node can reach it.

    Attributes:
        location: a folder, or an address that `pyarrow.fs.FileSystem.from_uri` opens.
    """

    location: str

    def keep(self, trial: int, checkpoint: Checkpoint) -> None:
        """Writes a trial's latest checkpoint in place of the one before."""
        system, folder = self._open()
        path = _path(folder, trial)
        temporary = f"{path}.part"
        system.create_dir(folder, recursive=True)
        with system.open_output_stream(temporary) as stream:
            stream.write(checkpoint.to_bytes())
        system.move(temporary, path)

    def find(self, trial: int) -> Checkpoint | None:
        """A trial's checkpoint; None where there is none.

        Raises:
            DamagedError: there is one, but it was cut or changed.
        """
        system, folder = self._open()
        path = _path(folder, trial)
        if system.get_file_info(path).type is not FileType.File:
            return None
        with system.open_input_stream(path) as stream:
            return Checkpoint.from_bytes(stream.read())

    def remove(self, trial: int) -> None:
        """Removes a trial's checkpoint; one that cannot be reached stays, and is never read again."""
        with suppress(OSError):
            system, folder = self._open()
            path = _path(folder, trial)
            if system.get_file_info(path).type is FileType.File:
                system.delete_file(path)

    def _open(self) -> tuple[FileSystem, str]:
        system, folder = FileSystem.from_uri(self.location)
        return system, folder


def _path(folder: str, trial: int) -> str:
    return str(PurePosixPath(folder) / f"trial-{trial:05d}")
