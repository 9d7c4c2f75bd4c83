"""The whole way on a head and two nodes with tokens on, brought up by the commands of the guide."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
import yaml
from polars.testing import assert_frame_equal

from lstm_tune.spec.events import RunEnded, RunStarted, TrialEnded, TrialReported, read_events
from lstm_tune.spec.paths import RunPaths

ROOT = Path(__file__).parents[2]
HAS_RAY = (Path(sys.executable).parent / "ray").exists() or shutil.which("ray")

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not HAS_RAY, reason="the `ray` command is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 on its loopback device"),
]

THREE_CONFIGURATIONS = {
    "name": "tiny",
    "task": {"kind": "forecast", "horizon": 3, "season": 4},
    "data": {"path": "tables/*.csv", "time": "ds", "target": "y"},
    "validation": {"test": 3, "folds": 2},
    "search": {"sampler": "grid", "scheduler": "none", "trials": 3, "seed": 5},
    "space": {"units": 4, "depth": 1, "window": [4, 6, 8]},
    "training": {"max_epochs": 6},
    "output": {"seeds": 2, "finalists": 2},
}

GUIDES_TOKEN = "/tmp/lstm-tune-cluster-$(id -u)/token"


def guide() -> list[str]:
    """The guide's commands for a cluster on one machine: up, status, submit, down."""
    text = (ROOT / "cluster" / "README.md").read_text(encoding="utf-8").split("## One machine")[1]
    return text.split("```sh\n")[1].split("```")[0].splitlines()


