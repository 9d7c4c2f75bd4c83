import os
import signal

import pytest
from search_setup import STARTED, ended

from lstm_tune.search.stopping import FAILURES_AT_START, StopRule, interruptible
from lstm_tune.spec.events import RunEnded, Stamped, TrialEnded
from lstm_tune.spec.experiment import SearchSpec


def rule(*, time_limit_s: float | None = None, stop_when_stale: int | None = None) -> StopRule:
    return StopRule(time_limit_s=time_limit_s, stop_when_stale=stop_when_stale)


def after(stop: StopRule, *ends: TrialEnded) -> str | None:
    for end in ends:
        stop.saw(end)
    return stop.reason


def test_no_limit_never_stops() -> None:
    assert after(rule(), *[ended(trial) for trial in range(50)]) is None


def test_time_limit_stops() -> None:
    assert rule(time_limit_s=100).reason is None
    assert rule(time_limit_s=0).reason == "the time limit is reached"


def test_trials_without_improvement_stop() -> None:
    scores = [1.0, 1.1, 1.2, 1.3]
    stop = rule(stop_when_stale=3)
    assert after(stop, *[ended(trial, score=score) for trial, score in enumerate(scores)]) == (
        "no real improvement in 3 trials"
    )


def test_improvement_within_the_noise_does_not_count() -> None:
    ends = [ended(trial, score=score, standard_error=1.0) for trial, score in enumerate([1.0, 0.95, 0.95])]
    assert after(rule(stop_when_stale=2), *ends) is not None


def test_small_improvements_count_once_they_add_up() -> None:
    ends = [ended(trial, score=1.0 - 0.06 * trial, standard_error=1.0) for trial in range(9)]
    assert after(rule(stop_when_stale=2), *ends) is None


def test_real_improvement_starts_the_count_again() -> None:
    ends = [ended(trial, score=score) for trial, score in enumerate([1.0, 1.1, 0.5, 0.6])]
    assert after(rule(stop_when_stale=2), *ends) is None


@pytest.mark.parametrize(
    "end", [ended(1, "pruned", 0.1), ended(1, "failed", None), ended(1, score=0.1, violations=["gap"])]
)
def test_only_a_complete_trial_that_keeps_the_constraints_improves(end: TrialEnded) -> None:
    assert after(rule(stop_when_stale=1), ended(0), end) is not None


def test_failures_at_the_start_stop() -> None:
    ends = [ended(trial, "failed", None) for trial in range(FAILURES_AT_START)]
    assert after(rule(), *ends) == "the first 8 trials all failed"
    assert after(rule(), ended(99), *ends) is None


def test_earlier_failures_do_not_stop_a_resumed_search() -> None:
    failed = [Stamped(1.0, ended(trial, "failed", None)) for trial in range(20)]
    search = SearchSpec(stop_when_stale=2)
    assert StopRule.going_on(search, failed).reason is None
    others = [Stamped(2.0, ended(trial)) for trial in range(20, 23)]
    assert StopRule.going_on(search, [*failed, *others]).reason == "no real improvement in 2 trials"


def test_time_limit_of_a_resumed_search_is_what_earlier_searches_left_of_it() -> None:
    history = [Stamped(5.0, STARTED), Stamped(14.0, ended(0)), Stamped(500.0, RunEnded("done", ""))]
    assert not StopRule.going_on(SearchSpec(time_limit=10), history).reason
    assert StopRule.going_on(SearchSpec(time_limit=9), history).is_out_of_time


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_first_signal_is_a_wish_to_stop(number: int) -> None:
    before = signal.getsignal(number)
    stop = rule()
    with stop.listening():
        os.kill(os.getpid(), number)
        assert stop.interrupted
        assert stop.reason == "interrupted"
        assert signal.getsignal(number) is signal.SIG_DFL
    assert signal.getsignal(number) is before


def test_sigterm_interrupts_like_ctrl_c() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
