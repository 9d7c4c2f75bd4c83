"""What each trial occupies: as the experiment says, or as measured. Pure but for what it is handed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from lstm_tune.search.placement import TYPE, Placement, Slot, check_fits, place, share

MARGIN = 1.25
"""A share of a GPU over the measured peak. A probe sees one configuration in a fresh process; trials of other sizes,
one after the other, leave gaps in the memory that torch keeps. A guess: where it is too small, trials are tried again
with twice the share, and no other trial is harmed."""


@dataclass(frozen=True)
class Demand:
    """What is asked for.

    Attributes:
        slot: what one trial occupies; its GPUs count only unless `is_auto`.
        is_auto: whether the GPUs are to be chosen.
        max_concurrent: trials at once, at most; None for no limit.
        max_gpus: GPUs of all trials together, at most; None for no limit.
        waits: whether nodes that could hold a trial may come later.
    """

    slot: Slot
    is_auto: bool
    max_concurrent: int | None = None
    max_gpus: float | None = None
    waits: bool = False


@dataclass(frozen=True)
class Measured:
    """How the largest network of the space trained somewhere.

    Attributes:
        epoch_s: seconds of one epoch of all folds, evaluation included.
        peak_mb: GPU memory at most, what CUDA itself takes included, in MB of 10**6 bytes; 0 on a CPU.
        total_mb: memory of that GPU; 0 on a CPU.
        place: the node and the GPU on it.
    """

    epoch_s: float
    peak_mb: float = 0.0
    total_mb: float = 0.0
    place: str = ""

    @property
    def room(self) -> int:
        """Trials whose memory fits on the GPU, at least one."""
        return max(1, int(self.total_mb / (self.peak_mb * MARGIN)))


@dataclass(frozen=True)
class Measurements:
    """All that was measured.

    Attributes:
        cpu: on the cores of one trial; None where it failed or took too long.
        gpus: on a GPU of each type (None for the only or an unknown type); a type is missing where it failed.
        gains: how much more two trials on one GPU got done than one, by type; missing where that was not measured.
        unusable: types whose GPUs torch cannot use.
    """

    cpu: Measured | None = None
    gpus: Mapping[str | None, Measured] = field(default_factory=dict)
    gains: Mapping[str | None, float] = field(default_factory=dict)
    unusable: frozenset[str | None] = frozenset()


@dataclass(frozen=True)
class Group:
    """The nodes with GPUs of one type.

    Attributes:
        accelerator_type: by Ray's name; None where all GPUs count as one type.
        nodes: what each has.
    """

    accelerator_type: str | None
    nodes: tuple[Mapping[str, float], ...]

    @property
    def gpus(self) -> int:
        """GPUs on all of them."""
        return sum(int(node["GPU"] + 1e-6) for node in self.nodes)


def gpu_groups(nodes: Sequence[Mapping[str, float]], slot: Slot) -> tuple[Group, ...]:
    """The nodes that could hold a trial with a whole GPU, by type, the type with the most GPUs first.

    Where there is one type only, or a node does not tell its type, or the slot names one, it is one group without a
    type of its own: then a request without a type can go to any of them.
    """
    with_gpus = [node for node in nodes if node.get("GPU", 0) >= 1 and _holds(node, slot)]
    types = [_type(node) for node in with_gpus]
    if len(set(types)) <= 1 or None in types:
        return (Group(slot.accelerator_type, tuple(with_gpus)),) if with_gpus else ()
    groups = [
        Group(name, tuple(node for node in with_gpus if _type(node) == name))
        for name in sorted(set(filter(None, types)))
    ]
    return tuple(sorted(groups, key=lambda group: -group.gpus))


def _holds(node: Mapping[str, float], slot: Slot) -> bool:
    return all(node.get(name, 0) >= amount for name, amount in replace(slot, gpus=1.0).request.items())


def _type(node: Mapping[str, float]) -> str | None:
    return next((name.removeprefix(TYPE) for name in sorted(node) if name.startswith(TYPE)), None)


def decide(demand: Demand, nodes: Sequence[Mapping[str, float]], measured: Measurements) -> Placement:
    """Where trials go.

    Numbers are taken as they are. For `auto`, a trial gets 1/n of a GPU, or a whole one where nothing was measured; n
    is what memory allows with a margin, but no more than the cores of the node or `max_concurrent` can use when all
    GPUs share the trials evenly, since Ray fills one GPU before it takes the next.

    Cores are used instead where they train more in an hour. The model: GPUs that run one trial each do `1 / epoch_s`
    epochs a second; those that share do at most `gain / epoch_s`, where the gain is that of two trials as measured, 1
    where it was not, and no more is claimed for a larger n; n cores do n times what one does, which flatters them where
    memory is the limit. Both with as many trials as run at once within the limits.

    Args:
        demand: what is asked for.
        nodes: what each node has.
        measured: on this cluster; all of it may be missing.

    Raises:
        InputError: no node could hold a trial.
    """
    if not demand.is_auto:
        return _as_asked(demand, nodes)
    on_cores = replace(demand.slot, gpus=0.0, accelerator_type=None)
    groups = [group for group in gpu_groups(nodes, demand.slot) if group.accelerator_type not in measured.unusable]
    on_gpus = [_gpu_slot(demand, group, measured, all_gpus=sum(each.gpus for each in groups)) for group in groups]
    gpu, cpu = _placed(demand, on_gpus, nodes), _placed(demand, [on_cores], nodes)
    if gpu.kinds and (not cpu.kinds or _gpu_rate(gpu, measured) >= _cpu_rate(cpu, measured)):
        return gpu
    if demand.slot.accelerator_type and not groups:
        check_fits(replace(demand.slot, gpus=1.0), nodes)
    check_fits(on_cores, nodes)
    return cpu


def _as_asked(demand: Demand, nodes: Sequence[Mapping[str, float]]) -> Placement:
    slot = demand.slot
    if 0 < slot.gpus < 1:
        slot = replace(slot, gpus=share(round(1 / slot.gpus)))
    if demand.waits:
        assert demand.max_concurrent, "who waits says for how many"
        by_gpus = int(demand.max_gpus / slot.gpus + 1e-6) if demand.max_gpus and slot.gpus else demand.max_concurrent
        return Placement(((slot, min(demand.max_concurrent, by_gpus)),))
    check_fits(slot, nodes)
    return _placed(demand, [slot], nodes)


def _placed(demand: Demand, slots: Sequence[Slot], nodes: Sequence[Mapping[str, float]]) -> Placement:
    return place(slots, nodes, max_concurrent=demand.max_concurrent, max_gpus=demand.max_gpus)


def _gpu_slot(demand: Demand, group: Group, measured: Measurements, *, all_gpus: int) -> Slot:
    probe = measured.gpus.get(group.accelerator_type)
    trials = 1 if probe is None else probe.room
    for node in group.nodes:
        by_cores = int(node["CPU"] / demand.slot.cpus + 1e-6)
        trials = min(trials, math.ceil(by_cores / int(node["GPU"] + 1e-6)))
    if demand.max_concurrent:
        gpus = min(all_gpus, math.ceil(demand.max_gpus)) if demand.max_gpus else all_gpus
        trials = min(trials, math.ceil(demand.max_concurrent / gpus))
    return replace(demand.slot, gpus=share(trials), accelerator_type=group.accelerator_type)


def _gpu_rate(placement: Placement, measured: Measurements) -> float:
    """Epochs a second of the largest network on GPUs; without end where it was not measured."""
    rate = 0.0
    for slot, count in placement.kinds:
        probe = measured.gpus.get(slot.accelerator_type)
        if probe is None:
            return math.inf
        used = math.ceil(count * slot.gpus - 1e-2)
        gain = measured.gains.get(slot.accelerator_type, 1.0) if count > used else 1.0
        rate += used * gain / probe.epoch_s
    return rate


def _cpu_rate(placement: Placement, measured: Measurements) -> float:
    return placement.slots / measured.cpu.epoch_s if measured.cpu else 0.0


def words(placement: Placement, measured: Measurements) -> str:
    """One sentence about what was chosen and why."""
    trials = " and ".join(_kind_words(slot, count) for slot, count in placement.kinds)
    reasons = [_gpu_words(name, probe, measured.gains.get(name)) for name, probe in measured.gpus.items()]
    if measured.cpu and measured.gpus:
        reasons.append(f"{measured.cpu.epoch_s:.2g} s on a trial's cores")
    why = f". The largest network takes {', '.join(reasons)} an epoch" if reasons else ""
    return trials + why


def _kind_words(slot: Slot, count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'} at once, each with {slot}"


def _gpu_words(name: str | None, probe: Measured, gain: float | None) -> str:
    memory = f"{probe.peak_mb:,.0f} of {probe.total_mb:,.0f} MB"
    shared = f", two at once get {gain:.2g} times as much done" if gain is not None else ""
    return f"{probe.epoch_s:.2g} s on a GPU{f' of type {name}' if name else ''} ({memory}{shared})"
