"""Whole runs with a remote `output.directory`; those that are commands work in a folder of their own."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from object_store import Store
from search_setup import RAW, ends_of, events_of, last_attempts, write_sine
from test_runs import check_consistent

from lstm_tune.search.copying import RunCopy, bring
from lstm_tune.search.runner import Run
from lstm_tune.search.storage import RemoteFolder
from lstm_tune.spec.errors import InputError, StorageError
from lstm_tune.spec.events import Stamped, TrialEnded, Warned, read_events
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import below, remote_address

LOCAL_ONLY = {".lock"}


@pytest.fixture(scope="module")
def ray_folder() -> Iterator[Path]:
    """Where Ray's files go; short, as the paths of its sockets may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="lt-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@contextmanager
def command(folder: Path, ray_folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A command that runs in a folder; it does not outlive the test."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_tune", *arguments],
        cwd=folder,
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


def finish(folder: Path, ray_folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a whole command."""
    with command(folder, ray_folder, *arguments) as process:
        output, errors = process.communicate(timeout=400)
    return process.returncode, output, errors


def write_space(folder: Path, directory: str, *, max_epochs: int = 30, **search: Any) -> Path:
    write_sine(folder)
    raw = {
        **RAW,
        "search": {**RAW["search"], **search},
        "training": {"max_epochs": max_epochs, "patience_epochs": max_epochs},
        "output": {"seeds": 1, "finalists": 1, "directory": directory},
    }
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def new_run(folder: Path, directory: str, monkeypatch: pytest.MonkeyPatch, **search: Any) -> Run:
    """A run whose copy goes to a remote directory; it is worked on in `runs` below the folder."""
    monkeypatch.chdir(folder)
    space = write_space(folder, directory, **search)
    return Run.create(load_experiment(space), folder=folder)


def copied_files(address: str) -> dict[str, bytes | None]:
    remote = RemoteFolder.open(address)
    return {name: remote.read(name) for name in remote.names()}


def local_files(root: Path) -> dict[str, bytes | None]:
    files = sorted(path for path in root.rglob("*") if path.is_file() and path.name not in LOCAL_ONLY)
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def read_copy(address: str, directory: Path) -> list[Stamped]:
    """The events of a run's copy so far; none where there is no run yet."""
    try:
        return list(read_events(bring(address, directory=directory).root / "events.ndjson"))
    except InputError:
        return []


def address_of(run: Run) -> str:
    address = remote_address(run.experiment.output.directory, run.paths)
    assert address is not None
    return address


@pytest.mark.usefixtures("shared_ray")
def test_run_and_its_copy_are_the_same_in_the_end(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, store.address(tmp_path.name), monkeypatch)
    outcome = run.go(closing=lambda: run.paths.report.write_text("page") and None)
    assert outcome.is_copied
    assert copied_files(address_of(run)) == local_files(run.paths.root)
    check_consistent(run, events_of(run))


@pytest.mark.usefixtures("shared_ray")
def test_store_that_refuses_for_a_while_does_not_disturb_the_search(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, store.address(tmp_path.name), monkeypatch, trials=8)
    trouble, recovery, update = threading.Event(), threading.Event(), RunCopy.update

    def watched(copy: RunCopy, *, is_last: bool = False) -> None:
        try:
            update(copy, is_last=is_last)
        except StorageError:
            trouble.set()
            raise
        if trouble.is_set():
            recovery.set()

    def disturb(stamped: Stamped) -> None:
        ended = len(ends_of(events_of(run)))
        if isinstance(stamped.event, TrialEnded) and ended == 2:
            store.is_shut = True
        if isinstance(stamped.event, TrialEnded) and ended == 6:
            assert trouble.wait(timeout=120)
            store.is_shut = False
        if isinstance(stamped.event, TrialEnded) and ended == 7:
            assert recovery.wait(timeout=120)

    monkeypatch.setattr(RunCopy, "update", watched)
    outcome = run.go([disturb])
    warnings = [event.message for event in events_of(run) if isinstance(event, Warned)]
    assert store.refused > 0
    assert [("cannot be written" in text, "up to date again" in text) for text in warnings if "copy" in text] == [
        (True, False),
        (False, True),
    ]
    assert outcome.is_copied
    assert copied_files(address_of(run)) == local_files(run.paths.root)
    assert check_consistent(run, events_of(run)).height == 8


def test_killed_run_is_finished_from_its_copy_in_another_folder(
    store: Store, tmp_path: Path, ray_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    directory = store.address(tmp_path.name)
    write_space(first, directory, max_epochs=300, trials=10, scheduler="none")
    with command(first, ray_folder, "run", "space.yaml", "--json") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "trial_ended":
                (root,) = (first / "runs").iterdir()
                if len(ends_of(read_copy(below(directory, root.name), tmp_path / "look"))) >= 2:
                    process.send_signal(signal.SIGKILL)
                    break
        process.communicate(timeout=120)
    address = below(directory, root.name)
    told = list(read_events(root / "events.ndjson"))
    known = read_copy(address, tmp_path / "look")
    assert 2 <= len(ends_of(known)) <= len(ends_of(told)) < 10
    assert known == told[: len(known)]

    code, _, errors = finish(second, ray_folder, "resume", address, "--json")
    assert (code, errors) == (0, "")
    monkeypatch.chdir(second)
    resumed = Run.reopen(second / "runs" / root.name, overrides=["search.trials=11"])
    table = check_consistent(resumed, last_attempts(events_of(resumed)))
    before = ends_of(known)
    assert table.height == 10
    assert ends_of(events_of(resumed))[: len(before)] == before
    assert copied_files(address) == local_files(resumed.paths.root)

    code, _, errors = finish(second, ray_folder, "resume", address)
    assert code == 2
    assert "is complete: 10 of 10 trials ended" in errors
    code, output, errors = finish(tmp_path, ray_folder, "leaderboard", address)
    assert (code, errors) == (0, "")
    assert "10/10 trials" in output


def test_copy_that_is_behind_is_told_and_completed_later(store: Store, tmp_path: Path, ray_folder: Path) -> None:
    directory = store.address(tmp_path.name)
    write_space(tmp_path, directory, trials=2)
    with command(tmp_path, ray_folder, "run", "space.yaml") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "search ended" in line:
                store.is_shut = True
                break
        output, errors = process.communicate(timeout=400)
    (root,) = (tmp_path / "runs").iterdir()
    assert (process.returncode, errors) == (1, "")
    assert "done: Forecast with: lstm-tune predict" in output
    assert f"is behind; everything is in {root}. Complete it: lstm-tune upload {root}" in output
    store.is_shut = False
    assert finish(tmp_path, ray_folder, "upload", str(root))[0] == 0
    assert copied_files(below(directory, root.name)) == local_files(root)


def test_missing_bucket_is_told_before_anything_is_made(store: Store, tmp_path: Path, ray_folder: Path) -> None:
    write_space(tmp_path, store.address("runs", bucket="no-such-bucket"))
    for arguments in (["run"], ["validate"]):
        code, _, errors = finish(tmp_path, ray_folder, *arguments, "space.yaml")
        assert code == 2
        assert errors.count("\n") == 1
        assert "output.directory: 's3://no-such-bucket/runs?" in errors
        assert "NO_SUCH_BUCKET" in errors
    assert not (tmp_path / "runs").exists()
