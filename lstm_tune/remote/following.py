"""A job's log as it grows, whatever breaks in between, and the events in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import final

from lstm_tune.remote.jobs import Cluster, Job
from lstm_tune.spec.errors import ClusterError
from lstm_tune.spec.events import Stamped, Warned


@dataclass(frozen=True)
class Patience:
    """How long what is waited for, in seconds.

    Attributes:
        look_s: between two looks at the job's status, while nothing is heard.
        silent_s: of silence until it is told; twice as long each further time.
        retry_s: between two attempts to connect.
        give_up_s: without any answer of the cluster, until the job is left.
    """

    look_s: float = 15.0
    silent_s: float = 120.0
    retry_s: float = 2.0
    give_up_s: float = 120.0


PATIENCE = Patience()


@dataclass(frozen=True)
class Notice:
    """Something about the job that its own log does not say."""

    text: str


def follow_events(cluster: Cluster, job: str, patience: Patience = PATIENCE) -> Iterator[Stamped | str]:
    """The events of a job, from its first one; other lines of its log as they are. A notice becomes a warning.

    Raises:
        ClusterError: the cluster has not answered for long.
    """
    at_s = 0.0
    for line in follow_lines(cluster, job, patience):
        item = Stamped(at_s, Warned(line.text)) if isinstance(line, Notice) else parse(line)
        at_s = item.at_s if isinstance(item, Stamped) else at_s
        yield item


def parse(line: str) -> Stamped | str:
    """The event of a line of a log, or the line where it is none."""
    if line.startswith('{"event":'):
        with suppress(ValueError, TypeError, KeyError):
            return Stamped.from_json(line)
    return line


def follow_lines(cluster: Cluster, job: str, patience: Patience = PATIENCE) -> Iterator[str | Notice]:
    """The lines of a job's log from its beginning, each once and as it comes, until the job is over.

    A broken connection is made anew, and what was seen is skipped. While nothing is heard the job's status is asked
    for: a cluster that lost the job's node may still call it running.

    Args:
        cluster: where it runs.
        job: its name.
        patience: how long what is waited for.

    Raises:
        ClusterError: the cluster has not answered for long.
    """
    silence = _Silence(cluster, job, patience)
    seen, rest = 0, ""
    with closing(asyncio.new_event_loop()) as loop:
        while True:
            skipped = 0
            for text in _connection(loop, cluster.tail(job), patience.look_s):
                fresh = text[max(0, seen - skipped) :]
                skipped += len(text)
                if fresh:
                    seen += len(fresh)
                    silence.end()
                    *lines, rest = (rest + fresh).split("\n")
                    yield from lines
                elif not text:
                    yield from silence.look()
                    if silence.is_over:
                        break
            yield from silence.look()
            if silence.is_over:
                break
            time.sleep(patience.retry_s)
    if rest:
        yield rest


def _connection(loop: asyncio.AbstractEventLoop, texts: AsyncIterator[str], look_s: float) -> Iterator[str]:
    """What comes, and an empty text whenever nothing came for some time; ends when the connection does."""

    async def receive() -> str | None:
        return await anext(texts, None)

    pending: asyncio.Task[str | None] | None = None
    try:
        while True:
            pending = pending or loop.create_task(receive())
            done, _ = loop.run_until_complete(asyncio.wait({pending}, timeout=look_s))
            if not done:
                yield ""
                continue
            text, pending = pending.result(), None
            if text is None:
                return
            yield text
    except ClusterError:
        return
    finally:
        if pending is not None:
            pending.cancel()
            with suppress(asyncio.CancelledError, ClusterError, StopAsyncIteration):
                loop.run_until_complete(pending)


@final
class _Silence:
    """Watches over a job of which nothing is heard."""

    def __init__(self, cluster: Cluster, job: str, patience: Patience) -> None:
        self._cluster = cluster
        self._job = job
        self._patience = patience
        self._answered_at = time.monotonic()
        self._is_answering = True
        self.is_over = False
        self.end()

    def end(self) -> None:
        """Something was heard."""
        self._since = self._answered_at = time.monotonic()
        self._is_answering = True
        self._tell_after_s = self._patience.silent_s

    def look(self) -> Iterator[Notice]:
        """Asks for the job's status, and tells what is worth knowing of it.

        Raises:
            ClusterError: the cluster has not answered for long.
        """
        try:
            job = self._cluster.read(self._job)
        except ClusterError as error:
            yield from self._unanswered(error)
            return
        self._answered_at, self._is_answering = time.monotonic(), True
        self.is_over = job.is_over
        silent_s = time.monotonic() - self._since
        if not job.is_over and silent_s >= self._tell_after_s:
            self._tell_after_s *= 2
            yield Notice(_silent(job, silent_s))

    def _unanswered(self, error: ClusterError) -> Iterator[Notice]:
        if time.monotonic() - self._answered_at >= self._patience.give_up_s:
            back = f"lstm-tune attach {self._job}"
            raise ClusterError(f"{error}. The job may go on; come back with: {back}") from None
        if self._is_answering:
            self._is_answering = False
            yield Notice(f"{error}; trying again for {self._patience.give_up_s:.0f} s")


def _silent(job: Job, silent_s: float) -> str:
    said = f"nothing was heard of the job for {silent_s / 60:.0f} minutes"
    if job.status == "PENDING":
        return f"{said}; it waits to begin: {job.message or 'Ray does not say why'}"
    return (
        f"{said}, though Ray calls it {job.status}: its node may be lost. If it is: lstm-tune submit --resume {job.id}"
    )
