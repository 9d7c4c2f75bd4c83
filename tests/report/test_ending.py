from pathlib import Path

import pytest
from run_files import START, finished_run, write_run

from lstm_tune.report import writing
from lstm_tune.report.ending import report_end
from lstm_tune.spec.events import ReportWritten, Stamped, Warned
from lstm_tune.spec.paths import RunPaths


def told(paths: RunPaths) -> list[Stamped]:
    heard: list[Stamped] = []
    report_end(paths, [heard.append])
    return heard


def test_a_run_that_ended_gets_its_page(tmp_path: Path) -> None:
    paths = finished_run(tmp_path / "run")
    (stamped,) = told(paths)
    assert stamped.event == ReportWritten(str(paths.report))
    assert paths.report.is_file()


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    paths = write_run(tmp_path / "run", [START])
    assert told(paths) == []
    assert told(RunPaths(tmp_path / "nowhere")) == []
    assert not paths.report.exists()


def test_a_page_that_cannot_be_made_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = finished_run(tmp_path / "run")
    monkeypatch.setattr(writing, "write_page", lambda paths: 1 / 0)
    (stamped,) = told(paths)
    assert isinstance(stamped.event, Warned)
    assert f"Try again with: lstm-tune report {paths.root}" in stamped.event.message
