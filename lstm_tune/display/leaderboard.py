"""The leaderboard: what a run has found so far, on one screen."""

from rich.cells import cell_len
from rich.style import Style

from lstm_tune.display import formats, progress
from lstm_tune.display.board import Board
from lstm_tune.display.ranking import RANKING_FRAME, RUNNING_FRAME, ranking_lines, running_lines, score_places
from lstm_tune.display.text import (
    ACCENT,
    BAD,
    BLANK,
    DIM,
    PLAIN,
    STRONG,
    WARNING,
    Drawing,
    Line,
    Span,
    bar,
    clean,
    fit,
    flow,
    joined,
    labelled,
)
from lstm_tune.spec.events import TestScored, WinnerChosen

_TOP = 10
_MOST_RUNNING = 10
_MOST_WARNINGS = 3
_MOST_NOTE_LINES = 2
_LEAST_BAR = 10
_MOST_BAR = 40
_FEWEST_RANKING_LINES = 7
_END_STYLES = {"done": ACCENT, "failed": BAD, "interrupted": WARNING}


def render(board: Board, *, width: int, height: int | None, now_s: float) -> Drawing:
    """The run as one drawing.

    Complete trials and baselines are ranked together; trials that break a constraint follow, then pruned ones, where
    there is room. Baselines and the winner are shown even if better rows have to leave for them.

    Args:
        board: the state of the run.
        width: cells a line; no line is wider. 40 or more.
        height: largest number of lines; None for the top 10 trials and whatever else there is to say.
        now_s: the present, in the run's seconds.

    Returns:
        A rich renderable.
    """
    head = _head(board, width, now_s)
    if board.header is None:
        return Drawing(tuple(head))
    tail = _tail(board, width, most=None if height is None else _MOST_NOTE_LINES)
    if height is None:
        ranking = ranking_lines(board, width, _TOP + len(board.baselines))
        return Drawing((*head, *ranking, *running_lines(board, width, now_s, _MOST_RUNNING), *tail))
    # the ranking keeps about half of what the head leaves; what runs and what is known share the rest
    room = max(0, height - len(head))
    tail = tail[: max(0, room - _FEWEST_RANKING_LINES)]
    running_room = min(room - len(tail) - _FEWEST_RANKING_LINES, room // 2)
    running = running_lines(board, width, now_s, running_room - RUNNING_FRAME)
    ranking = ranking_lines(board, width, room - len(tail) - len(running) - RANKING_FRAME)
    return Drawing((*head, *ranking, *running, *tail)[:height])


def _head(board: Board, width: int, now_s: float) -> list[Line]:
    header = board.header
    if header is None:
        return [((fit("waiting for the run to begin", width), DIM),)]
    arrow = "↑ higher is better" if board.maximizes else "↓ lower is better"
    title = [
        (clean(header.name), STRONG),
        (f"{header.metric} {arrow}", PLAIN),
        (f"{header.series:,} series", DIM),
        (f"{header.rows:,} rows", DIM),
        (f"{header.slots} at once", DIM),
    ]
    return [joined(title, width), *_progress(board, width, now_s)]


def _progress(board: Board, width: int, now_s: float) -> list[Line]:
    """The bar, the times beside it or else below, and how many trials are in which state."""
    assert board.header is not None, "a run without a header has no budget"
    parts = [(f"{board.finished}/{board.header.trials} trials", PLAIN)]
    parts.append((formats.duration(progress.elapsed_s(board, now_s)), DIM))
    if (remaining := progress.remaining_s(board, now_s)) is not None:
        parts.append((f"about {formats.duration(remaining)} left", DIM))
    text = joined(parts, width - _LEAST_BAR - 2)
    length = min(_MOST_BAR, width - 2 - sum(cell_len(part) for part, _ in text))
    first = (*bar(progress.fraction(board, now_s), length), ("  ", PLAIN), *text)
    return [first, *flow([*(part for part in parts if part not in text), *_counts(board)], width)]


def _counts(board: Board) -> list[Span]:
    violating = len(board.violating)
    counts = [
        (board.counts["complete"], f"{board.counts['complete']} complete", PLAIN),
        (len(board.running), f"{len(board.running)} running", PLAIN),
        (board.counts["pruned"], f"{board.counts['pruned']} pruned", DIM),
        (board.counts["failed"], f"{board.counts['failed']} failed", BAD),
        (violating, f"{violating} {'breaks' if violating == 1 else 'break'} a constraint", WARNING),
    ]
    return [(text, style) for number, text, style in counts if number]


def _tail(board: Board, width: int, most: int | None) -> list[Line]:
    """A blank, then what is known beside the ranking, each in at most `most` lines."""
    notes = [*_resources(board), *_results(board), *_troubles(board)]
    if board.end is not None:
        notes.append((board.end.state, board.end.message, _END_STYLES[board.end.state]))
    lines = [line for label, text, style in notes for line in labelled(label, text, width, style=style, most=most)]
    return [BLANK, *lines] if lines else []


def _resources(board: Board) -> list[tuple[str, str, Style]]:
    """What trials occupy, where that was not said beforehand."""
    chosen = board.resources
    return [("trials", chosen.words, DIM)] if chosen is not None and chosen.measured else []


def _results(board: Board) -> list[tuple[str, str, Style]]:
    notes = []
    if board.search_end is not None:
        notes.append(("search", board.search_end.reason, DIM))
        notes += [("nodes", nodes, DIM)] if (nodes := progress.node_words(board)) else []
    if board.nested is not None:
        notes.append(("nested", progress.nested_words(board.nested), DIM))
    if board.finalists is not None:
        repeated = f"{board.finalists.done} of {board.finalists.total} finalists with fresh seeds"
        notes.append(("repeats", repeated, DIM))
    if board.winner is not None:
        score = formats.score(board.winner.score, score_places(board))
        notes.append(("winner", f"{_chosen(board.winner)}, {score}: {board.winner.reason}", ACCENT))
    if board.refit is not None:
        notes.append(("refit", f"{board.refit.done} of {board.refit.total} networks trained", DIM))
    if board.test is not None:
        notes.append(("test", _test(board, board.test), ACCENT))
    if board.verdict is not None:
        advice, *reasons = board.verdict.sentences
        notes += [("verdict", advice, ACCENT), *(("", reason, PLAIN) for reason in reasons)]
    if board.bundle is not None:
        notes.append(("model", board.bundle, ACCENT))
    if board.report_page is not None:
        notes.append(("report", board.report_page, ACCENT))
    return notes


def _chosen(winner: WinnerChosen) -> str:
    return winner.name if winner.members else f"#{winner.trial}"


def _test(board: Board, test: TestScored) -> str:
    places = score_places(board)
    steps = "the last step" if test.steps == 1 else f"the last {test.steps:,} steps"
    order = sorted(test.baselines, key=lambda name: board.key(test.baselines[name], is_trial=False, number=0))
    others = [f"{name} {formats.score(test.baselines[name], places)}" for name in order]
    ends = (test.low, test.high)
    between = " to ".join(formats.score(end, places) for end in ends if end is not None)
    score = f"{test.metric} {formats.score(test.score, places)}{f' ({between})' if between else ''}"
    return "; ".join([f"{score} on {steps}", *others])


def _troubles(board: Board) -> list[tuple[str, str, Style]]:
    notes = []
    if board.last_failure is not None:
        notes.append(("failed", f"#{board.last_failure.trial}: {board.last_failure.reason}", BAD))
    notes += [("warning", message, WARNING) for message in board.warnings[-_MOST_WARNINGS:]]
    earlier = len(board.warnings) - _MOST_WARNINGS
    return [*notes, ("", f"… and {earlier:,} earlier", DIM)] if earlier > 0 else notes
