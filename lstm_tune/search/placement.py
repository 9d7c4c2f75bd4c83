"""What a trial occupies, and how many trials the running Ray holds at once."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ray

from lstm_tune.spec.errors import InputError

SHARES = 10_000
"""Ray counts resources in ten-thousandths and rounds to the nearest, so that six of 1/6 would not fit on a GPU."""

TYPE = "accelerator_type:"
TYPE_SHARE = 0.001
"""The resource, of which a node with such a GPU has 1, and what Ray itself asks of it; it only names the type."""


@dataclass(frozen=True)
class Slot:
    """What one trial occupies.

    Attributes:
        cpus: CPU cores, may be a fraction.
        gpus: GPUs, may be a fraction.
        accelerator_type: kind of GPU, by Ray's name; None for any.
        custom: other resources of the cluster, name and amount.
    """

    cpus: float
    gpus: float
    accelerator_type: str | None = None
    custom: tuple[tuple[str, float], ...] = ()

    @property
    def threads(self) -> int:
        """Torch threads of a trial: the cores it owns."""
        return max(1, int(self.cpus))

    @property
    def request(self) -> dict[str, float]:
        """The bundle of a placement group that holds one trial."""
        bundle = {"CPU": self.cpus, "GPU": self.gpus, **dict(self.custom)}
        if self.accelerator_type:
            bundle[f"{TYPE}{self.accelerator_type}"] = TYPE_SHARE
        return {name: amount for name, amount in bundle.items() if amount}

    @property
    def options(self) -> dict[str, Any]:
        """Keyword arguments of `ray.remote`."""
        wanted: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": dict(self.custom)}
        return wanted | ({"accelerator_type": self.accelerator_type} if self.accelerator_type else {})

    def doubled(self) -> "Slot | None":
        """The slot for another try after memory ran out: twice the share of a GPU, or twice the cores without one.

        Fewer trials then run beside it, which is what makes room. None where the trial had a GPU to itself, or where no
        node of the running Ray could hold the larger slot.
        """
        if self.gpus >= 1:
            return None
        larger = replace(self, gpus=min(1.0, 2 * self.gpus)) if self.gpus else replace(self, cpus=2 * self.cpus)
        return larger if any(fitting(node, larger) for node in live_nodes()) else None

    def __str__(self) -> str:
        amounts = {"CPUs": self.cpus, "GPUs": self.gpus, **dict(self.custom)}
        kind = f" of type {self.accelerator_type}" if self.accelerator_type else ""
        words = [f"{amount:g} {name}{kind if name == 'GPUs' else ''}" for name, amount in amounts.items()]
        return f"{', '.join(words[:-1])} and {words[-1]}"


@dataclass(frozen=True)
class Placement:
    """Where trials go.

    Attributes:
        kinds: a slot and how many trials run in such slots at once; one for each type of GPU, or one in all.
    """

    kinds: tuple[tuple[Slot, int], ...]

    @property
    def slots(self) -> int:
        """Trials that run at once."""
        return sum(count for _, count in self.kinds)

    @property
    def main(self) -> Slot:
        """The kind with the most room; repetitions and the final training use it."""
        return max(self.kinds, key=lambda kind: kind[1])[0]


def live_nodes() -> list[Mapping[str, float]]:
    """What each node of the running Ray has in all, whoever uses it."""
    return [node["Resources"] for node in alive_nodes()]


def is_this_machine() -> bool:
    """Whether the running Ray is the node alone that this process is on."""
    return [node["NodeManagerAddress"] for node in alive_nodes()] == [ray.util.get_node_ip_address()]


def alive_nodes() -> list[dict[str, Any]]:
    """The nodes of the running Ray that are not lost, as it describes them."""
    return [node for node in ray.nodes() if node["Alive"]]


def fitting(node: Mapping[str, float], slot: Slot) -> int:
    """Trials that fit on a node at once. A share lies on one GPU: what is left of two GPUs is not a share."""
    counts = [int(node.get(name, 0) / amount + 1e-6) for name, amount in slot.request.items()]
    if 0 < slot.gpus < 1:
        counts.append(int(node.get("GPU", 0) + 1e-6) * int(1 / slot.gpus + 1e-6))
    return min(counts)


def place(
    slots: Sequence[Slot], nodes: Sequence[Mapping[str, float]], *, max_concurrent: int | None, max_gpus: float | None
) -> Placement:
    """As many trials as the nodes hold and the limits allow.

    Args:
        slots: the kinds, none of which fits where another does, or one; the best first.
        nodes: what each node has.
        max_concurrent: trials at once, at most.
        max_gpus: GPUs of all trials together, at most.

    Returns:
        The kinds that have room; none where not a single trial may run.
    """
    kinds, trials_left = [], max_concurrent or math.inf
    gpus_left = math.inf if max_gpus is None else max_gpus
    for slot in slots:
        by_gpus = math.floor(gpus_left / slot.gpus + 1e-6) if slot.gpus and gpus_left < math.inf else math.inf
        count = int(min(sum(fitting(node, slot) for node in nodes), trials_left, by_gpus))
        trials_left -= count
        gpus_left -= count * slot.gpus
        kinds += [(slot, count)] if count else []
    return Placement(tuple(kinds))


def share(trials: int) -> float:
    """The share of a GPU of which so many fit on one, as Ray counts."""
    return SHARES // trials / SHARES


def check_fits(slot: Slot, nodes: Sequence[Mapping[str, float]]) -> None:
    """Refuses what no node could ever hold: Ray would wait for ever.

    Raises:
        InputError: with what the largest node has.
    """
    if any(fitting(node, slot) for node in nodes):
        return
    largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
    found = f"the largest has {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
    others = [f"{max(node.get(name, 0) for node in nodes):g} {name} at most" for name, _ in slot.custom]
    others += [f"types of GPU: {', '.join(accelerator_types(nodes)) or 'none'}"] if slot.accelerator_type else []
    problem = f"a trial needs {slot} on one machine; {', '.join([found, *others])}. Ask for less"
    raise InputError.at("resources", f"{problem}, or let an autoscaler bring such a machine with resources.wait: true")


def accelerator_types(nodes: Sequence[Mapping[str, float]]) -> list[str]:
    """The types of GPU on the nodes, by Ray's names."""
    names = {name for node in nodes for name in node if name.startswith(TYPE)}
    return sorted(name.removeprefix(TYPE) for name in names)
