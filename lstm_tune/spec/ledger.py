"""Every look at data that no choice has seen yet: when, by whom, and what was read off it."""

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import RunPaths, write_json

Part = Literal["test", "new data"]


@dataclass(frozen=True)
class Look:
    """What was read in one look.

    Attributes:
        by: the command: run, resume or evaluate.
        part: the locked test part, or rows that came after the run.
        metric: the one that the search optimised.
        metrics: the model's, by every metric that was read.
        baselines: each baseline's `metric`.
        data: what the rows were, where they are not the run's own: path, sha256, series, rows.
    """

    by: str
    part: Part
    metric: str
    metrics: Mapping[str, float]
    baselines: Mapping[str, float]
    data: Mapping[str, Any] | None = None


def write_look(paths: RunPaths, look: Look) -> int:
    """Adds a look to the run's ledger.

    Args:
        paths: the run's files.
        look: what was read.

    Returns:
        Its number among the looks at the same part, from 1.

    Raises:
        InputError: the ledger cannot be read or written; what was seen must not be told then.
    """
    try:
        with _locked(paths.root):
            looks = _read(paths.test_ledger)
            number = 1 + len([earlier for earlier in looks if earlier.get("part", "test") == look.part])
            write_json(paths.test_ledger, [*looks, _entry(look, number)])
    except OSError as error:
        problem = f"cannot be written ({error.strerror}), so the look could not be written down and is not taken"
        raise InputError.at(str(paths.test_ledger), f"{problem}. Make the run's folder writable") from None
    return number


def _entry(look: Look, number: int) -> dict[str, Any]:
    entry = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "look": number,
        "by": look.by,
        "part": look.part,
        "metric": look.metric,
        "metrics": look.metrics,
        "baselines": look.baselines,
    }
    return entry if look.data is None else {**entry, "data": look.data}


def later_look(number: int) -> str | None:
    """What to say of a look at the test part that is not the first; None of the first."""
    if number == 1:
        return None
    return f"This is look {number} at the test part: choices made after the first look make it optimistic."


def _read(ledger: Path) -> list[dict[str, Any]]:
    if not ledger.exists():
        return []
    try:
        looks: list[dict[str, Any]] = json.loads(ledger.read_text(encoding="utf-8"))
    except ValueError:
        problem = "is damaged, so it is not known how often the test part was looked at. Restore it from a copy"
        raise InputError.at(str(ledger), problem) from None
    return looks


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keeps other processes from writing to the ledger meanwhile; the lock is the folder itself."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
