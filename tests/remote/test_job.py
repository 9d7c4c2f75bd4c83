"""The job's own beginning, with the exec that ends it replaced."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lstm_tune.remote import job
from lstm_tune.remote.orders import Orders
from lstm_tune.remote.versions import own_versions
from lstm_tune.spec.events import Stamped, Warned


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Begins a job with these versions; what it becomes."""
    became: list[str] = []

    def start(versions: dict[str, str]) -> list[str]:
        Orders("run", "space.yaml", ["--set", "search.trials=1"], versions).write(tmp_path)
        job.main()
        return became

    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "execv", lambda program, arguments: became.extend(arguments))
    return start


def test_job_becomes_the_run_in_a_folder_that_stays(begin: Callable[..., list[str]], tmp_path: Path) -> None:
    became = begin(own_versions())
    assert became[:4] == [sys.executable, "-P", "-m", "lstm_tune"]
    assert became[4:6] == ["run", str(tmp_path / "space.yaml")]
    assert Path.cwd() == tmp_path / "home" / "lstm-tune-jobs"


def test_other_versions_are_told_as_warnings(
    begin: Callable[..., list[str]], capfd: pytest.CaptureFixture[str]
) -> None:
    assert begin({**own_versions(), "torch": "1.0.0"})
    event = Stamped.from_json(capfd.readouterr().out.strip()).event
    assert isinstance(event, Warned)
    assert event.message.endswith("on the cluster and 1.0.0 where the job was submitted")


def test_missing_modules_end_the_job_with_the_way_out(
    begin: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.remote.versions.MODULES", {"torch": "no_such_module", "ray": "ray"})
    with pytest.raises(SystemExit, match=r"lack torch\. Install it there \(cluster/install\.sh\).*--pip"):
        begin(own_versions())
