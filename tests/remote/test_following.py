from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from lstm_tune.remote.following import Notice, Patience, follow_events, follow_lines
from lstm_tune.remote.jobs import Job
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.events import RunEnded, Stamped, Warned

QUICK = Patience(look_s=0.01, silent_s=0.0, retry_s=0.0, give_up_s=0.0)
CALM = Patience(look_s=0.01, silent_s=60.0, retry_s=0.0, give_up_s=60.0)
ENDED = Stamped(7.0, RunEnded("done", "well"))


@dataclass
class ScriptedCluster:
    """Sends texts connection by connection (an error breaks one off) and says one status after the other."""

    connections: list[Sequence[str | ClusterError]]
    statuses: list[str | ClusterError] = field(default_factory=lambda: ["SUCCEEDED"])

    async def tail(self, job: str) -> AsyncIterator[str]:
        for text in self.connections.pop(0):
            if isinstance(text, ClusterError):
                raise text
            yield text

    def read(self, job: str) -> Job:
        status = self.statuses.pop(0)
        if isinstance(status, ClusterError):
            raise status
        return Job(job, "sales", status, "", None, None, None)


def lines(cluster: ScriptedCluster, patience: Patience = CALM) -> list[str | Notice]:
    return list(follow_lines(cluster, "job", patience))  # type: ignore[arg-type]


def test_lines_are_whole_however_they_come() -> None:
    assert lines(ScriptedCluster([["a\nb", "b\n", "c", "\nlast"]])) == ["a", "bb", "c", "last"]


def test_what_was_seen_is_not_told_again_after_a_broken_connection() -> None:
    broken = ClusterError("broke off")
    cluster = ScriptedCluster([["a\nb", broken], ["a\n", "bb\nc\n", broken], [broken], ["a\nbb\n", "c\nd\n"]])
    cluster.statuses = ["RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"]
    assert lines(cluster) == ["a", "bb", "c", "d"]


def test_job_that_says_nothing_is_told_of_and_waited_for() -> None:
    cluster = ScriptedCluster([["a\n"], [], ["a\nb\n"]], ["RUNNING", "PENDING", "SUCCEEDED"])
    first, running, pending, last = lines(cluster, QUICK)
    assert (first, last) == ("a", "b")
    assert isinstance(running, Notice)
    assert "though Ray calls it RUNNING" in running.text
    assert "lstm-tune submit --resume job" in running.text
    assert isinstance(pending, Notice)
    assert "it waits to begin" in pending.text


def test_cluster_that_is_away_for_a_while_is_told_of_once() -> None:
    gone = ClusterError("http://x: the cluster does not answer")
    cluster = ScriptedCluster([["a\n", gone], [gone], ["a\nb\n"]], [gone, gone, "SUCCEEDED"])
    assert lines(cluster) == ["a", Notice(f"{gone}; trying again for 60 s"), "b"]


def test_cluster_that_stays_away_is_left_with_the_way_back() -> None:
    gone = ClusterError("http://x: the cluster does not answer")
    with pytest.raises(
        ClusterError, match=r"does not answer\. The job may go on; come back with: lstm-tune attach job"
    ):
        lines(ScriptedCluster([["a\n", gone]], [gone]), QUICK)


def test_events_are_parsed_and_notices_are_warnings_at_the_time_of_the_last_event() -> None:
    text = f"Running entrypoint\n{ENDED.to_json()}\n" + '{"event":"of a later release"}\n'
    cluster = ScriptedCluster([[text], [text]], ["RUNNING", "SUCCEEDED"])
    entry, ended, unknown, notice = follow_events(cluster, "job", QUICK)  # type: ignore[arg-type]
    assert (entry, ended, unknown) == ("Running entrypoint", ENDED, '{"event":"of a later release"}')
    assert isinstance(notice, Stamped)
    assert isinstance(notice.event, Warned)
    assert notice.at_s == 7.0
