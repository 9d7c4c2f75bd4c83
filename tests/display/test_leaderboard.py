import io
import math
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from lstm_tune.display import progress
from lstm_tune.display.board import Board
from lstm_tune.display.leaderboard import render
from lstm_tune.spec import events
from lstm_tune.spec.events import (
    BaselineScored,
    BundleWritten,
    Event,
    NestedReported,
    RefitReported,
    ResourcesChosen,
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

SEARCHED = ["units", "depth", "dropout", "window", "recurrent_dropout", "learning_rate"]
START = RunStarted(
    "air-passengers", "mase", "minimize", 64, 600.0, 4, 200, SEARCHED, 1, 144, "2026-01-01T00:00:00+00:00"
)
BASELINES = [BaselineScored("seasonal naive", 0.912, 0.04), BaselineScored("ridge autoregression", 0.505, 0.02)]
RESULTS: list[Event] = [
    SearchEnded("the budget is used", False),
    WinnerChosen(5, 0.45, "the simplest within one standard error"),
    RefitReported(3, 3),
    events.TestScored("mase", 0.48, {"ridge autoregression": 0.51, "seasonal naive": 0.93}, 12, {}, 0.455, 0.5),
    BundleWritten("best"),
    RunEnded("done", "Use it: it is better than every baseline by more than chance explains."),
]


def trial(
    number: int, score: float | None, *, state: str = "complete", violations: tuple[str, ...] = ()
) -> list[Event]:
    values = {"units": 64, "depth": 2, "dropout": 0.3123, "window": 24, "learning_rate": 0.0031}
    reports = [TrialReported(number, epoch, 1 / epoch, 0.1, 0.3, 1 / epoch, epoch, 2.0, "node-1") for epoch in (5, 10)]
    end = TrialEnded(
        number, state, "out of memory", values, 12_345, score, 0.021, [], 0.3, 0.62, 64, 84, 9.0, list(violations)
    )  # type: ignore[arg-type]
    return [TrialStarted(number, values, 12_345), *reports, end]


def board_of(*events: Event) -> Board:
    board = Board()
    for at_s, event in enumerate(events):
        board.fold(Stamped(float(at_s), event))
    return board


def searching() -> Board:
    ended = [event for number in range(30) for event in trial(number, 0.4 + number / 50)]
    others = [
        *trial(30, 0.7, state="pruned"),
        *trial(31, None, state="failed"),
        *trial(32, 0.3, violations=("too large",)),
    ]
    return board_of(
        START, *BASELINES, *ended, *others, *trial(40, 0.5)[:3], TrialStarted(41, {}, 5), Warned("rough " * 30)
    )


def lines_of(board: Board, width: int = 100, height: int | None = None, *, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(file=stream, width=width, height=height or 100, color_system=None, legacy_windows=False)
    console.print(render(board, width=width, height=height, now_s=board.at_s))
    stream.seek(0)
    return stream.read().splitlines()


def row_of(lines: list[str], name: str) -> list[str]:
    return next(line.replace("▸", " ").split() for line in lines if f" {name} " in line)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200, 250])
@pytest.mark.parametrize("height", [None, 30])
def test_no_line_is_wider_than_the_terminal_and_scores_are_whole(width: int, height: int | None) -> None:
    lines = lines_of(searching(), width, height)
    assert max(cell_len(line) for line in lines) <= width
    assert any("#0 " in line and "0.4000 ± 0.0210" in line for line in lines)
    assert any("0.5050 ± 0.0200" in line for line in lines)


@pytest.mark.parametrize("height", range(1, 50, 6))
def test_drawing_is_never_taller_than_the_terminal(height: int) -> None:
    assert len(lines_of(searching(), 80, height)) <= height


def test_narrower_terminals_lose_columns_in_the_documented_order() -> None:
    headers = ["gap", "curve", "params", "units", "window", "epochs", "learning", "state"]
    texts = [" ".join(lines_of(searching(), width)[4:6]).split() for width in (40, 60, 70, 100, 120, 200)]
    shown = [[header for header in headers if header in text] for text in texts]
    assert all(columns == headers[: len(columns)] for columns in shown)
    assert [len(columns) for columns in shown] == sorted(len(columns) for columns in shown)
    assert (shown[0], shown[-1]) == ([], headers)


def test_row_shows_the_trial_in_short_numbers() -> None:
    row = row_of(lines_of(searching(), 200), "#0")
    assert row[:14] == [
        "1",
        "#0",
        "0.4000",
        "±",
        "0.0210",
        "+62%",
        "64/84",
        "12.3k",
        "64",
        "2",
        "0.312",
        "24",
        "-",
        "0.0031",
    ]
    assert row[14:] == ["█▁", "complete"]


