"""Numbers as short, aligned text."""

import math
from collections.abc import Iterable

NONE = "-"
_WIDEST_SCORE = 10


def finite(value: float | None) -> float | None:
    """The value, or None where it is None, NaN or infinite (events read from a file hold None for those)."""
    return value if value is not None and math.isfinite(value) else None


def decimals(scores: Iterable[float | None]) -> int:
    """Digits after the point that show the smallest score with four significant ones, at most 6.

    Args:
        scores: those of one column; None, NaN and zero do not count.
    """
    sizes = [abs(score) for score in scores if finite(score) and score]
    return min(6, max(0, 3 - math.floor(math.log10(min(sizes))))) if sizes else 4


def score(value: float | None, places: int) -> str:
    """A score in at most 10 characters.

    Args:
        value: the score; None and NaN become a dash.
        places: digits after the point, the same down a column. A number they would hide or that would be too wide is
            written with an exponent.
    """
    known = finite(value)
    if known is None:
        return NONE
    text = f"{known:.{places}f}"
    hidden = known != 0 and abs(known) < 10.0 ** (1 - places) and places >= 6
    return f"{known:.2e}" if hidden or len(text) > _WIDEST_SCORE else text


def score_and_error(value: float | None, standard_error: float | None, places: int) -> str:
    """A score and its standard error, `0.4120 ± 0.0210`; without the latter where it is not known."""
    text = score(value, places)
    return text if finite(standard_error) is None else f"{text} ± {score(standard_error, places)}"


def percent(fraction: float | None) -> str:
    """A signed percentage, `+12%`; above 999 as `>999%`."""
    known = finite(fraction)
    if known is None:
        return NONE
    return ">999%" if known > 9.99 else f"{known:+.0%}"


def count(number: int) -> str:
    """A count in at most 5 characters: 950, 12.3k, 1.25M."""
    for limit, divisor, unit in ((1e3, 1.0, ""), (1e6, 1e3, "k"), (1e9, 1e6, "M"), (math.inf, 1e9, "B")):
        # 999,960 would round to "1000k"; the next unit says "1M"
        if number < limit * 0.9995 or limit == 1e3 > number:
            return f"{number / divisor:.3g}{unit}"
    raise AssertionError("the last limit is infinite")


def hyperparameter(value: object) -> str:
    """A hyperparameter's value: 0.0031, 1.2e-05, 64, yes, last; a dash for None (it was not active)."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.2g}"
    return str(value)


def duration(seconds: float) -> str:
    """A time span in its two largest units: 45s, 2m 10s, 1h 05m, 3d 4h."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes:02d}m" if hours < 24 else f"{hours // 24}d {hours % 24}h"


def clock(seconds: float) -> str:
    """A point of time in the run: 00:42, 12:05, 1:02:03."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"
