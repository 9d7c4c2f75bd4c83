from lstm_tune.spec.clock import SearchClock, searched_s
from lstm_tune.spec.events import RunEnded, RunStarted, SearchEnded, Stamped, TrialStarted

STARTED = RunStarted("tiny", "mae", "minimize", 4, None, 2, 4, ["units"], 1, 60, "2026-01-01T00:00:00+00:00")


def test_only_the_search_of_each_process_counts() -> None:
    whole = [Stamped(1.0, STARTED), Stamped(4.0, SearchEnded("interrupted", True)), Stamped(9.0, RunEnded("done", ""))]
    killed = [Stamped(20.0, STARTED), Stamped(22.0, TrialStarted(0, {}, 1)), Stamped(30.0, STARTED)]
    assert searched_s([]) == 0
    assert searched_s(whole) == 3
    assert searched_s([*whole, *killed]) == 3 + 2


def test_search_that_goes_on_counts_until_now() -> None:
    clock = SearchClock()
    for stamped in [Stamped(1.0, STARTED), Stamped(4.0, SearchEnded("", False)), Stamped(10.0, STARTED)]:
        clock.hear(stamped)
    assert clock.at(12.0) == 3 + 2
