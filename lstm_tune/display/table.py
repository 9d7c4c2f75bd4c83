"""A table that loses its least important columns rather than wrap."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.style import Style

from lstm_tune.display.text import DIM, PLAIN, Line, Span, pad

_SPACE = 2


@dataclass(frozen=True)
class Cell:
    """One entry.

    Attributes:
        text: what it shows.
        style: laid over the row's.
    """

    text: str
    style: Style = PLAIN


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        header: its name, of one or more lines.
        cells: one a row.
        priority: the smaller, the longer it stays in a narrow terminal; columns of priority 0 always stay.
        right: whether cells and header stand at the right end.
    """

    header: str
    cells: Sequence[Cell]
    priority: int
    right: bool = True

    @property
    def width(self) -> int:
        """Cells of its widest entry or header line."""
        return max(cell_len(text) for text in ("", *self.header.splitlines(), *(cell.text for cell in self.cells)))


def fitting(columns: Sequence[Column], width: int) -> list[Column]:
    """The columns that fit a width, in the order given.

    Columns are taken by priority, equal ones from the left, up to the first that does not fit.

    Args:
        columns: those of the table.
        width: cells a line.
    """
    taken: list[int] = []
    free = width + _SPACE
    for place in sorted(range(len(columns)), key=lambda place: (columns[place].priority, place)):
        free -= columns[place].width + _SPACE
        if free < 0 and columns[place].priority > 0:
            break
        taken.append(place)
    return [columns[place] for place in sorted(taken)]


def table(columns: Sequence[Column], row_styles: Sequence[Style], width: int) -> list[Line]:
    """Header lines, then one line a row; columns that do not fit are left out.

    Args:
        columns: each with one cell a row.
        row_styles: one a row.
        width: cells a line.
    """
    shown = fitting(columns, width)
    widths = [column.width for column in shown]
    words = [column.header.splitlines() for column in shown]
    height = max((len(header) for header in words), default=0)
    lines = []
    for level in range(height):
        texts = [header[level - height + len(header)] if level >= height - len(header) else "" for header in words]
        lines.append(_line(shown, widths, [Cell(text, DIM) for text in texts], PLAIN))
    for place, style in enumerate(row_styles):
        lines.append(_line(shown, widths, [column.cells[place] for column in shown], style))
    return lines


def _line(columns: Sequence[Column], widths: Sequence[int], cells: Sequence[Cell], style: Style) -> Line:
    spans: list[Span] = []
    for column, width, cell in zip(columns, widths, cells, strict=True):
        spans += [(pad(cell.text, width, right=column.right), style + cell.style), (" " * _SPACE, PLAIN)]
    return _without_end(spans)


def _without_end(spans: list[Span]) -> Line:
    """The spans without spaces at the line's end."""
    while spans:
        text, style = spans.pop()
        if text.rstrip():
            return (*spans, (text.rstrip(), style))
    return ()
