"""A picture of the folds on a time line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from rich.cells import cell_len
from rich.style import Style

from lstm_tune.display.text import BLANK, DIM, PLAIN, Drawing, Line, Span, clean, fit, flow, pad

Kind = Literal["train", "gap", "validation", "test", "unused"]

# in the order they are painted: the later ones are the shorter ones and must stay visible
_SYMBOLS: dict[Kind, tuple[str, Style]] = {
    "unused": ("∙", DIM),
    "train": ("━", Style(color="blue")),
    "gap": ("╌", Style(color="yellow")),
    "test": ("▒", Style(color="magenta")),
    "validation": ("█", Style(color="green")),
}
_LEGEND: tuple[Kind, ...] = ("train", "gap", "validation", "test", "unused")
_WIDEST_LABEL = 16
_LEAST_PICTURE = 16


@dataclass(frozen=True)
class FoldSegment:
    """Neighbouring steps with one use.

    Attributes:
        kind: what a fold does with them.
        start_step: the first, from 0.
        end_step: one after the last.
    """

    kind: Kind
    start_step: int
    end_step: int


@dataclass(frozen=True)
class FoldRow:
    """One fold.

    Attributes:
        label: its name, such as `fold 1`.
        segments: in any order; steps in none of them are blank.
        note: a short remark, such as the number of windows; left out in a narrow terminal.
    """

    label: str
    segments: Sequence[FoldSegment]
    note: str = ""


def render_folds(rows: Sequence[FoldRow], width: int, *, start: str = "", end: str = "") -> Drawing:
    """The folds of the longest series, one under the other on the same time line, with a legend.

    Every segment is at least one character wide unless a more important one lies there.

    Args:
        rows: one a fold, or one for the test part.
        width: cells a line.
        start: time of the first step, as text.
        end: time of the last step, as text.

    Returns:
        A rich renderable; an empty one without rows.
    """
    segments = [segment for row in rows for segment in row.segments if segment.end_step > segment.start_step]
    if not segments:
        return Drawing(())
    label_width = min(_WIDEST_LABEL, max(cell_len(clean(row.label)) for row in rows)) + 2
    note_width = max(cell_len(clean(row.note)) for row in rows) + 2
    if note_width <= 2 or width - label_width - note_width < _LEAST_PICTURE:
        note_width = 0
    length = max(1, width - label_width - note_width)
    first, last = min(item.start_step for item in segments), max(item.end_step for item in segments)
    lines = [_axis(start, end, label_width, length)] if start or end else []
    for row in rows:
        picture = _paint(row.segments, length, first, last)
        note: list[Span] = [("  " + clean(row.note), DIM)] if note_width else []
        lines.append(((pad(clean(row.label), label_width - 2, right=False) + "  ", PLAIN), *picture, *note))
    kinds = {segment.kind for segment in segments}
    legend = [(f"{_SYMBOLS[kind][0] * 2} {kind}", _SYMBOLS[kind][1]) for kind in _LEGEND if kind in kinds]
    return Drawing((*lines, BLANK, *flow(legend, width)))


def _axis(start: str, end: str, indent: int, length: int) -> Line:
    """The times of the first and last step above the ends of the picture."""
    left, right = clean(start), clean(end)
    if cell_len(left) + cell_len(right) + 2 > length:
        left, right = fit(left, length // 2 - 1), fit(right, length // 2 - 1)
    return ((" " * indent + left + " " * (length - cell_len(left) - cell_len(right)) + right, DIM),)


def _paint(segments: Sequence[FoldSegment], length: int, first: int, last: int) -> list[Span]:
    cells: list[Kind | None] = [None] * length
    scale = length / (last - first)
    for kind in _SYMBOLS:
        for segment in segments:
            if segment.kind == kind and segment.end_step > segment.start_step:
                begin, end = _columns(segment, length, first, scale)
                cells[begin:end] = [kind] * (end - begin)
    return [_SYMBOLS[cell] if cell else (" ", PLAIN) for cell in cells]


def _columns(segment: FoldSegment, length: int, first: int, scale: float) -> tuple[int, int]:
    """The cells of a segment, one at least; a short gap grows to the left, away from what it protects."""
    begin, end = (round((step - first) * scale) for step in (segment.start_step, segment.end_step))
    if begin == end and (segment.kind == "gap" or begin == length):
        begin = max(0, begin - 1)
    return begin, max(begin + 1, end)
