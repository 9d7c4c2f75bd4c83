"""A cluster of several nodes on this machine, for tests: `cluster/local.sh` in a folder and on ports of its own."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "cluster" / "local.sh"
HAS_RAY = (Path(sys.executable).parent / "ray").exists()

ATTEMPTS = 3
"""How often a cluster may fail to start."""

needs_cluster = [
    pytest.mark.cluster,
    pytest.mark.skipif(not HAS_RAY, reason="the `ray` command is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback device"),
]
"""Marks of tests that start a cluster."""


@dataclass(frozen=True)
class LocalCluster:
    """Nodes on 127.0.0.2, .3 and so on; the first is the head.

    Attributes:
        folder: its token, process ids and logs.
        port: the head's.
        dashboard_port: for jobs, on 127.0.0.1.
    """

    folder: Path
    port: int
    dashboard_port: int

    @property
    def address(self) -> str:
        """What `ray.init` and `--address` of `lstm-tune run` take."""
        return f"127.0.0.2:{self.port}"

    @property
    def dashboard(self) -> str:
        """What `--address` of `lstm-tune submit` takes."""
        return f"http://127.0.0.1:{self.dashboard_port}"

    @property
    def token(self) -> Path:
        """The file that holds the token."""
        return self.folder / "token"

    @property
    def environment(self) -> dict[str, str]:
        """For processes that talk to it, and for the script."""
        ports = {"LSTM_TUNE_PORT": str(self.port), "LSTM_TUNE_DASHBOARD_PORT": str(self.dashboard_port)}
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(self.token)}
        return {**os.environ, **ports, **token, "PATH": path, "LSTM_TUNE_CLUSTER": str(self.folder)}

    def script(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `cluster/local.sh`."""
        return subprocess.run(
            [SCRIPT, *arguments], env=self.environment, capture_output=True, text=True, check=False, timeout=400
        )

    def up(self, nodes: int, gpus: int = 0) -> None:
        """Starts the nodes; Ray gives a node 30 s to start, which is too little where other tests run beside."""
        for _ in range(ATTEMPTS):
            started = self.script("up", str(nodes), str(gpus))
            if started.returncode == 0:
                return
        pytest.fail(started.stdout + started.stderr)

    def down(self) -> None:
        """Ends them all, however they are."""
        self.script("down")

    def end_node(self, number: int) -> None:
        """SIGKILL to every process of a node, as if its power failed. The head is number 0."""
        mine = [self._leader(number), *descendants([self._leader(number)])]
        for pid in mine:
            kill(pid)
        wait_until(lambda: not set(mine) & parents().keys())

    def end_raylet(self, number: int) -> None:
        """SIGKILL to the process that manages a node; its workers end with it."""
        own = f"--node_ip_address=127.0.0.{number + 2}"
        for pid, line in command_lines().items():
            if "/raylet/raylet" in line and own in line and str(self.port) in line:
                kill(pid)

    def start_node(self, number: int) -> None:
        """Starts a worker node again; the shell leaves it to itself, as `local.sh` does."""
        place = f"--node-ip-address=127.0.0.{number + 2} --address={self.address}"
        files = f">>{self.folder}/node-{number}.log 2>&1 </dev/null & echo $! >{self.folder}/node-{number}.pid"
        command = f"setsid ray start --block {place} --num-cpus=1 --num-gpus=0 --disable-usage-stats {files}"
        subprocess.run(["bash", "-c", command], env=self.environment, check=True)

    def workers(self) -> list[int]:
        """Processes that run trials now."""
        leaders = [int(file.read_text()) for file in self.folder.glob("node-*.pid")]
        lines = command_lines()
        return [pid for pid in descendants(leaders) if "TrialWorker" in lines.get(pid, "")]

    def _leader(self, number: int) -> int:
        """The process that started a node."""
        return int((self.folder / f"node-{number}.pid").read_text())


@contextmanager
def local_cluster(nodes: int, gpus: int = 0) -> Iterator[LocalCluster]:
    """A cluster that is down again at the end; its folder's path is short because sockets lie in it."""
    with tempfile.TemporaryDirectory(prefix="local-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        cluster = LocalCluster(Path(folder) / "c", free_port(), free_port())
        try:
            cluster.up(nodes, gpus)
            yield cluster
        finally:
            cluster.down()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command_lines() -> dict[int, str]:
    """Every process of this machine, with its command line or the title it gave itself."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has ended meanwhile
    return found


def parents() -> dict[int, int]:
    """The parent of every process, but of those that are dead and not yet collected."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if state != "Z":
            found[int(folder.name)] = int(parent)
    return found


def descendants(ancestors: list[int]) -> list[int]:
    """Processes that these started, and those that they started."""
    of, found, generation = parents(), list[int](), set(ancestors)
    while generation:
        generation = {pid for pid, parent in of.items() if parent in generation}
        found += generation
    return found


def kill(pid: int) -> None:
    """SIGKILL to a process that may have ended."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def wait_until(is_so: Callable[[], bool], *, seconds: float = 60.0) -> None:
    """Waits for something that must come."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline, f"it did not come within {seconds:g} s"
        time.sleep(0.1)