@dataclass
class Nodes:
    """A cluster that is up, and everything that was printed about it."""

    folder: Path
    dashboard: int
    environment: dict[str, str]
    printed: list[str] = field(default_factory=list)

    @property
    def token(self) -> Path:
        return self.folder / "nodes" / "token"

    def run(self, command: Sequence[str | Path], seconds: float = 900) -> subprocess.CompletedProcess[str]:
        ended = subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False, timeout=seconds
        )
        self.printed += [ended.stdout, ended.stderr]
        return ended

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        """Runs a line of the guide with this cluster's port and token."""
        port, token = f"127.0.0.1:{self.dashboard}", str(self.token)
        return self.run(["bash", "-c", line.replace("127.0.0.1:8265", port).replace(GUIDES_TOKEN, token)])

    def arguments(self, *arguments: str | Path) -> list[str | Path]:
        where = ("--address", f"http://127.0.0.1:{self.dashboard}", "--token-file", self.token)
        return [sys.executable, "-m", "lstm_tune", *arguments, *where]

    def lstm_tune(self, *arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess[str]:
        ended = self.run(self.arguments(*arguments))
        assert ended.returncode == code, f"{arguments}\n{ended.stdout}\n{ended.stderr}"
        return ended

    def submit(self, *arguments: str | Path) -> str:
        """Submits without waiting; the job's name."""
        answer = json.loads(self.lstm_tune("submit", *arguments, "--detach", "--json").stdout)
        assert answer["address"] == f"http://127.0.0.1:{self.dashboard}"
        return str(answer["job"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="jobs-", dir="/tmp") as name:  # short, as sockets lie in it
        folder, port, dashboard = Path(name), free_port(), free_port()
        (folder / "home").mkdir()
        names = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        environment |= {
            "HOME": str(folder / "home"),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "LSTM_TUNE_CLUSTER": str(folder / "nodes"),
            "LSTM_TUNE_PORT": str(port),
            "LSTM_TUNE_DASHBOARD_PORT": str(dashboard),
        }
        found = Nodes(folder, dashboard, environment)
        for part in ("cluster", "search_spaces"):
            os.symlink(ROOT / part, folder / part)
        up, *_, down = guide()
        try:
            started = found.shell(up)
            assert started.returncode == 0, started.stderr
            yield found
        finally:
            assert found.shell(down).returncode == 0


@pytest.fixture(scope="module")
def space(nodes: Nodes) -> Path:
    """An experiment of three fixed configurations on a table in two files."""
    tables = nodes.folder / "tables"
    tables.mkdir()
    rows = [f"{2000 + i // 12}-{i % 12 + 1:02d}-01,{10 + i % 4 + i / 10:.1f}" for i in range(40)]
    for name, part in (("a.csv", rows[:20]), ("b.csv", rows[20:])):
        (tables / name).write_text("\n".join(["ds,y", *part]) + "\n")
    (nodes.folder / "space.yaml").write_text(yaml.safe_dump(THREE_CONFIGURATIONS, sort_keys=False))
    return nodes.folder / "space.yaml"


def test_the_guides_commands_run_an_experiment(nodes: Nodes) -> None:
    _, status, submit, _ = guide()
    assert nodes.shell(status).stdout.count(" 1 node_") == 3
    ended = nodes.shell(f"{submit} --set search.trials=2 --set training.max_epochs=2 --set output.seeds=1")
    assert ended.returncode == 0, ended.stderr
    assert "] done: Forecast with: lstm-tune predict" in ended.stdout


def test_run_that_is_left_and_fetched_predicts_as_a_local_one(nodes: Nodes, space: Path) -> None:
    job = nodes.submit(space)
    attached = subprocess.Popen(
        nodes.arguments("attach", job), cwd=nodes.folder, env=nodes.environment, stdout=subprocess.PIPE, text=True
    )
    assert attached.stdout is not None
    assert "started tiny: minimize mase in 3 trials" in attached.stdout.readline()
    attached.send_signal(signal.SIGINT)
    attached.communicate()
    assert attached.returncode == 130

    followed = nodes.lstm_tune("logs", job, "-f").stdout
    assert "Running entrypoint for job" in followed
    assert "] done: Forecast with" in followed
    events = nodes.lstm_tune("attach", job, "--json").stdout.splitlines()
    nodes.lstm_tune("fetch", job[:-2], "-o", "result")
    fetched = RunPaths(nodes.folder / "result")
    assert events[:-1] == fetched.events.read_text().splitlines()  # the last is about the report, beside the run
    assert fetched.report.is_file()

    local = nodes.run([sys.executable, "-m", "lstm_tune", "run", space, "--set", "output.directory=local", "--json"])
    assert local.returncode == 0, local.stderr
    (own,) = (nodes.folder / "local").iterdir()
    forecasts = []
    for run, data in ((own, nodes.folder / "tables" / "*.csv"), (fetched.root, fetched.root / "data" / "*")):
        out = nodes.folder / f"{run.name}.parquet"
        nodes.run([sys.executable, "-m", "lstm_tune", "predict", run / "best", data, "-o", out])
        forecasts.append(pl.read_parquet(out))
    assert forecasts[0].height == 3
    assert_frame_equal(*forecasts, check_exact=True)


def test_stopped_run_goes_on_as_another_job_on_all_nodes_and_tells_each_trial_once(nodes: Nodes, space: Path) -> None:
    longer = {"space.window": "[4, 5, 6, 7, 8, 9]", "search.trials": 6, "training.max_epochs": 800}
    longer |= {"training.patience_epochs": 800, "output.finalists": 1, "output.seeds": 1}
    job = nodes.submit(space, *(word for key, value in longer.items() for word in ("--set", f"{key}={value}")))
    following = subprocess.Popen(
        nodes.arguments("attach", job, "--json"),
        cwd=nodes.folder,
        env=nodes.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert following.stdout is not None
    assert any('"event":"trial_reported"' in line for line in following.stdout)
    assert f"Go on with it: lstm-tune submit --resume {job}" in nodes.lstm_tune("stop", job).stdout
    following.communicate()
    assert following.returncode == 130
    assert "it was interrupted" in nodes.lstm_tune("fetch", job, "-o", "part").stdout

    nodes.lstm_tune("submit", "--resume", job, "--set", "search.stop_when_stale=6")
    nodes.lstm_tune("fetch", "latest", "-o", "whole")
    events = [stamped.event for stamped in read_events(nodes.folder / "whole" / "events.ndjson")]
    starts = [event for event in events if isinstance(event, RunStarted)]
    assert [event.resumed for event in starts] == [False, True]
    assert len({event.directory for event in starts}) == 1
    assert sorted(event.trial for event in events if isinstance(event, TrialEnded)) == list(range(6))
    assert [event.state for event in events if isinstance(event, RunEnded)] == ["interrupted", "done"]
    assert {event.node for event in events if isinstance(event, TrialReported)} == {f"127.0.0.{n}" for n in (2, 3, 4)}


def test_job_that_cannot_begin_fails_with_one_message(nodes: Nodes, space: Path) -> None:
    ended = nodes.lstm_tune("submit", space, "--set", "data.path=/no/such/table.csv", code=1)
    first, what, last = ended.stderr.splitlines()[-3:]
    assert first.endswith("the job failed with exit code 2")
    assert what.startswith("/no/such/table.csv: does not exist")
    assert last.startswith("All it said: lstm-tune logs tiny-")
    assert "Traceback" not in ended.stderr


def test_jobs_are_listed_and_one_of_them_is_meant_by_its_beginning(nodes: Nodes) -> None:
    listed = json.loads(nodes.lstm_tune("jobs", "--json").stdout)
    assert [job["status"] for job in listed] == ["FAILED", "SUCCEEDED", "STOPPED", "SUCCEEDED", "SUCCEEDED"]
    table = nodes.lstm_tune("jobs").stdout.splitlines()
    assert [line.split()[:2] for line in table[1:]] == [[job["job"], job["status"]] for job in listed]
    assert "must be the beginning of one job's name" in nodes.lstm_tune("attach", "tiny", code=2).stderr


def test_wrong_token_is_told(nodes: Nodes, space: Path) -> None:
    (nodes.folder / "wrong").write_text("f" * 64)
    words = nodes.arguments("submit", space)
    ended = nodes.run([*words[:-1], nodes.folder / "wrong"])
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"--token-file {nodes.folder}/wrong: is not the token of the cluster at")


def test_data_over_the_limit_is_told_before_anything_travels(nodes: Nodes, space: Path) -> None:
    with (nodes.folder / "large.csv").open("wb") as file:
        file.write(b"ds,y\n")
        file.truncate(101 * 2**20)
    ended = nodes.lstm_tune("submit", space, "--set", "data.path=large.csv", code=2)
    assert "large.csv: holds 101 MiB, and 100 MiB can travel with a job" in ended.stderr


def test_token_was_never_written_anywhere_but_its_file(nodes: Nodes) -> None:
    token = nodes.token.read_text().strip()
    assert len(token) == 64
    nodes.printed += [
        nodes.lstm_tune("logs", job["job"]).stdout for job in json.loads(nodes.lstm_tune("jobs", "--json").stdout)
    ]
    assert not [text for text in nodes.printed if token in text]
    files = [path for path in nodes.folder.rglob("*") if path.is_file() and not path.is_symlink()]
    holding = [path for path in files if token.encode() in path.read_bytes()]
    assert holding == [nodes.token]
