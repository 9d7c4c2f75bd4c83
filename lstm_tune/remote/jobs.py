"""The jobs of a cluster, through its Jobs API. Everything that goes wrong there is told as one of our own errors."""

import importlib.util
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, final

import requests
from ray.job_submission import JobSubmissionClient

from lstm_tune import __version__
from lstm_tune.remote.access import TIMEOUT_S, Access
from lstm_tune.spec.errors import ClusterError, InputError, did_you_mean

MARK = "lstm_tune"
"""The key in a job's metadata by which ours are known; its value is the version that submitted it."""

LATEST = "latest"

NOT_YET, START_S = "No available agent", 60.0
"""What Ray answers while its nodes are up but their agents are not, and the seconds that they get."""

ENTRYPOINT = "python -P -m lstm_tune.remote.job"
"""Looks for modules in Python's own places alone, so that no folder of the node stands in for this package."""

for _name in ("dashboard.modules.job.sdk", "dashboard.modules.dashboard_sdk", "_private.runtime_env.packaging"):
    logging.getLogger(f"ray.{_name}").setLevel(logging.ERROR)


@dataclass(frozen=True)
class Job:
    """What a cluster knows of a job.

    Attributes:
        id: its name there.
        experiment: the experiment's name.
        status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED.
        message: why, in Ray's words.
        started_at: when it was submitted; None where that is not known.
        ended_at: None while it goes on.
        exit_code: of its process; None while it goes on, or where it never began.
    """

    id: str
    experiment: str
    status: str
    message: str
    started_at: datetime | None
    ended_at: datetime | None
    exit_code: int | None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come of it."""
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")

    @property
    def seconds(self) -> float | None:
        """How long it has taken, or took."""
        if self.started_at is None:
            return None
        return ((self.ended_at or datetime.now(UTC)) - self.started_at).total_seconds()


@final
class Cluster:
    """A cluster one may talk to.

    Args:
        access: its address and token.

    Raises:
        ClusterError: the libraries that this needs are not installed.
    """

    def __init__(self, access: Access) -> None:
        if importlib.util.find_spec("aiohttp") is None:
            raise ClusterError('Jobs on a cluster need more libraries: pip install "lstm-tune[cluster]"')
        self._access = access

    @property
    def url(self) -> str:
        """Its address."""
        return self._access.url

    def jobs(self) -> list[Job]:
        """The runs that were submitted to it, newest first."""
        found = [_job(fields) for fields in self._ask("GET", "/api/jobs/") if MARK in (fields.get("metadata") or {})]
        return sorted(found, key=lambda job: (job.started_at or datetime.min.replace(tzinfo=UTC), job.id), reverse=True)

    def find(self, reference: str) -> Job:
        """The job of that name, of the only name that begins so, or the newest one for `latest`.

        Raises:
            InputError: there is none, or there are several.
        """
        jobs = self.jobs()
        if reference == LATEST and jobs:
            return jobs[0]
        fitting = [job for job in jobs if job.id.startswith(reference)]
        exact = [job for job in fitting if job.id == reference]
        if len(exact or fitting) == 1:
            return (exact or fitting)[0]
        if fitting:
            names = ", ".join(job.id for job in fitting)
            raise InputError.at(reference, f"must be the beginning of one job's name, and is that of {names}")
        hint = did_you_mean(reference, [job.id for job in jobs])
        raise InputError.at(reference, f"is not a job of lstm-tune on {self.url}. {hint}")

    def read(self, job: str) -> Job:
        """What is known of a job now."""
        return _job(self._ask("GET", f"/api/jobs/{job}"))

    def log(self, job: str) -> str:
        """Everything a job has printed."""
        return str(self._ask("GET", f"/api/jobs/{job}/logs")["logs"])

    async def tail(self, job: str) -> AsyncIterator[str]:
        """What a job has printed from its beginning, piece by piece, and what it prints, until it is over.

        Raises:
            ClusterError: the connection broke.
        """
        try:
            async for text in self._client.tail_job_logs(job):
                yield text
        except (RuntimeError, OSError, ValueError) as error:
            raise self._error(error) from None
        except Exception as error:
            if type(error).__module__.split(".")[0] != "aiohttp":
                raise
            raise self._error(error) from None

    def submit(self, job: str, entrypoint: str, *, runtime_env: Mapping[str, Any], metadata: Mapping[str, str]) -> None:
        """Starts a job; its folders are uploaded first. A cluster that has only just come up gets a minute.

        Args:
            job: its name, which no job of the cluster has had.
            entrypoint: the command.
            runtime_env: as Ray defines it.
            metadata: texts that stay with the job.
        """
        deadline = time.monotonic() + START_S
        while True:
            try:
                self._client.submit_job(
                    entrypoint=entrypoint, submission_id=job, runtime_env=dict(runtime_env), metadata=dict(metadata)
                )
                return
            except (RuntimeError, OSError, ValueError) as error:
                if NOT_YET not in str(error) or time.monotonic() > deadline:
                    raise self._error(error) from None
                time.sleep(1)

    def stop(self, job: str) -> None:
        """Asks a job to end; it may take the time it was given for that."""
        self._ask("POST", f"/api/jobs/{job}/stop")

    def delete(self, job: str) -> None:
        """Forgets a job that is over."""
        self._ask("DELETE", f"/api/jobs/{job}")

    def _ask(self, method: str, path: str) -> Any:
        try:
            answer = requests.request(
                method, f"{self.url}{path}", headers=self._access.headers, timeout=TIMEOUT_S, allow_redirects=False
            )
        except requests.exceptions.RequestException as error:
            raise self._error(error) from None
        if not answer.ok:
            raise self._error(RuntimeError(f"{answer.status_code} {answer.text}"))
        return answer.json()

    @cached_property
    def _client(self) -> JobSubmissionClient:
        with _only_address(self.url):
            try:
                return JobSubmissionClient(self.url, headers=self._access.headers)
            except (RuntimeError, OSError) as error:
                raise self._error(error) from None

    def _error(self, error: Exception) -> ClusterError:
        """In a few words: what the libraries say may be pages long, or show what was sent."""
        if isinstance(error, requests.exceptions.RequestException | ConnectionError):
            return ClusterError(f"{self.url}: the cluster does not answer ({type(error).__name__})")
        lines = [line for line in str(error).strip().splitlines() if line.strip()]
        said = lines[-1].strip() if lines else type(error).__name__
        return ClusterError(f"{self.url}: the cluster refused or broke off: {said[:300]}")


def start_run(cluster: Cluster, experiment: str, runtime_env: Mapping[str, Any]) -> str:
    """Starts a run as a job.

    Args:
        cluster: where it shall run.
        experiment: the experiment's name.
        runtime_env: with the run's orders, as `packing` makes it.

    Returns:
        The job's name.
    """
    job = f"{experiment}-{datetime.now():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    cluster.submit(job, ENTRYPOINT, runtime_env=runtime_env, metadata={MARK: __version__, "experiment": experiment})
    return job


def _job(fields: Mapping[str, Any]) -> Job:
    known = fields.get("metadata") or {}
    return Job(
        id=str(fields.get("submission_id") or fields.get("job_id")),
        experiment=str(known.get("experiment", "")),
        status=str(fields["status"]),
        message=str(fields.get("message") or ""),
        started_at=_time(fields.get("start_time")),
        ended_at=_time(fields.get("end_time")),
        exit_code=fields.get("driver_exit_code"),
    )


def _time(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else None


@contextmanager
def _only_address(url: str) -> Iterator[None]:
    """Makes Ray take this address; it believes its environment variables more than its arguments."""
    name = "RAY_API_SERVER_ADDRESS"
    before = os.environ.get(name)
    os.environ[name] = url
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before
