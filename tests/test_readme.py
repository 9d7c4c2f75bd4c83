"""The README's commands do what it says."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SMALL = ("--set", "training.max_epochs=3", "--set", "output.seeds=1")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("lstm-tune ")]
    return [shlex.split(line) for line in lines]


def run(arguments: list[str], folder: Path) -> str:
    command = [sys.executable, *arguments]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, f"{shlex.join(arguments)}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    os.symlink(ROOT / "search_spaces", tmp_path / "search_spaces")
    return tmp_path


def test_every_command_works_in_the_order_of_the_page(folder: Path) -> None:
    for command in commands():
        arguments = ["-m", "lstm_tune", *command[1:]]
        if command[1] == "run":
            arguments += [*SMALL, "--set", "search.trials=4"]
        newest = max((folder / "runs").glob("*"), default=folder, key=lambda path: path.stat().st_mtime)
        run([str(newest) + part.removeprefix("RUN") if part.startswith("RUN") else part for part in arguments], folder)
    assert (folder / "forecast.parquet").is_file()


def test_the_python_example_works(folder: Path) -> None:
    (example,) = blocks("python")
    script = folder / "example.py"
    script.write_text(
        example.replace('"search.time_limit=60s"', '"training.max_epochs=3"') + "\nprint(len(forecast))\n"
    )
    result = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, check=False, timeout=300
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "12"


def test_the_experiment_of_the_page_is_valid(folder: Path) -> None:
    (example,) = blocks("yaml")
    (folder / "page.yaml").write_text(example)
    assert "is valid" in run(["-m", "lstm_tune", "validate", "page.yaml"], folder)


def test_ci_runs_the_test_command_of_the_page() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert next(block for block in blocks("sh") if "pytest" in block).strip() in script.replace(" --quiet", "")
