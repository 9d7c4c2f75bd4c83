import io

import pytest
from rich.cells import cell_len
from rich.console import Console

from lstm_tune.display.timeline import FoldRow, FoldSegment, render_folds

ROWS = [
    FoldRow(
        "fold 1",
        [FoldSegment("train", 0, 60), FoldSegment("gap", 60, 61), FoldSegment("validation", 61, 80)],
        "60 windows",
    ),
    FoldRow("test", [FoldSegment("train", 0, 80), FoldSegment("test", 80, 100)]),
]


def lines_of(rows: list[FoldRow], width: int, *, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(file=stream, width=width, color_system=None, legacy_windows=False)
    console.print(render_folds(rows, width, start="1949-01", end="1960-12"))
    stream.seek(0)
    return stream.read().splitlines()


def test_folds_are_drawn_to_scale() -> None:
    lines = lines_of(
        [FoldRow("f", [FoldSegment("train", 0, 6), FoldSegment("validation", 6, 8), FoldSegment("unused", 8, 10)])], 23
    )
    assert lines[1] == "f  " + "━" * 12 + "█" * 4 + "∙" * 4


def test_short_gap_stays_visible_before_the_validation() -> None:
    assert "━╌█" in lines_of(ROWS, 60)[1]


def test_one_step_of_many_stays_visible() -> None:
    segments = [FoldSegment("train", 0, 100_000), FoldSegment("validation", 100_000, 100_001)]
    assert lines_of([FoldRow("f", segments)], 40)[1].endswith("█")


@pytest.mark.parametrize("width", [40, 80, 200])
def test_folds_fit_the_width(width: int) -> None:
    lines = lines_of(ROWS, width)
    assert max(cell_len(line) for line in lines) <= width
    assert lines[0].split() == ["1949-01", "1960-12"]


def test_note_leaves_a_narrow_terminal() -> None:
    assert ["60 windows" in lines_of(ROWS, width)[1] for width in (30, 60)] == [False, True]


def test_legend_names_the_kinds_that_are_drawn() -> None:
    assert lines_of(ROWS, 80)[-1] == "━━ train · ╌╌ gap · ██ validation · ▒▒ test"


def test_folds_are_drawn_in_ascii_where_they_must() -> None:
    text = "\n".join(lines_of(ROWS, 60, encoding="ascii"))
    assert "=-#" in text
    assert "%" in text


def test_no_folds_draw_nothing() -> None:
    assert lines_of([], 80) == []
