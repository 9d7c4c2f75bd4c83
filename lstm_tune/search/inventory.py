"""The cluster as the scheduler sees it, and what an experiment's trials would get on it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ray
from ray._private.state import available_resources_per_node  # the public call adds the nodes up

from lstm_tune.search.choosing import Measurements, decide, gpu_groups
from lstm_tune.search.placement import Slot, fitting
from lstm_tune.search.resources import demand_of, described, measure
from lstm_tune.spec.events import ResourcesChosen
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.nodes import Node
from lstm_tune.tasks.assembly import assemble


@dataclass(frozen=True)
class Plan:
    """What an experiment's trials would get.

    Attributes:
        chosen: slots, measurements and words.
        by_node: trials that fit on each node at once, by the node's name.
        is_measured: whether a run would choose just so; otherwise it measures before it chooses.
        problems: what the user should know of what could not be measured.
    """

    chosen: ResourcesChosen
    by_node: Mapping[str, int]
    is_measured: bool
    problems: tuple[str, ...] = ()


def inventory() -> list[Node]:
    """The nodes of the running Ray, those that were lost too."""
    free = available_resources_per_node()
    return [
        Node(
            f"{node['NodeManagerHostname']} {node['NodeManagerAddress']}",
            bool(node["Alive"]),
            dict(node["Resources"]),
            dict(free.get(node["NodeID"], {})),
        )
        for node in ray.nodes()
    ]


def plan(experiment: Experiment, *, folder: Path, nodes: list[Node], measures: bool) -> Plan:
    """What an experiment's trials would get on these nodes.

    Args:
        experiment: the checked file.
        folder: what `data.path` is relative to.
        nodes: of the running Ray.
        measures: whether to train the largest network for a moment, as a run would.

    Raises:
        InputError: no node could hold a trial, or the data is wrong.
    """
    demand, totals = demand_of(experiment.resources), [node.total for node in nodes if node.is_alive]
    needs_measuring = demand.is_auto and bool(gpu_groups(totals, demand.slot))
    measured, problems = Measurements(), list[str]()
    if needs_measuring and measures:
        measured, problems = measure(experiment, assemble(experiment, folder=folder), demand, totals)
    placement = decide(demand, totals, measured)
    by_node = {node.name: _trials(node, placement.kinds) for node in nodes if node.is_alive}
    return Plan(
        described(placement, measured),
        {name: trials for name, trials in by_node.items() if trials},
        measures or not needs_measuring,
        tuple(problems),
    )


def _trials(node: Node, kinds: tuple[tuple[Slot, int], ...]) -> int:
    return sum(min(count, fitting(node.total, slot)) for slot, count in kinds)
