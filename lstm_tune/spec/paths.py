"""Every file name of a run, in one place, and how files are written: under a temporary name, then renamed."""

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lstm_tune.spec.errors import InputError

LOCAL_RUNS = Path("runs")
"""Where runs are worked on, and brought to, whose directory is a remote address."""


@dataclass(frozen=True)
class RunPaths:
    """Where a run keeps what.

    Attributes:
        root: the run's directory, `runs/<name>-<time>`.
    """

    root: Path

    @property
    def experiment(self) -> Path:
        """The resolved experiment, as YAML."""
        return self.root / "experiment.yaml"

    @property
    def data(self) -> Path:
        """The data, where the run keeps a copy of its own."""
        return self.root / "data"

    @property
    def manifest(self) -> Path:
        """Versions, seeds, data hash, fold table and command line."""
        return self.root / "manifest.json"

    @property
    def series(self) -> Path:
        """What was known when the run began: one row a series, with its first and last time."""
        return self.root / "series.parquet"

    @property
    def events(self) -> Path:
        """Everything that happened, one JSON object a line: the run's only truth."""
        return self.root / "events.ndjson"

    @property
    def study(self) -> Path:
        """The Optuna study, as a journal file."""
        return self.root / "study.journal"

    @property
    def trials(self) -> Path:
        """One row a trial."""
        return self.root / "trials.parquet"

    @property
    def curves(self) -> Path:
        """One row a trial and reported epoch."""
        return self.root / "curves.parquet"

    @property
    def out_of_fold(self) -> Path:
        """One row a complete trial and validation block."""
        return self.root / "out_of_fold.parquet"

    @property
    def loss_parts(self) -> Path:
        """The same of single trials, until the search ends."""
        return self.root / ".out_of_fold"

    @property
    def forecasts(self) -> Path:
        """The winner's forecasts beside the truth, one row a step."""
        return self.root / "forecasts.parquet"

    @property
    def importances(self) -> Path:
        """How much each hyperparameter mattered."""
        return self.root / "importances.json"

    @property
    def report(self) -> Path:
        """The report, one page."""
        return self.root / "report.html"

    @property
    def bundle(self) -> Path:
        """The exported model."""
        return self.root / "best"

    @property
    def verdict(self) -> Path:
        """The end of the run in words and numbers."""
        return self.root / "verdict.json"

    @property
    def test_ledger(self) -> Path:
        """Every look at the test part."""
        return self.root / "test_ledger.json"

    @property
    def nested(self) -> Path:
        """The repetitions of the whole search, each a run."""
        return self.root / "nested"

    def nested_fold(self, number: int) -> "RunPaths":
        """The repetition that one fold's block judges, numbered from 1."""
        return RunPaths(self.nested / f"fold-{number}")

    @property
    def logs(self) -> Path:
        """What Ray, Optuna and failed trials said."""
        return self.root / "logs"

    @property
    def driver_log(self) -> Path:
        """Standard output and error of the libraries in the driving process."""
        return self.logs / "driver.log"

    @property
    def scratch(self) -> Path:
        """Files that only a running search needs; removed at its end."""
        return self.root / ".scratch"

    @property
    def checkpoints(self) -> Path:
        """States of trials that are under way."""
        return self.root / "checkpoints"

    @property
    def lock(self) -> Path:
        """Held by the process that writes to the run."""
        return self.root / ".lock"

    def trial_log(self, trial: int) -> Path:
        """Traceback of a failed trial."""
        return self.logs / f"trial-{trial:05d}.txt"


def is_remote(place: str) -> bool:
    """Whether a place is an address such as `s3://bucket/runs`, and no folder."""
    return "://" in place


def inside(place: str, name: str) -> str:
    """What lies in a folder or at an address."""
    return below(place, name) if is_remote(place) else str(Path(place) / name)


def below(address: str, name: str) -> str:
    """The address of what lies in a remote folder; options behind a question mark stay behind it."""
    path, mark, options = address.partition("?")
    return f"{path.rstrip('/')}/{name}{mark}{options}"


def split_address(address: str) -> tuple[str, str]:
    """The remote folder that holds an address, and the name in it: the reverse of `below`."""
    path, mark, options = address.partition("?")
    parent, _, name = path.rstrip("/").rpartition("/")
    return f"{parent}{mark}{options}", name


def remote_address(directory: str, paths: "RunPaths") -> str | None:
    """Where a run's copy is; None where its `output.directory` is a folder."""
    return below(directory, paths.root.name) if is_remote(directory) else None


def create_run(
    directory: Path, name: str, *, now: datetime, is_taken: Callable[[str], bool] = lambda name: False
) -> RunPaths:
    """A new, empty run directory.

    Args:
        directory: where runs go; made when missing.
        name: the experiment's name.
        now: time of the start; it names the directory.
        is_taken: whether a name is in use elsewhere.

    Raises:
        InputError: the directory cannot be made or written.
    """
    stem = f"{name}-{now:%Y%m%d-%H%M%S}"
    for attempt in range(1, 1_000):
        root = directory / (stem if attempt == 1 else f"{stem}-{attempt}")
        if is_taken(root.name):
            continue
        try:
            directory.mkdir(parents=True, exist_ok=True)
            root.mkdir()
            paths = RunPaths(root.resolve())
            paths.logs.mkdir()
            return paths
        except FileExistsError:
            if not directory.is_dir():
                break
        except OSError as error:
            raise _unwritable(directory, error.strerror or str(error)) from None
    raise _unwritable(directory, "a file of that name")


def _unwritable(directory: Path, found: str) -> InputError:
    problem = f"'{directory}' must be a folder this user may write to, found: {found}. Choose another one"
    return InputError.at("output.directory", f"{problem}: --set output.directory=...")


def open_run(root: Path | str) -> RunPaths:
    """An existing run.

    Raises:
        InputError: there is no run in that directory.
    """
    paths = RunPaths(Path(root).resolve())
    if not paths.events.is_file() or not paths.experiment.is_file():
        problem = (
            "is not a run: a run's folder holds experiment.yaml and events.ndjson. Runs are listed in the folder 'runs'"
        )
        raise InputError.at(str(root), problem)
    return paths


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes a file so that a reader, or a crash, sees the old content or the new, never a part.

    Args:
        path: the file; its directory must exist.
        content: text (as UTF-8) or bytes.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Any) -> None:
    """Writes a value as indented JSON, atomically; NaN and infinities become null."""
    write_atomically(path, json.dumps(finite(value), indent=2, allow_nan=False) + "\n")


def finite(value: Any) -> Any:
    """A JSON value with null in place of NaN and infinities, which JSON does not know."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [finite(item) for item in value] if isinstance(value, list | tuple) else value
