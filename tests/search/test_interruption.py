"""Runs that are stopped from outside: each is a process of its own, as a user's is."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import yaml
from search_setup import RAW, write_sine

from lstm_tune.spec.events import RunEnded, Stamped, TrialEnded, TrialStarted, read_events

TRIALS = 12


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Where Ray's files go; short, as the paths of its sockets may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="lt-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def command(ray_folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running command; its output can be read, and it does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_tune", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "RAY_TMPDIR": str(ray_folder)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def finish(ray_folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a whole command."""
    with command(ray_folder, *arguments) as process:
        output, errors = process.communicate(timeout=300)
    return process.returncode, output, errors


def write_space(folder: Path, *, trials: int = TRIALS, max_epochs: int = 200) -> Path:
    write_sine(folder)
    raw = {
        **RAW,
        "search": {**RAW["search"], "trials": trials},
        "training": {"max_epochs": max_epochs, "patience_epochs": max_epochs},
        "output": {"seeds": 1, "directory": str(folder / "runs")},
    }
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def stop_after_three_trials(folder: Path, ray_folder: Path, number: signal.Signals) -> tuple[int, Path, str]:
    """Sends a signal once three trials ended; exit code, the run's directory and standard error."""
    with command(ray_folder, "run", str(write_space(folder)), "--json") as process:
        assert process.stdout is not None
        ended = 0
        for line in process.stdout:
            ended += json.loads(line)["event"] == "trial_ended"
            if ended == 3:
                process.send_signal(number)
                break
        _, errors = process.communicate(timeout=120)
    (run,) = (folder / "runs").iterdir()
    return process.returncode, run, errors


def events_of(run: Path) -> list[Stamped]:
    return list(read_events(run / "events.ndjson"))


def ends_of(run: Path) -> dict[int, TrialEnded]:
    return {one.event.trial: one.event for one in events_of(run) if isinstance(one.event, TrialEnded)}


def check_finished(run: Path, before: dict[int, TrialEnded]) -> None:
    """No finished trial was repeated or lost, and every trial is in the table once."""
    ends = [one.event for one in events_of(run) if isinstance(one.event, TrialEnded)]
    assert {end.trial: end for end in ends} | before == {end.trial: end for end in ends}
    assert max(Counter(end.trial for end in ends).values()) == 1
    assert len(ends) == TRIALS
    assert sorted(pl.read_parquet(run / "trials.parquet")["trial"]) == sorted(end.trial for end in ends)
    started = Counter(one.event.trial for one in events_of(run) if isinstance(one.event, TrialStarted))
    assert all(count == 1 for trial, count in started.items() if trial in before)
    assert (run / "best" / "manifest.json").is_file()
    assert not (run / ".scratch").exists()


def processes_of(ray_folder: Path) -> list[str]:
    """Command lines of processes that name Ray's folder."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = file.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
        if str(ray_folder) in line:
            found.append(line)
    return found


def check_interrupted(code: int, run: Path, errors: str, ray_folder: Path) -> None:
    """The run says how to go on, keeps what it has, and leaves nothing behind."""
    assert (code, errors) == (130, "")
    assert events_of(run)[-1].event == RunEnded("interrupted", f"Go on with: lstm-tune resume {run}")
    assert 3 <= len(ends_of(run)) < TRIALS
    assert pl.read_parquet(run / "trials.parquet").height == len(ends_of(run))
    assert not (run / ".scratch").exists()
    assert (processes_of(ray_folder), list(ray_folder.iterdir())) == ([], [])


def test_interrupted_run_is_finished_by_resume(tmp_path: Path, ray_folder: Path) -> None:
    code, run, errors = stop_after_three_trials(tmp_path, ray_folder, signal.SIGINT)
    check_interrupted(code, run, errors, ray_folder)
    before = ends_of(run)

    code, _, errors = finish(ray_folder, "resume", str(run), "--json")
    assert (code, errors) == (0, "")
    check_finished(run, before)

    code, _, errors = finish(ray_folder, "resume", str(run))
    assert code == 2
    assert f"is complete: {TRIALS} of {TRIALS} trials ended" in errors

    with (tmp_path / "sine.csv").open("a") as file:
        file.write("60,10.0\n")
    code, _, errors = finish(ray_folder, "resume", str(run), "--set", "search.trials=20")
    assert code == 2
    assert "has changed since the run began" in errors


def test_sigterm_is_an_interruption_too(tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")  # another cluster is named, and left alone
    code, run, errors = stop_after_three_trials(tmp_path, ray_folder, signal.SIGTERM)
    check_interrupted(code, run, errors, ray_folder)


def test_killed_run_is_finished_by_resume(tmp_path: Path, ray_folder: Path) -> None:
    code, run, _ = stop_after_three_trials(tmp_path, ray_folder, signal.SIGKILL)
    assert code == -signal.SIGKILL
    before = ends_of(run)
    assert len(before) >= 3
    code, _, errors = finish(ray_folder, "resume", str(run), "--json")
    assert (code, errors) == (0, "")
    check_finished(run, before)
    assert (processes_of(ray_folder), list(ray_folder.iterdir())) == ([], [])
