"""What can go wrong, in words a user can act on.

Every message follows one form: *where* - *what must hold* - *what was found* - *what to do*. All faults of one
input travel in one exception, so a file is mended in one go.
"""

import difflib
import errno
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class LstmTuneError(Exception):
    """Anything this package raises on purpose. `exit_code` is what the command line ends with."""

    exit_code = 1


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with an input.

    Attributes:
        where: file and line, column of a table, or option (`space.yaml:14`, `--set search.trials`).
        problem: what must hold and what was found, as one or two sentences.
    """

    where: str
    problem: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}" if self.where else self.problem


class InputError(LstmTuneError):
    """The user's file, data or option is wrong; holds every fault found, in the order of the input."""

    exit_code = 2

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        assert self.faults, "an InputError without a fault says nothing"
        super().__init__("\n".join(str(fault) for fault in self.faults))

    @classmethod
    def at(cls, where: str, problem: str) -> "InputError":
        """An error with a single fault."""
        return cls([Fault(where, problem)])


class SearchFailedError(LstmTuneError):
    """The search ended without one usable trial."""


class ClusterError(LstmTuneError):
    """A cluster does not answer, refuses what it was asked, or failed to do it."""


class StorageError(LstmTuneError):
    """A remote file system refused, or could not be reached."""


class DiskFullError(LstmTuneError):
    """The disk that a run is written to is full, or the user's share of it is used up."""


class DivergedError(LstmTuneError):
    """A loss or a weight became NaN or infinite while training."""


class ExportError(LstmTuneError):
    """An exported graph does not say what the bundle says, or could not be made."""


class BundleError(LstmTuneError):
    """A bundle's files are missing, damaged or of a version this release does not read."""

    exit_code = 2


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that a disk has no room left; Tune and safetensors hand on its text only."""
    if isinstance(error, DiskFullError) or (isinstance(error, OSError) and error.errno in _NO_ROOM):
        return True
    return any(os.strerror(number) in str(error) for number in _NO_ROOM)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence proposing the nearest known name, whatever its case, or listing the known ones when none is near.

    Args:
        name: what the user wrote.
        known: every valid name.

    Returns:
        `Did you mean 'units'?` or `Known: a, b, c.`
    """
    choices = sorted(known)
    folded = {choice.casefold(): choice for choice in choices}
    near = difflib.get_close_matches(name.casefold(), folded, n=1, cutoff=0.6)
    if near:
        return f"Did you mean '{folded[near[0]]}'?"
    return f"Known: {', '.join(choices)}." if choices else "There are none."


def lookup(table: Mapping[str, T], name: str, *, what: str, where: str = "") -> T:
    """The entry of a table of choices.

    Args:
        table: name to value.
        name: the name asked for.
        what: what the table holds, for the message (`metric`, `sampler`).
        where: where the name was written, for the message.

    Raises:
        InputError: the table has no such name; the message proposes the nearest.
    """
    if name not in table:
        raise InputError.at(where, f"'{name}' is not a {what}. {did_you_mean(name, table)}")
    return table[name]
