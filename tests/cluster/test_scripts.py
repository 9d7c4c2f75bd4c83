"""The shell scripts and the Dockerfile pass their linters, begin with purpose and command, and fit together."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CLUSTER = Path(__file__).parents[2] / "cluster"
SCRIPTS = ["local.sh", "install.sh", "slurm.sbatch"]
FILES = sorted(path for path in CLUSTER.rglob("*") if path.is_file() and path.name != "README.md")


def tool(name: str) -> str:
    """A program of the environment that runs the tests."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    assert found, f"{name} is missing: pip install -e '.[dev]'"
    return found


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_finds_nothing(name: str) -> None:
    result = run(tool("shellcheck"), CLUSTER / name)
    assert result.returncode == 0, result.stdout


def test_hadolint_finds_nothing() -> None:
    result = run(tool("hadolint"), "--no-color", CLUSTER / "Dockerfile")
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_a_file_begins_with_purpose_and_command(path: Path) -> None:
    head = path.read_text(encoding="utf-8").splitlines()[:4]
    assert [line[:11] for line in head if line.startswith(("# Purpose:  ", "# Command:  "))] == [
        "# Purpose: ",
        "# Command: ",
    ]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_lines_are_short_and_no_secret_is_inside(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 120
    assert not re.search(r"\b[0-9a-f]{32,}\b|AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY", text)


def test_every_file_installs_the_same_ray() -> None:
    pinned = {
        "Dockerfile": re.search(r"ARG RAY_VERSION=(\S+)", (CLUSTER / "Dockerfile").read_text()),
        "install.sh": re.search(r'RAY_VERSION="(\S+)"', (CLUSTER / "install.sh").read_text()),
    }
    versions = {match.group(1) for match in pinned.values() if match}
    cluster = yaml.safe_load((CLUSTER / "kuberay" / "raycluster.yaml").read_text())["spec"]
    job = yaml.safe_load((CLUSTER / "kuberay" / "rayjob.yaml").read_text())["spec"]["rayClusterSpec"]
    assert versions | {cluster["rayVersion"], job["rayVersion"]} == {cluster["rayVersion"]}


def test_the_image_is_pinned_and_runs_without_root() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    assert any(re.fullmatch(r"FROM python:3\.\d+\.\d+-slim-\w+", line) for line in lines)
    assert "USER 1000" in lines


def test_nothing_but_ray_up_stops_every_ray() -> None:
    for name in ("local.sh", "slurm.sbatch"):
        commands = [line for line in (CLUSTER / name).read_text().splitlines() if not line.lstrip().startswith("#")]
        assert "ray stop" not in "\n".join(commands)


def test_help_says_how_local_is_used() -> None:
    result = run(CLUSTER / "local.sh", "--help")
    assert result.returncode == 0
    assert "up [NODES] [GPUS]" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["up", "two"], "NODES must be a whole number, got 'two'"), (["up", "0"], "NODES must be 1 to 200, got 0")],
)
def test_local_refuses_wrong_numbers(arguments: list[str], message: str) -> None:
    result = run(CLUSTER / "local.sh", *arguments)
    assert (result.returncode, message in result.stderr) == (2, True)
