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


def table(columns: Sequence[Column], row_styles: Sequence[Style], width: int) -> list[Line]:
    """Header lines, then one line a row.

    Columns are taken by priority, equal ones from the left, up to the first that does not fit.

    Args:
        columns: each with one cell a row.
        row_styles: one a row.
        width: cells a line.
    """
    shown = _fitting(columns, width)
    words = [column.header.splitlines() for column, _ in shown]
    height = max((len(header) for header in words), default=0)
    lines = []
    for level in range(height):
        texts = [header[level - height + len(header)] if level >= height - len(header) else "" for header in words]
        lines.append(_line(shown, [Cell(text) for text in texts], DIM))
    for place, style in enumerate(row_styles):
        lines.append(_line(shown, [column.cells[place] for column, _ in shown], style))
    return lines


def _fitting(columns: Sequence[Column], width: int) -> list[tuple[Column, int]]:
    """The columns that fit, in the order given, with their widths."""
    widths = [column.width for column in columns]
    taken: list[int] = []
    free = width + _SPACE
    for place in sorted(range(len(columns)), key=lambda place: (columns[place].priority, place)):
        free -= widths[place] + _SPACE
        if free < 0 and columns[place].priority > 0:
            break
        taken.append(place)
    return [(columns[place], widths[place]) for place in sorted(taken)]


def _line(columns: Sequence[tuple[Column, int]], cells: Sequence[Cell], style: Style) -> Line:
    spans: list[Span] = []
    for (column, width), cell in zip(columns, cells, strict=True):
        text = pad(cell.text, width, right=column.right) + " " * _SPACE
        cell_style = style if cell.style is PLAIN else style + cell.style
        if spans and spans[-1][1] is cell_style:
            # fewer spans are faster to print
            spans[-1] = (spans[-1][0] + text, cell_style)
        else:
            spans.append((text, cell_style))
    return _without_end(spans)


def _without_end(spans: list[Span]) -> Line:
    """The spans without spaces at the line's end."""
    while spans:
        text, style = spans.pop()
        if text.rstrip():
            return (*spans, (text.rstrip(), style))
    return ()
