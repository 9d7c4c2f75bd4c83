import io

import pytest
from rich.console import Console

from lstm_tune.display.summary import render_facts


def text_of(facts: dict[str, str], warnings: list[str], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_facts(facts, warnings, width=width))
    return capture.get()


def test_facts_are_two_aligned_columns_and_warnings_follow() -> None:
    text = text_of({"rows": "144", "series": "1"}, ["few seasons"], 80)
    assert text == "rows    144\nseries  1\n\nwarning  few seasons\n"


@pytest.mark.parametrize("width", [40, 80])
def test_long_values_go_on_below_themselves(width: int) -> None:
    lines = text_of({"data": "word " * 40, "path": "/very/long" * 20}, ["careful " * 30], width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert lines[1].startswith("      word")
    assert "…" not in "".join(lines)


def test_no_facts_and_no_warnings_draw_nothing() -> None:
    assert text_of({}, [], 80) == ""
