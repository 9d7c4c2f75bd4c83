"""What the benchmarks share: where the data lies, how a run is made, what it left, and how figures are shown."""

import argparse
import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import RunPaths, write_json

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "runs" / "benchmarks"
LONGEST_RUN_S = 3_600
"""A run that takes longer hangs."""

CONSOLE = Console(width=140)

Record = dict[str, Any]


@dataclass(frozen=True)
class SeriesFile:
    """A file of the shared data folder.

    Attributes:
        name: its name in the index.
        path: the table.
        season: steps in a season.
        horizon: steps to forecast; the last ones are the test part.
    """

    name: str
    path: Path
    season: int
    horizon: int


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark beside its target.

    Attributes:
        name: what was measured.
        value: the figure; NaN where it could not be measured.
        target: what it must be, in words; empty for one that is only shown.
        is_met: whether it is; None likewise.
    """

    name: str
    value: float
    target: str = ""
    is_met: bool | None = None

    @classmethod
    def at_most(cls, name: str, value: float, bound: float, *, unit: str = "") -> "Figure":
        return cls(name, value, f"<= {bound:g}{unit}", value <= bound)

    @classmethod
    def at_least(cls, name: str, value: float, bound: float, *, unit: str = "") -> "Figure":
        return cls(name, value, f">= {bound:g}{unit}", value >= bound)

    @classmethod
    def within(cls, name: str, value: float, low: float, high: float) -> "Figure":
        return cls(name, value, f"{low:g} to {high:g}", low <= value <= high)


def series_files(data: Path, folder: str) -> list[SeriesFile]:
    """The files of one folder that the index gives a season and a horizon for; ends the program without an index."""
    index = data / "MANIFEST.csv"
    if not index.is_file():
        raise SystemExit(f"{data}: holds no MANIFEST.csv. Name the folder of test data with --data")
    with index.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["usecase"] == folder]
    found = []
    for row in rows:
        numbers = dict(part.split("=", 1) for part in row["task"].split(";") if "=" in part)
        if {"m", "h"} <= set(numbers):
            found.append(SeriesFile(row["name"], data / row["file"], int(numbers["m"]), int(numbers["h"])))
    return found


def chosen_files(files: Sequence[SeriesFile], names: Sequence[str] | None) -> list[SeriesFile]:
    """Those with the given names, or all; ends the program where a name is unknown."""
    known = {file.name: file for file in files}
    if unknown := [name for name in names or () if name not in known]:
        raise SystemExit(f"unknown: {', '.join(unknown)}. There are {', '.join(known)}")
    return [known[name] for name in names] if names else list(files)


# --- runs -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finished:
    """What a run left.

    Attributes:
        paths: its files.
        events: its events as they were written, one dictionary each.
    """

    paths: RunPaths
    events: list[Record]

    @classmethod
    def read(cls, root: Path) -> "Finished":
        paths = RunPaths(root)
        return cls(paths, [json.loads(line) for line in paths.events.read_text().splitlines() if line])

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment."""
        return load_experiment(self.paths.experiment)

    @property
    def verdict(self) -> Record:
        """The verdict's fields."""
        return dict(json.loads(self.paths.verdict.read_text()))

    @property
    def networks(self) -> int:
        """How many networks the final model averages."""
        return int(self.last("refit_reported")["total"])

    def last(self, kind: str) -> Record:
        """The last event of a kind."""
        return next(event for event in reversed(self.events) if event["event"] == kind)

    def ends(self) -> dict[int, Record]:
        """How each trial ended, by number."""
        return {event["trial"]: event for event in self.events if event["event"] == "trial_ended"}


class RunFailedError(RuntimeError):
    """A command ended with an error; the text is the end of what it said."""


def lstm_tune(*arguments: str) -> None:
    """Runs the command line as a user would.

    Raises:
        RunFailedError: it failed.
    """
    command = [sys.executable, "-m", "lstm_tune", *arguments]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST_RUN_S, check=False)
    except subprocess.TimeoutExpired:
        raise RunFailedError(f"{arguments[0]}: not over after {LONGEST_RUN_S} s") from None
    if result.returncode:
        raise RunFailedError(f"{arguments[0]}: {(result.stderr or result.stdout).strip()[-600:]}")


