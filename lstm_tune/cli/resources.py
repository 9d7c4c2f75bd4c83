"""The command that shows a cluster as the scheduler sees it."""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console

from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.nodes import Node

if TYPE_CHECKING:
    from lstm_tune.search.inventory import Plan


def show_resources(
    space: Path | None, overrides: Sequence[str], *, address: str | None, probe: bool, as_json: bool
) -> None:
    """Shows the nodes of a cluster and, with a file, what its trials would get there.

    Args:
        space: an experiment file, or None.
        overrides: `key.path=value` texts.
        address: of a Ray cluster; None for this machine.
        probe: measure what the largest network needs, as a run would.
        as_json: one JSON object instead of a table.
    """
    experiment = load_experiment(space, overrides) if space else None
    where = f"Ray at {address}" if address else "this machine"
    with Console(stderr=True, quiet=as_json).status(f"asking {where}"), tempfile.TemporaryDirectory() as logs:
        from lstm_tune.search.cluster import running_ray
        from lstm_tune.search.inventory import inventory, plan

        with running_ray(Path(logs), address):
            nodes = inventory()
            planned = plan(experiment, folder=_folder(space), nodes=nodes, measures=probe) if experiment else None
    if as_json:
        typer.echo(json.dumps(_values(nodes, planned)))
        return
    _draw(nodes, experiment, planned)


def _folder(space: Path | None) -> Path:
    return space.parent if space else Path()


def _draw(nodes: list[Node], experiment: Experiment | None, planned: "Plan | None") -> None:
    from lstm_tune.display.nodes import render_nodes
    from lstm_tune.display.summary import render_facts

    console = Console()
    console.print(render_nodes(nodes, width=console.width))
    if experiment and planned:
        facts = {experiment.name: planned.chosen.words}
        facts["nodes"] = ", ".join(f"{name}: up to {trials:,}" for name, trials in planned.by_node.items()) or "to come"
        if not planned.is_measured:
            facts["measured"] = "nothing; a run trains the largest network on a GPU first, and so does --probe here"
        console.print()
        console.print(render_facts(facts, planned.problems, width=console.width))


def _values(nodes: list[Node], planned: "Plan | None") -> dict[str, Any]:
    from lstm_tune.display.nodes import summed

    alive = [node for node in nodes if node.is_alive]
    return {
        "nodes": [asdict(node) for node in nodes],
        "total": summed([node.total for node in alive]),
        "free": summed([node.free for node in alive]),
        "plan": asdict(planned) if planned else None,
    }
