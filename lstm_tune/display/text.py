"""Styled lines that fit a width, and the drawing a console prints.

Lines are laid out here rather than by rich's tables: every width is known, so nothing wraps by surprise, and a
drawing costs well under a millisecond a screen.
"""

import textwrap
from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

Span = tuple[str, Style]
Line = tuple[Span, ...]

PLAIN = Style()
DIM = Style(dim=True)
STRONG = Style(bold=True)
ACCENT = Style(bold=True, color="green")
BASELINE = Style(italic=True, color="cyan")
WARNING = Style(color="yellow")
BAD = Style(color="red")

SEPARATOR = " · "
BLANK: Line = ()

# One character for one, so that a layout made for Unicode holds in ASCII.
_ASCII = str.maketrans("▁▂▃▄▅▆▇█▒━─∙╌·±↓↑▸…", "_.,-~=*#%=-.-|/v^>~")


@dataclass(frozen=True)
class Drawing:
    """Lines a rich console prints as they are.

    On a console that cannot print Unicode each symbol becomes one ASCII character, and other text a `?`.

    Attributes:
        lines: from top to bottom, each of styled spans.
    """

    lines: tuple[Line, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yields the spans and line ends; rich's protocol."""
        ascii_only = options.ascii_only or options.legacy_windows
        for line in self.lines:
            for text, style in line:
                yield Segment(to_ascii(text) if ascii_only else text, style)
            yield Segment.line()


def to_ascii(text: str) -> str:
    """The text with symbols replaced by ASCII ones of the same width and unknown characters by `?`."""
    return text.translate(_ASCII).encode("ascii", "replace").decode()


def clean(text: str) -> str:
    """The text on one line, without control characters."""
    return "".join(letter for letter in " ".join(text.split()) if letter.isprintable())


def fit(text: str, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool) -> str:
    """The text in exactly `width` cells; a wider one is cut.

    Args:
        text: the cell's content.
        width: cells to fill.
        right: whether the text goes to the right end.
    """
    free = width - cell_len(text)
    if free < 0:
        return pad(fit(text, width), width, right=right)
    return " " * free + text if right else text + " " * free


def paragraph(text: str, width: int, *, most: int | None = None) -> list[str]:
    """The text broken at spaces into lines of at most `width` cells.

    A word longer than a line, such as a path, is broken rather than cut, so that it stays whole.

    Args:
        text: any text; control characters and line ends are removed.
        width: cells a line.
        most: largest number of lines, the last ending in an ellipsis; None for all of them.
    """
    narrow = max(1, width // 2) if cell_len(text) > len(text) else width
    lines = textwrap.wrap(clean(text), max(1, narrow), break_on_hyphens=False)
    if most is None or len(lines) <= most:
        return lines
    return [*lines[: most - 1], fit(f"{lines[most - 1]} {lines[most]}", width)]


def labelled(label: str, text: str, width: int, *, style: Style, most: int | None = None) -> list[Line]:
    """A text beside a label, its further lines indented to the same column.

    Args:
        label: one word.
        text: what is said.
        width: cells a line.
        style: of the label.
        most: largest number of lines; None for all.
    """
    indent = max(9, cell_len(label) + 2)
    lines = paragraph(text, max(1, width - indent), most=most) or [""]
    heads = [pad(label, indent, right=False), *[" " * indent] * (len(lines) - 1)]
    return [((head, style), (line, PLAIN)) for head, line in zip(heads, lines, strict=True)]


def joined(parts: Iterable[Span], width: int, *, separator: str = SEPARATOR) -> Line:
    """The parts that fit in one line, in order; a part that does not fit is left out.

    Args:
        parts: the most important first; the first is cut where it alone is too wide.
        width: cells of the line.
        separator: between parts.
    """
    line: list[Span] = []
    used = 0
    for text, style in parts:
        if not line:
            line, used = [(fit(text, width), style)], min(width, cell_len(text))
        elif used + cell_len(separator) + cell_len(text) <= width:
            line += [(separator, DIM), (text, style)]
            used += cell_len(separator) + cell_len(text)
    return tuple(line)


def flow(parts: Iterable[Span], width: int) -> list[Line]:
    """The parts in as many lines as they need; a part alone wider than a line is cut.

    Args:
        parts: in order.
        width: cells a line.
    """
    lines: list[list[Span]] = []
    free = 0
    for text, style in parts:
        needed = cell_len(SEPARATOR) + cell_len(text)
        if lines and needed <= free:
            lines[-1] += [(SEPARATOR, DIM), (text, style)]
            free -= needed
        else:
            lines.append([(fit(text, width), style)])
            free = width - cell_len(text)
    return [tuple(line) for line in lines]


def bar(fraction: float, width: int, *, style: Style = ACCENT) -> Line:
    """A horizontal bar of `width` cells, filled from the left."""
    filled = round(min(1.0, max(0.0, fraction)) * width)
    return (("━" * filled, style), ("─" * (width - filled), DIM))