def initialised(data: Path, folder: Path) -> Path:
    """The experiment file that `lstm-tune init` writes for a table, in a folder that is emptied."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    space = folder / "space.yaml"
    lstm_tune("init", str(data), "-o", str(space))
    return space


def run(space: Path, overrides: Iterable[str]) -> tuple[Finished, float]:
    """Runs an experiment file to its end: what it left, and the seconds it took."""
    started, directory = time.monotonic(), space.parent / "runs"
    changes = [f"output.directory={directory}", *overrides]
    lstm_tune("run", str(space), *(part for change in changes for part in ("--set", change)))
    (root,) = directory.iterdir()
    return Finished.read(root), time.monotonic() - started


# --- many runs ------------------------------------------------------------------------------------


def read_records(path: Path) -> list[Record]:
    """The lines of a results file; none where there is no file."""
    return [json.loads(line) for line in path.read_text().splitlines() if line.strip()] if path.exists() else []


def work_through(
    jobs: Sequence[Any],
    measure: Callable[[Any], Record],
    *,
    lines: Path,
    workers: int,
    limit_s: float | None,
) -> None:
    """Measures each job in a process of its own and appends a line for each, as it ends.

    Args:
        jobs: what `measure` is called with.
        measure: returns the line; an error of a run becomes a line with `error`, and the others go on.
        lines: the results file.
        workers: jobs at once.
        limit_s: seconds after which no further job is begun.
    """
    lines.parent.mkdir(parents=True, exist_ok=True)
    started, waiting, running = time.monotonic(), list(jobs), set[Future[Record]]()
    done = 0
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        while waiting or running:
            is_over = limit_s is not None and time.monotonic() - started > limit_s
            while waiting and len(running) < workers and not is_over:
                running.add(pool.submit(measure, waiting.pop(0)))
            if not running:
                break
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                done += 1
                record = future.result()
                with lines.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                per_hour = done / (time.monotonic() - started) * 3_600
                CONSOLE.print(f"{done} of {len(jobs)} ({per_hour:.0f} an hour): {_in_short(record)}", highlight=False)
    if waiting:
        CONSOLE.print(f"{len(waiting)} were not begun: the limit of {limit_s:.0f} s is reached")


def _in_short(record: Record) -> str:
    keys = ("file", "kind", "seed", "run_s", "ended", "test", "default_test", "advice", "error")
    return ", ".join(f"{key} {shown(record[key])}" for key in keys if key in record)


# --- options and figures --------------------------------------------------------------------------


def options(description: str, *, output: str) -> argparse.ArgumentParser:
    """A parser with the options of every benchmark."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--output", type=Path, default=RESULTS / output, help="figures, as JSON")
    return parser


def add_data_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, default=SHARED, help="the shared data folder beside the repository")


def show(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Prints a table; numbers on the right."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*map(shown, row))
    CONSOLE.print(table)


def conclude(name: str, figures: Sequence[Figure], *, output: Path, settings: Record, rows: Sequence[Record]) -> None:
    """Prints the figures beside their targets and writes them, with what they rest on."""
    shown = [(figure.name, figure.value, figure.target, _met(figure)) for figure in figures]
    show(name, ("figure", "value", "target", ""), shown)
    output.parent.mkdir(parents=True, exist_ok=True)
    content: Record = {"benchmark": name, "made_at": datetime.now(UTC).isoformat(timespec="minutes")}
    content |= {"machine": machine(), "settings": settings}
    content |= {"figures": [asdict(figure) for figure in figures], "rows": list(rows)}
    write_json(output, content)
    CONSOLE.print(f"written: {output}", highlight=False, soft_wrap=True)


def machine() -> str:
    """The machine in words: cores and kind of processor."""
    return f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _met(figure: Figure) -> str:
    return "" if figure.is_met is None else "met" if figure.is_met else "NOT MET"


def shown(value: Any) -> str:
    """A value for a table."""
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