@pytest.mark.parametrize(("direction", "first"), [("minimize", "#1"), ("maximize", "#0")])
def test_best_trial_comes_first_in_either_direction(direction: str, first: str) -> None:
    board = board_of(replace(START, direction=direction), *trial(0, 0.9), *trial(1, 0.8))
    lines = lines_of(board)
    assert next(line for line in lines if "▸" in line).split()[:2] == ["▸1", first]
    assert ("↑ higher is better" in lines[0]) == (direction == "maximize")


def test_baselines_share_the_ranking() -> None:
    lines = lines_of(searching())
    assert row_of(lines, "ridge")[0] == "7"
    assert row_of(lines, "#6")[0] == "8"


def test_baseline_far_below_is_shown_in_few_rows() -> None:
    assert any("seasonal naive" in line for line in lines_of(searching(), 80, 24))


def test_hidden_rows_are_counted() -> None:
    lines = lines_of(board_of(START, *[event for number in range(25) for event in trial(number, number + 1.0)]))
    assert "… and 15 more" in lines


def test_pruned_trials_fill_the_room_below_the_complete() -> None:
    lines = lines_of(board_of(START, *trial(0, 0.9), *trial(1, 0.1, state="pruned")))
    assert row_of(lines, "#0")[0] == "1"
    assert row_of(lines, "#1")[0] == "-"
    assert "- stopped early" in lines


def test_broken_constraint_is_marked_and_named() -> None:
    lines = lines_of(board_of(START, *trial(0, 0.9), *trial(1, 0.1, violations=("parameters 9k above 5k",))), 200)
    assert row_of(lines, "#1")[0] == "!"
    assert any("parameters 9k above 5k" in line for line in lines)
    assert any("1 breaks a constraint" in line for line in lines)


def test_running_trials_show_where_and_how_far_they_are() -> None:
    lines = lines_of(searching())
    assert next(line for line in lines if line.startswith("#40")).split() == [
        "#40",
        "10/200",
        "0.1000",
        "2s",
        "node-1",
        "█▁",
    ]
    assert next(line for line in lines if line.startswith("#41")).split()[:3] == ["#41", "0/200", "-"]


def test_counts_elapsed_and_remaining_time_are_shown() -> None:
    board = board_of(START, *[event for number in range(16) for event in trial(number, 0.5)])
    text = "\n".join(lines_of(board))
    # 16 trials took 63 s since the first began, so 48 more take three times as long
    assert "16/64 trials · 1m 04s · about 3m 09s left" in text
    assert "16 complete" in text


def test_members_of_an_ensemble_are_named() -> None:
    chosen = WinnerChosen(7, 0.4, "better together", {"7": 0.75, "3": 0.25})
    text = " ".join(" ".join(lines_of(board_of(START, *trial(7, 0.5), *trial(3, 0.6), chosen))).split())
    assert "winner an ensemble of trials 7 (75%) and 3 (25%), 0.4000: better together" in text


def test_time_limit_is_the_searchs_own_in_a_resumed_run() -> None:
    board = board_of(replace(START, time_limit_s=100.0), *trial(0, 0.5), SearchEnded("all trials ran", False))
    board.fold(Stamped(300.0, RunEnded("done", "")))
    board.fold(Stamped(500.0, replace(START, time_limit_s=100.0, resumed=True)))
    board.fold(Stamped(510.0, TrialStarted(1, {}, 1)))
    assert progress.fraction(board, 545.0) == pytest.approx(0.5)  # 5 s of the first process and 45 of this one
    assert progress.remaining_s(board, 545.0) == pytest.approx(50.0)


def test_time_limit_bounds_the_remaining_time() -> None:
    board = board_of(
        replace(START, time_limit_s=70.0), *[event for number in range(16) for event in trial(number, 0.5)]
    )
    assert "about 6s left" in "\n".join(lines_of(board))


@pytest.mark.parametrize("width", [40, 100])
def test_results_are_shown_in_full_at_the_end(width: int) -> None:
    ended = [event for number in range(20) for event in trial(number, 0.4 + number / 100)]
    lines = lines_of(board_of(START, *BASELINES, *ended, *RESULTS), width)
    text = " ".join(" ".join(lines).split())
    assert "winner #5, 0.4500: the simplest within one standard error" in text
    assert (
        "test mase 0.4800 (0.4550 to 0.5000) on the last 12 steps; ridge autoregression 0.5100; seasonal naive 0.9300"
        in text
    )
    assert "Use it: it is better than every baseline by more than chance explains." in text
    assert sum("#" in line and "±" in line for line in lines if "SE" not in line) == 10


