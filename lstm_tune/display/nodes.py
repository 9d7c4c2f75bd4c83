"""The nodes of a cluster as a table."""

from collections.abc import Mapping, Sequence

from lstm_tune.display.table import Cell, Column, table
from lstm_tune.display.text import BAD, PLAIN, STRONG, Drawing, clean
from lstm_tune.spec.nodes import Node

TYPE = "accelerator_type:"
_HIDDEN = ("CPU", "GPU", "memory", "object_store_memory", "node:")


def render_nodes(rows: Sequence[Node], *, width: int) -> Drawing:
    """The nodes and, where there are several, their sum; free amounts stand before the total.

    Args:
        rows: the nodes.
        width: cells a line.
    """
    alive = [row for row in rows if row.is_alive]
    everything = Node("all", True, summed([row.total for row in alive]), summed([row.free for row in alive]))
    shown = [*rows, everything] if len(rows) > 1 else list(rows)
    columns = [
        Column("node", [Cell(clean(row.name)) for row in shown], 0, right=False),
        Column("alive", [Cell("yes" if row.is_alive else "no", PLAIN if row.is_alive else BAD) for row in shown], 4),
        Column("CPUs free/total", [Cell(_of(row, "CPU")) for row in shown], 1),
        Column("GPUs free/total", [Cell(_of(row, "GPU")) for row in shown], 2),
        Column("GPU type", [Cell(_types(row)) for row in shown], 3, right=False),
        Column("memory GB", [Cell(f"{row.total.get('memory', 0) / 1e9:,.1f}") for row in shown], 5),
        Column("other free/total", [Cell(_others(row)) for row in shown], 6, right=False),
    ]
    styles = [STRONG if row is everything else PLAIN for row in shown]
    return Drawing(tuple(table(columns, styles, width)))


def summed(amounts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The amounts of all nodes together, by name."""
    names = {name for amount in amounts for name in amount}
    return {name: sum(amount.get(name, 0.0) for amount in amounts) for name in sorted(names)}


def _of(row: Node, name: str) -> str:
    return f"{row.free.get(name, 0):g}/{row.total.get(name, 0):g}"


def _types(row: Node) -> str:
    return ", ".join(name.removeprefix(TYPE) for name in sorted(row.total) if name.startswith(TYPE))


def _others(row: Node) -> str:
    names = [name for name in sorted(row.total) if not name.startswith((*_HIDDEN, TYPE))]
    return ", ".join(f"{clean(name)} {_of(row, name)}" for name in names)
