"""What the commands for jobs say before a cluster is asked for anything, and of jobs that failed there."""

import socket
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lstm_tune.cli import jobs
from lstm_tune.remote.jobs import Job
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.events import RunEnded, Stamped

Run = Callable[..., Any]


@pytest.fixture
def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


class OneJob:
    """A cluster that knows one job and what it printed."""

    url = "http://127.0.0.1:1"

    def __init__(self, job: Job, *lines: str) -> None:
        self._job = job
        self._lines = lines

    def find(self, reference: str) -> Job:
        return self._job

    def read(self, job: str) -> Job:
        return self._job

    async def tail(self, job: str) -> Any:
        for line in self._lines:
            yield f"{line}\n"


def failed(message: str, exit_code: int | None) -> Job:
    return Job("sales-1", "sales", "FAILED", message, datetime.now(UTC), None, exit_code)


def test_a_fault_in_the_file_never_reaches_the_cluster(
    lstm_tune: Run, experiment: Callable[..., Path], nobody: str
) -> None:
    ended = lstm_tune("submit", experiment(search__trails=3), "--address", nobody)
    assert ended.code == 2
    assert "search.trails is not a key of an experiment. Did you mean 'trials'?" in ended.err


def test_nobody_at_the_address_is_one_message(lstm_tune: Run, experiment: Callable[..., Path], nobody: str) -> None:
    ended = lstm_tune("submit", experiment(), "--address", nobody)
    assert (ended.code, ended.out) == (1, "")
    (line,) = ended.err.splitlines()
    assert line.startswith(f"{nobody}: nobody answers there")


@pytest.mark.parametrize("arguments", [[], ["space.yaml", "--resume", "latest"]])
def test_submit_takes_a_file_or_a_job(lstm_tune: Run, arguments: list[str]) -> None:
    ended = lstm_tune("submit", *arguments)
    assert ended.code == 2
    assert "name either an experiment file, or a job with --resume" in ended.err


def test_open_way_is_warned_of_once(lstm_tune: Run) -> None:
    ended = lstm_tune("jobs", "--address", "http://no-such-host.invalid:8265")
    assert ended.code == 1
    assert ended.err.count("warning: token and data travel to no-such-host.invalid unencrypted") == 1


def test_job_that_ended_by_itself_fails_with_its_last_words() -> None:
    event = Stamped(1.0, RunEnded("failed", "no luck")).to_json()
    cluster = OneJob(
        failed("Job entrypoint command failed", 1), "Running entrypoint for job", event, "No luck. Try more"
    )
    with pytest.raises(ClusterError) as caught:
        jobs.attach_job("sales-1", lambda: cluster, as_json=True)  # type: ignore[arg-type, return-value]
    assert str(caught.value).splitlines() == [
        "sales-1: the job failed with exit code 1",
        "No luck. Try more",
        "All it said: lstm-tune logs sales-1",
    ]


RAYS_PAGES = """runtime_env setup failed: Failed to set up runtime environment.
[Node 10.0.0.1] Traceback (most recent call last):
  File "runtime_env_agent.py", line 561, in _create_runtime_env_with_retry
ray._private.runtime_env.utils.SubprocessCalledProcessError: Run cmd[9] failed with the following details.
    ERROR: Could not find a version that satisfies the requirement polars==0.0.0.1 (from versions: 0.0.1)
    ERROR: No matching distribution found for polars==0.0.0.1
"""


def test_job_that_never_began_fails_with_rays_reason_in_a_line() -> None:
    cluster = OneJob(failed(RAYS_PAGES, None))
    with pytest.raises(ClusterError) as caught:
        jobs.attach_job("sales-1", lambda: cluster, as_json=True)  # type: ignore[arg-type, return-value]
    assert str(caught.value).splitlines() == [
        "sales-1: the job failed: runtime_env setup failed: Failed to set up runtime environment. ERROR: Could not find"
        " a version that satisfies the requirement polars==0.0.0.1 (from versions: 0.0.1) ERROR: No matching"
        " distribution found for polars==0.0.0.1",
        "All it said: lstm-tune logs sales-1",
    ]
