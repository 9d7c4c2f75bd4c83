from dataclasses import replace

import pytest

from lstm_tune.display.board import Board, Curve
from lstm_tune.spec.events import (
    BaselineScored,
    Event,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TrialEnded,
    TrialReported,
    TrialStarted,
    Warned,
    WinnerChosen,
)

START = RunStarted("toy", "mase", "minimize", 8, None, 2, 50, ["units"], 1, 144, "2026-01-01T00:00:00+00:00")


def fold(*events: Event) -> Board:
    board = Board()
    for at_s, event in enumerate(events):
        board.fold(Stamped(float(at_s), event))
    return board


def reported(trial: int, epoch: int, score: float) -> TrialReported:
    return TrialReported(trial, epoch, score, None, score, score, epoch, float(epoch), "laptop")


def ended(trial: int, score: float | None, *, state: str = "complete", violations: tuple[str, ...] = ()) -> TrialEnded:
    return TrialEnded(trial, state, "", {"units": 8}, 100, score, 0.1, [], 0.5, 0.2, 5, 9, 3.0, list(violations))  # type: ignore[arg-type]


def ranked_numbers(board: Board) -> list[int]:
    return [number for _, is_trial, number in board.ranked if is_trial]


def test_trial_is_running_from_its_start_to_its_end() -> None:
    board = fold(START, TrialStarted(3, {"units": 8}, 100))
    assert list(board.running) == [3]
    board.fold(Stamped(9.0, ended(3, 0.5)))
    assert (list(board.running), board.trials[3].state, board.finished) == ([], "complete", 1)


@pytest.mark.parametrize(("direction", "order"), [("minimize", [1, 0, 2]), ("maximize", [2, 0, 1])])
def test_complete_trials_are_ranked_in_the_direction_of_the_metric(direction: str, order: list[int]) -> None:
    board = fold(replace(START, direction=direction), ended(0, 0.5), ended(1, 0.4), ended(2, 0.6))
    assert ranked_numbers(board) == order
    assert board.best is not None
    assert board.best.number == order[0]


def test_baseline_stands_before_a_trial_with_the_same_score() -> None:
    board = fold(START, ended(0, 0.5), BaselineScored("last value", 0.5, None))
    assert [is_trial for _, is_trial, _ in board.ranked] == [0, 1]


def test_pruned_violating_and_scoreless_trials_are_not_ranked_with_the_complete() -> None:
    board = fold(
        START,
        ended(0, 0.1, state="pruned"),
        ended(1, 0.2, violations=("parameters: 9 above 5",)),
        ended(2, float("nan")),
        ended(3, None, state="failed"),
        ended(4, 0.9),
    )
    assert ranked_numbers(board) == [4]
    assert [key[2] for key in board.pruned] == [0]
    assert [key[2] for key in board.violating] == [1]
    assert board.counts == {"complete": 3, "pruned": 1, "failed": 1}


def test_failure_is_remembered_with_its_reason() -> None:
    board = fold(START, replace(ended(0, None, state="failed"), reason="out of memory"), ended(1, 0.5))
    assert board.last_failure is not None
    assert board.last_failure.reason == "out of memory"


def test_resumption_interrupts_running_trials_and_reopens_the_run() -> None:
    board = fold(
        START,
        TrialStarted(0, {}, 1),
        SearchEnded("stopped", True),
        WinnerChosen(0, 0.5, "best"),
        RunEnded("interrupted", "resume it"),
        replace(START, resumed=True),
    )
    assert (list(board.running), board.trials[0].state) == ([], "interrupted")
    assert (board.end, board.search_end, board.winner) == (None, None, None)


def test_crashed_run_has_no_running_trials_after_its_resumption() -> None:
    board = fold(START, TrialStarted(0, {}, 1), reported(0, 3, 0.9), replace(START, resumed=True))
    assert list(board.running) == []


def test_resumed_trial_that_goes_on_keeps_its_curve() -> None:
    resumed = replace(START, resumed=True)
    start = TrialStarted(0, {}, 1)
    board = fold(START, start, reported(0, 5, 0.9), resumed, start, reported(0, 10, 0.8))
    assert board.trials[0].curve.points == (0.9, 0.8)
    assert list(board.running) == [0]


def test_resumed_trial_that_starts_again_gets_a_new_curve() -> None:
    resumed = replace(START, resumed=True)
    start = TrialStarted(0, {}, 1)
    board = fold(START, start, reported(0, 5, 0.9), resumed, start, reported(0, 5, 0.7))
    assert board.trials[0].curve.points == (0.7,)


def test_trial_that_ends_twice_counts_once() -> None:
    board = fold(START, ended(0, 0.5), TrialStarted(0, {}, 1), ended(0, 0.4))
    assert (board.finished, ranked_numbers(board)) == (1, [0])
    assert board.ranked == [(0.4, 1, 0)]


def test_baseline_scored_again_replaces_its_row() -> None:
    board = fold(START, BaselineScored("ridge", 0.5, None), BaselineScored("ridge", 0.6, None))
    assert board.ranked == [(0.6, 0, 0)]
    assert [baseline.score for baseline in board.baselines] == [0.6]


def test_late_report_does_not_wake_an_ended_trial() -> None:
    board = fold(START, TrialStarted(0, {}, 1), ended(0, 0.5), reported(0, 9, 0.4))
    assert (list(board.running), board.trials[0].state) == ([], "complete")


def test_warnings_are_kept_in_order() -> None:
    assert fold(START, Warned("first"), Warned("second")).warnings == ["first", "second"]


def test_curve_stays_bounded_and_covers_all_reports() -> None:
    curve = Curve()
    for epoch in range(1000):
        curve = curve.after(float(epoch))
    assert len(curve.points) <= 64
    assert curve.points[0] == 0.0
    assert curve.points[-1] is not None
    assert curve.points[-1] > 950
    steps = {later - earlier for earlier, later in zip(curve.points, curve.points[1:], strict=False)}  # type: ignore[operator]
    assert steps == {float(curve.stride)}
