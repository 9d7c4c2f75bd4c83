"""The two tables of the leaderboard: the ranking, and the trials that run.

In a narrow terminal columns leave in this order, the last of the list first: rank, trial and score (always there), the
generalisation gap, the curve, the parameters, the first four searched hyperparameters, the epochs, the further
hyperparameters, the state.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from rich.style import Style

from lstm_tune.display import formats
from lstm_tune.display.board import Board, Key, Trial
from lstm_tune.display.sparkline import sparkline
from lstm_tune.display.table import Cell, Column, table
from lstm_tune.display.text import ACCENT, BAD, BASELINE, BLANK, DIM, PLAIN, WARNING, Line, clean, fit, joined
from lstm_tune.spec.events import BaselineScored

# lines around the rows: a blank, header lines, and a last one that says how many more there are
RANKING_FRAME = 4
RUNNING_FRAME = 3

_OVERFITS = 0.5
_WIDEST_NAME = 24
_EARLY_HYPERPARAMETERS = 4


@dataclass(frozen=True)
class _Row:
    """One row of the ranking.

    Attributes:
        mark: its rank; `!` for a broken constraint, a dash for a pruned trial.
        entry: the trial or baseline.
        style: of the whole row.
        is_best: whether it leads, or is the winner once that is chosen.
    """

    mark: str
    entry: Trial | BaselineScored
    style: Style
    is_best: bool = False


def ranking_lines(board: Board, width: int, most: int) -> list[Line]:
    """A blank, the header, at most `most` rows (one at the least), and how many more there are; nothing without rows.

    Args:
        board: a run that has begun.
        width: cells a line.
        most: largest number of rows.
    """
    rows = _rows(board, max(1, most))
    if not rows:
        return []
    lines = [BLANK, *table(_columns(board, rows, width), [row.style for row in rows], width)]
    hidden = len(board.ranked) + len(board.violating) + len(board.pruned) - len(rows)
    notes = [(f"… and {hidden:,} more", DIM)] if hidden else []
    notes += [("! breaks a constraint", DIM)] if any(row.mark == "!" for row in rows) else []
    notes += [("- stopped early", DIM)] if any(row.mark == "-" for row in rows) else []
    return [*lines, joined(notes, width)] if notes else lines


def _rows(board: Board, most: int) -> list[_Row]:
    best = _best_key(board)
    rows = []
    for place in _places(board, most):
        key = board.ranked[place]
        entry = _entry(board, key)
        style = ACCENT if key == best else PLAIN if key[1] else BASELINE
        rows.append(_Row(str(place + 1), entry, style, is_best=key == best))
    rest = [("!", PLAIN, key) for key in islice(board.violating, most)]
    rest += [("-", DIM, key) for key in islice(board.pruned, most)]
    rows += [_Row(mark, _entry(board, key), style) for mark, style, key in rest[: most - len(rows)]]
    return rows


def _places(board: Board, most: int) -> list[int]:
    """Places in the ranking to show: the winner and the baselines, then from the top what there is room for."""
    keys = [board.key(item.score, is_trial=False, number=number) for number, item in enumerate(board.baselines)]
    pinned = [*_winner_keys(board), *sorted(keys)[: most // 2]]
    places = {bisect_left(board.ranked, key) for key in pinned}
    for place in range(len(board.ranked)):
        if len(places) >= most:
            break
        places.add(place)
    return sorted(places)


def _winner_keys(board: Board) -> list[Key]:
    trial = board.trials.get(board.winner.trial) if board.winner is not None else None
    if trial is None:
        return []
    key = board.key(trial.score, is_trial=True, number=trial.number)
    place = bisect_left(board.ranked, key)
    return [key] if board.ranked[place : place + 1] == [key] else []


def _best_key(board: Board) -> Key | None:
    """The row that is accented: the winner once it is chosen, else the first of the ranking."""
    keys = board.ranked[:1] if board.winner is None else _winner_keys(board)
    return keys[0] if keys and math.isfinite(keys[0][0]) else None


def _entry(board: Board, key: Key) -> Trial | BaselineScored:
    _, is_trial, number = key
    return board.trials[number] if is_trial else board.baselines[number]


def _columns(board: Board, rows: Sequence[_Row], width: int) -> list[Column]:
    rank_width = max(len(row.mark) for row in rows)
    ranks = [Cell(("▸" if row.is_best else " ") + row.mark.rjust(rank_width)) for row in rows]
    scores = _score_column([_score(row.entry) for row in rows], score_places(board))
    name_width = _name_width(width, 1 + rank_width + scores.width)
    names = [Cell(fit(_name(row.entry), name_width)) for row in rows]
    trials = [row.entry if isinstance(row.entry, Trial) else None for row in rows]
    return [
        Column("#", ranks, 0),
        Column("trial", names, 0, right=False),
        scores,
        Column("gap", [_gap_cell(trial) for trial in trials], 1),
        Column("epochs", [_epochs_cell(trial) for trial in trials], 5),
        Column("params", [Cell(formats.count(trial.parameters) if trial else "") for trial in trials], 3),
        *_hyperparameter_columns(board, trials),
        Column("curve", _curve_cells(trials, width), 2, right=False),
        Column("state", [_state_cell(row.entry) for row in rows], 7, right=False),
    ]


def _name_width(width: int, others: int) -> int:
    """Cells for names, so that a baseline's long one leaves room for its score."""
    return max(4, min(_WIDEST_NAME, width - others - 4))


