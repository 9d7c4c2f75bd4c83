"""Facts and warnings as a small table."""

from collections.abc import Mapping, Sequence

from rich.cells import cell_len

from lstm_tune.display.text import BLANK, DIM, PLAIN, WARNING, Drawing, Line, clean, fit, labelled, pad, paragraph

_LEAST_VALUE = 16


def render_facts(facts: Mapping[str, str], warnings: Sequence[str] = (), *, width: int) -> Drawing:
    """Names and values in two columns, then the warnings; long texts go on in the next line.

    Args:
        facts: name to value, in the order to show.
        warnings: what the user should know.
        width: cells a line.

    Returns:
        A rich renderable.
    """
    widest = max((cell_len(clean(name)) for name in facts), default=0)
    name_width = max(1, min(widest, width - _LEAST_VALUE - 2))
    lines = [line for name, value in facts.items() for line in _fact(clean(name), value, name_width, width)]
    if lines and warnings:
        lines.append(BLANK)
    lines += [line for message in warnings for line in labelled("warning", message, width, style=WARNING)]
    return Drawing(tuple(lines))


def _fact(name: str, value: str, name_width: int, width: int) -> list[Line]:
    values = paragraph(value, width - name_width - 2) or [""]
    names = [fit(name, name_width), *[""] * (len(values) - 1)]
    return [
        ((pad(name, name_width, right=False) + "  ", DIM), (text, PLAIN))
        for name, text in zip(names, values, strict=True)
    ]