def test_winner_takes_the_accent_and_a_row_even_far_below() -> None:
    ended = [event for number in range(20) for event in trial(number, 0.4 + number / 100)]
    lines = lines_of(board_of(START, *ended, WinnerChosen(18, 0.58, "simplest")))
    assert [line.split()[:2] for line in lines if "▸" in line] == [["▸19", "#18"]]


def test_missing_scores_are_dashes_and_stand_last() -> None:
    board = board_of(START, BaselineScored("broken", math.nan, None), *trial(0, 0.5), *trial(1, math.nan))
    lines = lines_of(board)
    assert row_of(lines, "#0")[0] == "1"
    assert any(line.split()[:3] == ["2", "broken", "-"] for line in lines)


def test_nan_reports_of_a_running_trial_are_drawn() -> None:
    report = TrialReported(0, 5, math.nan, None, math.nan, math.nan, 0, 1.0, "laptop")
    lines = lines_of(board_of(START, TrialStarted(0, {}, 5), report))
    assert next(line for line in lines if line.startswith("#0")).split()[:3] == ["#0", "5/200", "-"]


def test_only_the_last_warnings_are_shown() -> None:
    text = "\n".join(lines_of(board_of(START, *[Warned(f"number {place}") for place in range(5)])))
    assert "number 1" not in text
    assert "number 4" in text
    assert "… and 2 earlier" in text


def test_control_characters_cannot_reach_the_terminal() -> None:
    text = "\n".join(lines_of(board_of(replace(START, name="a\x1b[31mb"), Warned("line\nbreak\x07"))))
    assert "\x1b" not in text
    assert "\x07" not in text


def test_ascii_terminal_gets_ascii_of_the_same_width() -> None:
    board = searching()
    unicode, ascii_only = lines_of(board), lines_of(board, encoding="ascii")
    assert [len(line) for line in ascii_only] == [len(line) for line in unicode]
    assert any("> 1  #0" in line and "0.4000 / 0.0210" in line for line in ascii_only)


def test_wide_characters_keep_within_the_width() -> None:
    board = board_of(
        replace(START, name="需要予測" * 20), *trial(0, 0.5), BaselineScored("季節" * 20, 0.4, 0.1), Warned("警告" * 60)
    )
    assert max(cell_len(line) for line in lines_of(board, 40)) <= 40


@pytest.mark.parametrize("height", [None, 10])
def test_empty_board_waits(height: int | None) -> None:
    assert lines_of(Board(), 40, height) == ["waiting for the run to begin"]
    assert "0/64 trials" in "\n".join(lines_of(board_of(START), 40, height))


def test_narrow_terminal_keeps_the_remaining_time() -> None:
    board = board_of(START, *[event for number in range(16) for event in trial(number, 0.5)])
    assert any("about 3m 09s left" in line for line in lines_of(board, 40))


def test_winner_is_shown_in_the_lowest_terminal() -> None:
    ended = [event for number in range(20) for event in trial(number, 0.4 + number / 100)]
    lines = lines_of(board_of(START, *BASELINES, *ended, WinnerChosen(18, 0.58, "simplest")), 80, 9)
    assert any(line.startswith("▸") and "#18" in line for line in lines)


def test_nested_searches_are_counted_with_the_time_they_take() -> None:
    shown = lines_of(board_of(START, NestedReported(1, 3, 130.0)))
    assert "nested   1 of 3 outer folds, each with a search of its own; about 2m 10s left" in shown
    assert "nested   3 of 3 outer folds, each with a search of its own" in lines_of(
        board_of(START, NestedReported(3, 3, 0.0))
    )


def test_resources_are_shown_where_they_were_measured() -> None:
    kinds = [{"cpus": 1.0, "gpus": 0.25, "accelerator_type": None, "custom": {}, "trials": 8}]
    chosen = ResourcesChosen(kinds, [{"on": "GPU"}], "8 trials at once, each with 0.25 GPUs")
    assert "trials   8 trials at once, each with 0.25 GPUs" in lines_of(board_of(START, chosen))
    assert not any("with 0.25 GPUs" in line for line in lines_of(board_of(START, replace(chosen, measured=[]))))


def test_trials_are_counted_by_node_where_there_were_several() -> None:
    on_another = [replace(event, node="node-2") if isinstance(event, TrialReported) else event for event in trial(2, 1)]
    two = [START, *trial(0, 0.5), *trial(1, 0.6)]
    assert "nodes    node-1: 2 trials, node-2: 1 trial" in lines_of(board_of(*two, *on_another, RESULTS[0]))
    assert not any(line.startswith("nodes") for line in lines_of(board_of(*two, RESULTS[0])))