def _name(entry: Trial | BaselineScored) -> str:
    return f"#{entry.number}" if isinstance(entry, Trial) else clean(entry.name)


def _score(entry: Trial | BaselineScored) -> tuple[float | None, float | None]:
    if isinstance(entry, BaselineScored):
        return entry.score, entry.standard_error
    if entry.end is not None:
        return entry.score, entry.end.standard_error
    return (entry.report.score, entry.report.standard_error) if entry.report is not None else (None, None)


def score_places(board: Board) -> int:
    """Digits after the point of every score on the board: four significant ones of the best."""
    keys = next((keys for keys in (board.ranked, board.violating, board.pruned) if keys), [])
    scores: list[float | None] = [key[0] for key in keys[:1]]
    scores = scores or [board.trials[number].score for number in board.running]
    return formats.decimals(scores)


def _score_column(scores: Sequence[tuple[float | None, float | None]], places: int) -> Column:
    """Scores with their standard errors, each aligned on its own; scores alone where no row has an error."""
    left = [formats.score(score, places) for score, _ in scores]
    right = ["" if formats.finite(error) is None else formats.score(error, places) for _, error in scores]
    left_width = max(len(text) for text in ("score", *left))
    right_width = max(len(text) for text in right)
    if not right_width:
        return Column("score", [Cell(text) for text in left], 0)
    signs = [" ± " if error else "   " for error in right]
    texts = [
        f"{score:>{left_width}}{sign}{error:>{right_width}}"
        for score, sign, error in zip(left, signs, right, strict=True)
    ]
    return Column(f"{'score':>{left_width}} ± SE", [Cell(text) for text in texts], 0, right=False)


def _gap_cell(trial: Trial | None) -> Cell:
    if trial is None or trial.end is None:
        return Cell("")
    overfits = (formats.finite(trial.end.gap) or 0.0) > _OVERFITS
    return Cell(formats.percent(trial.end.gap), WARNING if overfits else PLAIN)


def _epochs_cell(trial: Trial | None) -> Cell:
    return Cell("" if trial is None or trial.end is None else f"{trial.end.best_epoch}/{trial.end.epochs}")


def _hyperparameter_columns(board: Board, trials: Sequence[Trial | None]) -> list[Column]:
    assert board.header is not None, "a run without a header has no rows"
    columns = []
    for place, name in enumerate(board.header.searched):
        values = [formats.hyperparameter(trial.hyperparameters.get(name)) if trial else "" for trial in trials]
        cells = [Cell(fit(clean(value), 13)) for value in values]
        columns.append(Column(name.replace("_", "\n"), cells, 4 if place < _EARLY_HYPERPARAMETERS else 6))
    return columns


def _curve_cells(trials: Sequence[Trial | None], width: int) -> list[Cell]:
    length = 8 if width < 120 else 12 if width < 180 else 20
    return [Cell(sparkline(trial.curve.points, length) if trial else "") for trial in trials]


def _state_cell(entry: Trial | BaselineScored) -> Cell:
    if isinstance(entry, BaselineScored):
        return Cell("baseline")
    if entry.end is not None and entry.end.violations:
        return Cell(fit(clean(entry.end.violations[0]), 32), BAD)
    return Cell(entry.state)


def running_lines(board: Board, width: int, now_s: float, most: int) -> list[Line]:
    """A blank, a header, at most `most` trials that run, and how many more do; nothing where none runs.

    Args:
        board: a run that has begun.
        width: cells a line.
        now_s: the present, in the run's seconds.
        most: largest number of trials.
    """
    trials = [board.trials[number] for number in islice(board.running, max(0, most))]
    if not trials:
        return []
    reports = [trial.report for trial in trials]
    times = [
        report.seconds if report else now_s - trial.started_at_s for trial, report in zip(trials, reports, strict=True)
    ]
    columns = [
        Column("running", [Cell(f"#{trial.number}") for trial in trials], 0, right=False),
        Column("epoch", [_epoch_cell(board, trial) for trial in trials], 0),
        _score_column([(_score(trial)[0], None) for trial in trials], score_places(board)),
        Column("time", [Cell(formats.duration(time)) for time in times], 1),
        Column("node", [Cell(fit(clean(report.node), 24) if report else "") for report in reports], 2, right=False),
        Column("curve", _curve_cells(trials, width), 3, right=False),
    ]
    lines = [BLANK, *table(columns, [PLAIN] * len(trials), width)]
    hidden = len(board.running) - len(trials)
    return [*lines, ((f"… and {hidden:,} more running", DIM),)] if hidden else lines


def _epoch_cell(board: Board, trial: Trial) -> Cell:
    assert board.header is not None, "a run without a header has no trials"
    return Cell(f"{trial.report.epoch if trial.report else 0}/{board.header.max_epochs}")
