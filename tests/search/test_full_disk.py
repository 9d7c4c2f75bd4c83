"""A disk that is full: on a tiny file system of its own where it may be mounted, and one write that fails elsewhere."""

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import pytest
from search_setup import ends_of, events_of, last_attempts, new_run
from test_runs import check_consistent

from lstm_tune.search.recorder import Recorder
from lstm_tune.search.runner import Run
from lstm_tune.spec.errors import DiskFullError
from lstm_tune.spec.events import RunEnded, Stamped, TrialEnded, Warned
from lstm_tune.spec.paths import create_run

SIZE = 1 << 20


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if mounted.returncode:
        pytest.skip(f"a file system may not be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room that is left, to the last byte."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\0" * size)
    return ballast


def test_event_without_room_leaves_no_part_and_the_next_one_stands_alone(small_disk: Path) -> None:
    paths = create_run(small_disk, "run", now=datetime(2026, 1, 1))
    with Recorder(paths) as record:
        record(Warned("one"))
        whole = paths.events.read_bytes()
        ballast = fill(small_disk)
        with pytest.raises(OSError, match="No space left"):
            record(Warned("x" * 5000))
        assert paths.events.read_bytes() == whole
        ballast.unlink()
        record(Warned("two"))
    assert [line.count(b"warned") for line in paths.events.read_bytes().splitlines()] == [1, 1]


def check_goes_on(run: Run, known: list[TrialEnded], trials: int) -> None:
    """The run is finished by another process, with what it knew as it was."""
    resumed = Run.reopen(run.paths.root)
    outcome = resumed.go()
    assert outcome.bundle is not None
    assert ends_of(events_of(resumed))[: len(known)] == known
    assert check_consistent(resumed, last_attempts(events_of(resumed))).height == trials


@pytest.mark.usefixtures("shared_ray")
def test_run_on_a_disk_that_fills_stops_with_one_message_and_goes_on_when_there_is_room(
    small_disk: Path, folder: Path
) -> None:
    run = new_run(small_disk, search={"trials": 6, "scheduler": "none"}, output={"finalists": 1})
    ballast: list[Path] = []

    def fill_up(stamped: Stamped) -> None:
        if isinstance(stamped.event, TrialEnded) and stamped.event.trial == 2:
            ballast.append(fill(small_disk))

    with pytest.raises(DiskFullError) as caught:
        run.go([fill_up])
    message = str(caught.value)
    assert message.startswith(f"{run.paths.root}: the disk is full, so the run stopped. What it finished is safe.")
    assert message.endswith(f"Free space there, then: lstm-tune resume {run.paths.root}")
    assert run.paths.events.read_bytes().endswith(b"\n")
    known = ends_of(events_of(run))
    assert known
    assert not [path for path in run.paths.root.rglob(".*.*") if path.is_file()]
    ballast[0].unlink()
    check_goes_on(run, known, 6)


@pytest.mark.usefixtures("shared_ray")
@pytest.mark.parametrize("name", ["out_of_fold.parquet", "weights.safetensors", "trial-00001.npy", "study.journal"])
def test_run_that_cannot_write_one_file_stops_and_goes_on_later(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(folder, search={"trials": 3, "scheduler": "none"}, output={"finalists": 1})
    with monkeypatch.context() as patch:
        refuse(name, patch)
        with pytest.raises(DiskFullError, match="the disk is full"):
            run.go()
    assert not isinstance(events_of(run)[-1], RunEnded)
    assert not list(run.paths.root.glob(".best*"))
    check_goes_on(run, ends_of(events_of(run)), 3)


def refuse(name: str, patch: pytest.MonkeyPatch) -> None:
    """Leaves no room for the file of a name: for its temporary one, and for more of one that grows."""
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    replace = os.replace

    def refuse_to_replace(source: object, target: object) -> None:
        if str(target).endswith(name):
            raise full
        replace(str(source), str(target))

    patch.setattr("os.replace", refuse_to_replace)
    if name == "study.journal":

        def refuse_to_tell(*arguments: object) -> None:
            raise full

        patch.setattr("lstm_tune.search.study.Study.tell", refuse_to_tell)
    if name == "weights.safetensors":

        def refuse_to_save(*arguments: object) -> None:
            raise RuntimeError("I/O error: No space left on device (os error 28)")

        patch.setattr("lstm_tune.bundle.files.save_file", refuse_to_save)
