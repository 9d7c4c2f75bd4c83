import io

import pytest
from rich.console import Console

from lstm_tune.display.nodes import render_nodes
from lstm_tune.spec.nodes import Node

GPU_NODE = Node(
    "one 10.0.0.1",
    True,
    {"CPU": 8.0, "GPU": 2.0, "accelerator_type:A100": 1.0, "memory": 64e9, "node:10.0.0.1": 1.0, "license": 2.0},
    {"CPU": 6.0, "GPU": 0.5, "memory": 64e9, "license": 1.0},
)
LOST = Node("two 10.0.0.2", False, {}, {})


def lines_of(*rows: Node, width: int = 120) -> list[str]:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    with console.capture() as capture:
        console.print(render_nodes(rows, width=width))
    return capture.get().splitlines()


def test_node_shows_what_is_free_of_what_there_is() -> None:
    header, row = lines_of(GPU_NODE)
    assert header.split("  ")[0] == "node"
    assert row.split() == ["one", "10.0.0.1", "yes", "6/8", "0.5/2", "A100", "64.0", "license", "1/2"]


def test_lost_node_is_shown_and_does_not_count() -> None:
    _, _, lost, total = lines_of(GPU_NODE, LOST)
    assert lost.split()[:4] == ["two", "10.0.0.2", "no", "0/0"]
    assert total.split()[:4] == ["all", "yes", "6/8", "0.5/2"]


@pytest.mark.parametrize("width", [30, 60, 120])
def test_narrow_terminal_keeps_nodes_and_cores(width: int) -> None:
    lines = lines_of(GPU_NODE, LOST, width=width)
    assert max(map(len, lines)) <= max(width, len("two 10.0.0.2"))
    assert all(name in line for name, line in zip(["one", "two", "all"], lines[1:], strict=True))
