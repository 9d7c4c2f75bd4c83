"""A curve in one line of text."""

from collections.abc import Sequence
from itertools import pairwise

from lstm_tune.display.formats import finite

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """The curve of the values, lowest to highest block.

    A longer series is cut into `width` pieces, each drawn as its mean; a shorter one has a block for each value. NaN
    and None are blanks, a constant is a line at half height.

    Args:
        values: the curve from left to right.
        width: largest number of characters.

    Returns:
        At most `width` characters; an empty text for no values.
    """
    if not values or width < 1:
        return ""
    levels = _means(values, min(width, len(values)))
    known = [level for level in levels if level is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    return "".join(" " if level is None else _block(level, low, high) for level in levels)


def _means(values: Sequence[float | None], pieces: int) -> list[float | None]:
    edges = [len(values) * piece // pieces for piece in range(pieces + 1)]
    return [_mean(values[start:end]) for start, end in pairwise(edges)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [number for value in values if (number := finite(value)) is not None]
    return sum(number / len(known) for number in known) if known else None


def _block(level: float, low: float, high: float) -> str:
    if high <= low:
        return BLOCKS[3]
    # halves first: the span of two huge numbers could overflow
    share = (level / 2 - low / 2) / (high / 2 - low / 2)
    return BLOCKS[min(len(BLOCKS) - 1, int(share * len(BLOCKS)))]
