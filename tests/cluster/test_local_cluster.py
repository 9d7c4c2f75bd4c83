"""`local.sh` brings two nodes up and takes both down again, and nothing else."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "local.sh"
HAS_RAY = (Path(sys.executable).parent / "ray").exists() or shutil.which("ray")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(not HAS_RAY, reason="the `ray` command is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback device"),
]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    """A cluster's own folder and ports; the folder's path is short because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="local-", dir="/tmp") as folder:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        ports = {"LSTM_TUNE_PORT": str(free_port()), "LSTM_TUNE_DASHBOARD_PORT": str(free_port())}
        environment = {**os.environ, **ports, "PATH": path, "LSTM_TUNE_CLUSTER": f"{folder}/c"}
        yield environment
        run("down", environment)


def run(command: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *command.split()], env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def processes_in(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def test_two_nodes_come_and_go(environment: dict[str, str]) -> None:
    folder = Path(environment["LSTM_TUNE_CLUSTER"])
    up = run("up 2 4", environment)
    assert up.returncode == 0, up.stderr
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    status = run("status", environment)
    assert status.stdout.count(" 1 node_") == 2
    assert "8.0 GPU" in status.stdout
    assert run("down", environment).returncode == 0
    assert processes_in(folder) == []
    assert not (folder / "token").exists()
