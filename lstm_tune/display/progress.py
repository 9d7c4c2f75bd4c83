"""How far a run is and how long it may still take."""

from collections import Counter

from lstm_tune.display.board import Board
from lstm_tune.display.formats import duration
from lstm_tune.spec.events import NestedReported


def elapsed_s(board: Board, now_s: float) -> float:
    """Seconds the run has worked; it stands still once the run ended."""
    return board.at_s if board.end is not None else max(now_s, board.at_s)


def fraction(board: Board, now_s: float) -> float:
    """The part of the search that is done, 0 to 1: of the trials or of the time limit, whichever is further."""
    if board.search_end is not None or board.end is not None:
        return 1.0
    if board.header is None:
        return 0.0
    limit, searched = board.header.time_limit_s, board.clock.at(elapsed_s(board, now_s))
    return min(1.0, max(board.finished / max(1, board.header.trials), searched / limit if limit else 0.0))


def remaining_s(board: Board, now_s: float) -> float | None:
    """Seconds the search may still take, from the pace of the trials so far; never beyond the time limit.

    The search may end sooner, since it also stops when nothing improves.

    Returns:
        None before a trial has finished (without a time limit), and after the search.
    """
    if board.header is None or board.search_end is not None or board.end is not None:
        return None
    now = elapsed_s(board, now_s)
    estimates = [board.header.time_limit_s - board.clock.at(now)] if board.header.time_limit_s else []
    if board.finished and board.first_trial_at_s is not None:
        left = board.header.trials - board.finished
        estimates.append(left * (now - board.first_trial_at_s) / board.finished)
    return max(0.0, min(estimates)) if estimates else None


def nested_words(event: NestedReported) -> str:
    """How far the nested estimate is, and how long it may still take."""
    words = f"{event.done} of {event.total} outer folds, each with a search of its own"
    return f"{words}; about {duration(event.expected_s)} left" if event.done < event.total else words


def node_words(board: Board) -> str:
    """How many trials last reported from each node; empty where there was one node."""
    counts = Counter(trial.report.node for trial in board.trials.values() if trial.report is not None)
    if len(counts) < 2:
        return ""
    return ", ".join(f"{node}: {count:,} trial{'' if count == 1 else 's'}" for node, count in sorted(counts.items()))
