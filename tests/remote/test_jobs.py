from types import SimpleNamespace
from typing import Any

import pytest
from dashboards import dashboard, job_fields

from lstm_tune.remote.access import Access
from lstm_tune.remote.jobs import Cluster
from lstm_tune.spec.errors import ClusterError, InputError

OTHERS = {"submission_id": "raysubmit_1", "status": "RUNNING", "metadata": {"who": "else"}, "start_time": 9}
DRIVER = {"job_id": "01000000", "status": "RUNNING", "metadata": None, "start_time": 9}
JOBS = [
    job_fields("sales-a1", "SUCCEEDED", start_time=1_000, end_time=61_000, driver_exit_code=0),
    job_fields("sales-b2", start_time=3_000),
    job_fields("stocks-c3", "FAILED", start_time=2_000),
    OTHERS,
    DRIVER,
]


def test_our_own_jobs_are_listed_newest_first() -> None:
    with dashboard({"/api/jobs/": JOBS}) as url:
        jobs = Cluster(Access(url)).jobs()
    assert [job.id for job in jobs] == ["sales-b2", "stocks-c3", "sales-a1"]
    assert (jobs[2].seconds, jobs[2].exit_code, jobs[2].is_over) == (60.0, 0, True)


@pytest.mark.parametrize(
    ("reference", "found"), [("latest", "sales-b2"), ("stocks", "stocks-c3"), ("sales-a1", "sales-a1")]
)
def test_job_is_found_by_the_beginning_of_its_name(reference: str, found: str) -> None:
    with dashboard({"/api/jobs/": JOBS}) as url:
        assert Cluster(Access(url)).find(reference).id == found


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("sales", "must be the beginning of one job's name, and is that of sales-b2, sales-a1"),
        ("sale-b2", r"is not a job of lstm-tune on .*Did you mean 'sales-b2'\?"),
        ("raysubmit_1", r"is not a job of lstm-tune .*Known: sales-a1, sales-b2, stocks-c3\."),
    ],
)
def test_reference_to_no_job_or_to_several_is_refused(reference: str, message: str) -> None:
    with dashboard({"/api/jobs/": JOBS}) as url, pytest.raises(InputError, match=message):
        Cluster(Access(url)).find(reference)


def test_refusal_and_silence_are_told_in_a_line() -> None:
    with dashboard() as url:
        cluster = Cluster(Access(url))
        with pytest.raises(ClusterError, match="refused or broke off: 404"):
            cluster.read("nobody")
    with pytest.raises(ClusterError, match=r"does not answer \(ConnectionError\)"):
        cluster.read("nobody")


def test_cluster_that_has_only_just_come_up_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Exception | None] = [RuntimeError("500: No available agent to submit job"), None]

    def submit_job(**job: Any) -> None:
        if (answer := answers.pop(0)) is not None:
            raise answer

    monkeypatch.setattr("lstm_tune.remote.jobs.JobSubmissionClient", lambda *arguments, **options: client)
    client = SimpleNamespace(submit_job=submit_job)
    Cluster(Access("http://127.0.0.1:1")).submit("job", "true", runtime_env={}, metadata={})
    assert answers == []


def test_refused_job_is_told_at_once_and_without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    def submit_job(**job: Any) -> None:
        raise RuntimeError("Traceback:\n  many lines\nValueError: no such working_dir")

    client = SimpleNamespace(submit_job=submit_job)
    monkeypatch.setattr("lstm_tune.remote.jobs.JobSubmissionClient", lambda *arguments, **options: client)
    with pytest.raises(ClusterError, match=r"broke off: ValueError: no such working_dir$"):
        Cluster(Access("http://127.0.0.1:1")).submit("job", "true", runtime_env={}, metadata={})
