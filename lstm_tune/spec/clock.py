"""The time that a run's search took, which its time limit is about."""

from collections.abc import Iterable
from dataclasses import dataclass

from lstm_tune.spec.events import RunStarted, SearchEnded, Stamped, TrialEnded, TrialReported, TrialStarted


@dataclass
class SearchClock:
    """Adds up the search's seconds from a run's events, without what came after it in earlier processes.

    Each process counts from its `RunStarted` to the last word of its search, which a killed one never ended.
    """

    _before_s: float = 0.0
    _began_s: float = 0.0
    _last_s: float = 0.0

    def hear(self, stamped: Stamped) -> None:
        """Takes the next event."""
        match stamped.event:
            case RunStarted():
                self._before_s = self.total_s
                self._began_s = self._last_s = stamped.at_s
            case TrialStarted() | TrialReported() | TrialEnded() | SearchEnded():
                self._last_s = stamped.at_s
            case _:
                pass

    @property
    def total_s(self) -> float:
        """Until its last word."""
        return self.at(self._last_s)

    def at(self, now_s: float) -> float:
        """Until a moment, in seconds of the run, at which it still goes on."""
        return self._before_s + now_s - self._began_s


def searched_s(events: Iterable[Stamped]) -> float:
    """Seconds that the search of a run took, in however many processes."""
    clock = SearchClock()
    for stamped in events:
        clock.hear(stamped)
    return clock.total_s
