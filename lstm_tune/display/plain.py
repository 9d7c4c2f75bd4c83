"""What happens in a run as plain sentences, for pipes and logs."""

from lstm_tune.display import formats, progress
from lstm_tune.display.board import Board, Trial
from lstm_tune.display.text import clean
from lstm_tune.spec.events import (
    BaselineScored,
    BundleWritten,
    Event,
    FinalistsReported,
    NestedReported,
    RefitReported,
    ReportWritten,
    ResourcesChosen,
    RunEnded,
    RunStarted,
    SearchEnded,
    TestScored,
    TrialEnded,
    TrialReported,
    TrialStarted,
    VerdictReached,
    Warned,
    WinnerChosen,
)


def sentence(event: Event, board: Board) -> str | None:
    """One line about an event, or None for an event too frequent for a line of its own.

    Args:
        event: the last one the board has folded.
        board: the state of the run after it.
    """
    text = _sentence(event, board)
    return clean(text) if text else None


def progress_sentence(board: Board, now_s: float) -> str:
    """One line about how far the search is."""
    assert board.header is not None, "a run without a header has no budget"
    counts = {**board.counts, "running": len(board.running)}
    known = ", ".join(f"{number} {state}" for state, number in counts.items() if number)
    parts = [f"{board.finished} of {board.header.trials} trials" + (f" ({known})" if known else "")]
    if board.best is not None:
        parts.append(f"best {_score(board, board.best.score)} (trial {board.best.number})")
    if (remaining := progress.remaining_s(board, now_s)) is not None:
        parts.append(f"about {formats.duration(remaining)} left")
    return ", ".join(parts)


def best_sentence(trial: Trial, board: Board) -> str:
    """One line about the best trial so far."""
    assert trial.end is not None, "the best trial has ended"
    assert board.header is not None, "a run without a header has no trials"
    score = f"{board.header.metric} {_score(board, trial.score, trial.end.standard_error)}"
    values = [(name, trial.hyperparameters.get(name)) for name in board.header.searched]
    shown = " ".join(f"{name}={formats.hyperparameter(value)}" for name, value in values if value is not None)
    gap = f", gap {formats.percent(trial.end.gap)}" if formats.finite(trial.end.gap) is not None else ""
    return clean(f"new best: trial {trial.number}, {score}{gap}" + (f"; {shown}" if shown else ""))


def _score(board: Board, value: float | None, error: float | None = None) -> str:
    best = board.best
    return formats.score_and_error(value, error, formats.decimals([best.score if best else value]))


def _sentence(event: Event, board: Board) -> str | None:
    match event:
        case RunStarted():
            verb = "resumed" if event.resumed else "started"
            size = f"{event.series} series, {event.rows} rows"
            return f"{verb} {event.name}: {event.direction} {event.metric} in {event.trials} trials; {size}"
        case ResourcesChosen():
            return f"resources: {event.words}"
        case BaselineScored():
            return f"baseline {event.name}: {_score(board, event.score, event.standard_error)}"
        case TrialEnded():
            return f"trial {event.trial} failed: {event.reason}" if event.state == "failed" else None
        case NestedReported():
            return f"nested: {progress.nested_words(event)}"
        case Warned():
            return f"warning: {event.message}"
        case TrialStarted() | TrialReported() | FinalistsReported() | RefitReported():
            return None
        case SearchEnded() | WinnerChosen() | TestScored() | VerdictReached() | BundleWritten():
            return _result(event, board)
        case ReportWritten() | RunEnded():
            return _result(event, board)


_Result = SearchEnded | WinnerChosen | TestScored | VerdictReached | BundleWritten | ReportWritten | RunEnded


def _result(event: _Result, board: Board) -> str:
    match event:
        case SearchEnded():
            nodes = progress.node_words(board)
            return f"search ended: {event.reason}" + (f"; {nodes}" if nodes else "")
        case WinnerChosen():
            return f"winner: {event.name}, {_score(board, event.score)}: {event.reason}"
        case TestScored():
            others = "".join(f"; {name} {_score(board, score)}" for name, score in event.baselines.items())
            return f"test: {event.metric} {_score(board, event.score)} on the last {event.steps} steps{others}"
        case VerdictReached():
            return f"verdict: {' '.join(event.sentences)}"
        case BundleWritten():
            return f"model: {event.path}"
        case ReportWritten():
            return f"report: {event.path}"
        case RunEnded():
            return f"{event.state}: {event.message}"
