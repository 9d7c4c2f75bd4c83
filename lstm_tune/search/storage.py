"""Folders on remote file systems: whatever pyarrow opens by its address."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from posixpath import dirname
from urllib.parse import urlsplit

from pyarrow import ArrowException
from pyarrow.fs import FileSelector, FileSystem, FileType

from lstm_tune.spec.errors import InputError, StorageError

OBJECT_STORES = frozenset({"s3", "gcs", "abfs"})
"""pyarrow's names of file systems in which a file appears as a whole when it is closed."""

_OPTIONS = {"s3": "allow_delayed_open=true", "gs": "retry_limit_seconds=15", "gcs": "retry_limit_seconds=15"}
"""A small object is written with one request and not with three; a failure is told after seconds and not minutes."""

_ADVICE = {
    r"NO_SUCH_BUCKET|does not exist": "Make it first, or correct the address",
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|credentials|\b40[13]\b": (
        "Check the credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile in ~/.aws"
    ),
    r"NETWORK_CONNECTION|connect|resolve|timed? ?out": "Check the network, the region and the endpoint",
    r"Unrecognized filesystem|parse URI|query parameter": (
        "Write it as s3://bucket/folder, gs://bucket/folder or abfs://container@account.dfs.core.windows.net/folder"
    ),
}
"""What to do about an error, by what its text holds."""


@dataclass(frozen=True)
class RemoteFolder:
    """A folder at a remote address. Whatever fails raises `StorageError`.

    Attributes:
        address: as the user wrote it.
        system: what it lies on.
        path: its path there.
    """

    address: str
    system: FileSystem
    path: str

    @classmethod
    def open(cls, address: str) -> "RemoteFolder":
        """The folder at an address, whether or not it is there yet."""
        if urlsplit(address).password is not None:
            problem = "must not hold a password, for a run keeps its address. Put it into the environment variables"
            raise StorageError(f"the address {problem} that its kind of storage reads")
        with _explained():
            system, path = FileSystem.from_uri(_with_options(address))
        return cls(address, system, path.rstrip("/"))

    def names(self) -> list[str]:
        """Every file in it and below, by its path relative to the folder, sorted."""
        with _explained():
            found = self.system.get_file_info(FileSelector(self.path, allow_not_found=True, recursive=True))
        return sorted(one.path[len(self.path) + 1 :] for one in found if one.type == FileType.File)

    def read(self, name: str) -> bytes | None:
        """What a file holds; None where it is gone."""
        with _explained():
            try:
                with self.system.open_input_stream(f"{self.path}/{name}") as file:
                    content: bytes = file.read()
                    return content
            except OSError as error:  # where it goes between opening and reading, only the text says so
                if isinstance(error, FileNotFoundError) or re.search("RESOURCE_NOT_FOUND|NO_SUCH_KEY", str(error)):
                    return None
                raise

    def write(self, name: str, content: bytes) -> None:
        """Writes a file so that a reader sees the old content or the new, never a part."""
        path = f"{self.path}/{name}"
        is_whole_at_once = self.system.type_name in OBJECT_STORES
        written = path if is_whole_at_once else f"{dirname(path)}/.{uuid.uuid4().hex}"
        with _explained():
            if not is_whole_at_once:
                self.system.create_dir(dirname(path), recursive=True)
            with self.system.open_output_stream(written) as file:
                file.write(content)
            if not is_whole_at_once:
                self.system.move(written, path)

    def delete(self, name: str) -> None:
        """Deletes a file that may be gone."""
        with _explained(), suppress(FileNotFoundError):
            self.system.delete_file(f"{self.path}/{name}")

    def delete_folder(self, name: str) -> None:
        """Deletes all files in a folder and below, which takes no more requests than a single one."""
        with _explained():
            self.system.delete_dir_contents(f"{self.path}/{name}", missing_dir_ok=True)

    def is_there(self) -> bool:
        """Whether it holds anything."""
        with _explained():
            return bool(self.system.get_file_info(self.path).type != FileType.NotFound)


def probe(directory: str) -> None:
    """Writes a small file at an address, reads it back and deletes it.

    Raises:
        InputError: one of them failed; no run could be kept there.
    """
    name, content = f".lstm-tune-{uuid.uuid4().hex}", b"may be deleted\n"
    try:
        folder = RemoteFolder.open(directory)
        folder.write(name, content)
        if folder.read(name) != content:
            raise StorageError("a file that was written there came back changed")
        folder.delete(name)
    except StorageError as error:
        raise InputError.at("output.directory", f"'{directory}' must be writable, found: {error}") from None


@contextmanager
def _explained() -> Iterator[None]:
    """Turns what pyarrow raises into one sentence with advice."""
    try:
        yield
    except (OSError, ArrowException) as error:
        said = str(error).strip().rpartition("AWS Error ")[2]  # without the address, which may read like anything
        raise StorageError(f"{_reason(said) or type(error).__name__}. {_advice(said)}") from None


def _reason(said: str) -> str:
    """The first line of what the storage said, for people."""
    return re.sub(r"\s*\(Request ID: [^)]*\)|; Details: .*", "", said.partition("\n")[0]).rstrip(". ")


def _advice(said: str) -> str:
    found = (advice for pattern, advice in _ADVICE.items() if re.search(pattern, said, re.IGNORECASE))
    return next(found, "Check the address and your credentials")


def _with_options(address: str) -> str:
    """Adds what the kind of storage needs to be asked politely, unless the address says it."""
    name, equals, value = _OPTIONS.get(address.partition("://")[0], "").partition("=")
    if not name or f"{name}=" in address:
        return address
    return f"{address}{'&' if '?' in address else '?'}{name}{equals}{value}"
