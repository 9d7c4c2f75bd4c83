"""Runs the command line inside the test process, and small experiments to run it on."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_tune.cli.main import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def lstm_tune(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Ended]:
    """Runs `lstm-tune` with some arguments."""

    def run(*arguments: str | Path) -> Ended:
        monkeypatch.setenv("COLUMNS", "200")
        monkeypatch.setattr(sys, "argv", ["lstm-tune", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return run


@pytest.fixture
def experiment(tmp_path: Path) -> Callable[..., Path]:
    """Writes an experiment on 40 months, with keys such as `task.horizon` changed, and its table."""

    def write(rows: str | bytes | None = None, **changes: Any) -> Path:
        content = rows if rows is not None else months()
        (tmp_path / "a.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
        raw: dict[str, Any] = {
            "name": "tiny",
            "task": {"kind": "forecast", "horizon": 3, "season": 4},
            "data": {"path": "a.csv", "time": "ds", "target": "y"},
            "validation": {"test": 3, "folds": 2},
            "space": {"units": [4], "window": [4, 8]},
            "output": {"directory": str(tmp_path / "runs")},
        }
        for key, value in changes.items():
            *sections, last = key.split("__")
            place = raw
            for section in sections:
                place = place.setdefault(section, {})
            place[last] = value
        path = tmp_path / "space.yaml"
        path.write_text(yaml.safe_dump(raw, sort_keys=False))
        return path

    return write


def months() -> str:
    """A table of 40 monthly values."""
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{10 + i % 4 + i / 10:.1f}" for i in range(40)]
    return "\n".join(["ds,y", *rows]) + "\n"
