"""When the search ends before its trials are used up."""

import math
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

from lstm_tune.spec.clock import searched_s
from lstm_tune.spec.events import Stamped, TrialEnded
from lstm_tune.spec.experiment import SearchSpec

FAILURES_AT_START = 8
"""When the first trials all fail the experiment is broken, and more trials would only fail too."""

REAL_IMPROVEMENT = 0.1
"""Standard errors by which a new best must be better to count as an improvement and not as luck."""


class StopRule:
    """Decides that no further trial should start, and remembers why.

    Args:
        time_limit_s: seconds from now, or None.
        stop_when_stale: trials without a real improvement, or None.

    Attributes:
        interrupted: whether the user wants to stop.
        failure: what makes it impossible to go on, or None.
    """

    def __init__(self, *, time_limit_s: float | None, stop_when_stale: int | None) -> None:
        self._deadline = None if time_limit_s is None else time.monotonic() + time_limit_s
        self._stale_limit = stop_when_stale
        self._stale = 0
        self._best: float | None = None
        self._ended = 0
        self._failed = 0
        self.interrupted = False
        self.failure: Exception | None = None

    @classmethod
    def going_on(cls, search: SearchSpec, history: Sequence[Stamped]) -> "StopRule":
        """The rule of a run that began in earlier processes, for what they left of its budgets.

        Their failures may have had causes that are gone, and do not count.
        """
        limit_s = search.time_limit
        left_s = None if limit_s is None else limit_s - searched_s(history)
        rule = cls(time_limit_s=left_s, stop_when_stale=search.stop_when_stale)
        for stamped in history:
            if isinstance(stamped.event, TrialEnded) and stamped.event.state != "failed":
                rule.saw(stamped.event)
        return rule

    @property
    def left_s(self) -> float:
        """Seconds until the time limit; infinite without one."""
        return math.inf if self._deadline is None else self._deadline - time.monotonic()

    @property
    def is_out_of_time(self) -> bool:
        """Whether the time limit is reached."""
        return self.left_s <= 0

    @property
    def is_stale(self) -> bool:
        """Whether there was no real improvement for too many trials."""
        return self._stale_limit is not None and self._stale >= self._stale_limit

    @property
    def reason(self) -> str | None:
        """Why the search should end now, or None."""
        if self.failure:
            return "what happens cannot be written down"
        if self.interrupted:
            return "interrupted"
        if self.is_out_of_time:
            return "the time limit is reached"
        if self.is_stale:
            return f"no real improvement in {self._stale} trials"
        if self._failed == self._ended >= FAILURES_AT_START:
            return f"the first {self._failed} trials all failed"
        return None

    @property
    def leaves_trials(self) -> bool:
        """Whether trials under way are left as they are, for a resumed run to go on with."""
        return self.interrupted or self.failure is not None

    @property
    def cut_off(self) -> str:
        """Why a trial ends that is under way when the search does."""
        return f"cut off: {self.reason or 'the search ended'}"

    def saw(self, end: TrialEnded) -> None:
        """Takes the end of a trial into account."""
        self._ended += 1
        self._failed += end.state == "failed"
        self._stale += 1
        if end.state == "complete" and end.score is not None and not end.violations:
            margin = REAL_IMPROVEMENT * (end.standard_error or 0.0)
            if self._best is None or end.score < self._best - margin:
                self._stale = 0
                self._best = end.score

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Treats the first SIGINT or SIGTERM as a wish to stop; a second one ends the process at once."""

        def handle(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            for one in previous:
                signal.signal(one, signal.SIG_DFL)

        if threading.current_thread() is not threading.main_thread():  # whoever is there handles signals
            yield
            return
        previous = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in previous.items():
                signal.signal(one, handler)


@contextmanager
def interruptible() -> Iterator[None]:
    """Makes SIGTERM an interruption as Ctrl-C is: what runs within ends with `KeyboardInterrupt`."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
