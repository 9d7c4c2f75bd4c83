"""Trains the largest network of a space for a moment, on GPUs and on cores, to see what a trial needs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import ray
import torch

from lstm_tune.models.problem import Task
from lstm_tune.search.choosing import Demand, Group, Measured, Measurements, gpu_groups
from lstm_tune.search.device import own_device
from lstm_tune.search.placement import Slot, share
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import Patience, Portions
from lstm_tune.training.lockstep import Lockstep

LIMIT_S = 120.0
"""A probe that takes longer is given up: its GPU may be taken by others, or an epoch may be that long."""

TIMED_S = 1.0
"""Epochs are timed for at least this long, so that those of probes that run side by side overlap."""

ENDLESS = 1_000_000
MB = 1e6

Measure = Callable[[Sequence[Slot]], list[Measured]]
"""Measures as many trials at once as there are slots."""


@dataclass(frozen=True)
class Workload:
    """What a probe trains.

    Attributes:
        task: the question, with its data.
        hyperparameters: of the largest network.
        portions: epochs and batches.
        seed: the run's.
    """

    task: Task
    hyperparameters: Hyperparameters
    portions: Portions
    seed: int


class _Prober:
    """A trial that is only timed; runs in a process of its own, as trials do."""

    def __init__(self, workload: Workload, threads: int) -> None:
        torch.set_num_threads(threads)
        self._device = own_device()
        self._epochs = Lockstep(
            workload.task,
            workload.hyperparameters,
            workload.portions,
            max_epochs=ENDLESS,
            patience=Patience(ENDLESS),
            seed=workload.seed,
            device=self._device,
        ).epochs()

    def prepare(self) -> None:
        """Trains the first epoch, in which CUDA starts and kernels are chosen."""
        next(self._epochs)

    def measure(self) -> Measured:
        """Times the epochs after it."""
        started, count = time.monotonic(), 0
        while count == 0 or time.monotonic() - started < TIMED_S:
            next(self._epochs)
            count += 1
        epoch_s = (time.monotonic() - started) / count
        gpus = ray.get_runtime_context().get_accelerator_ids().get("GPU", [])
        place = " ".join([ray.util.get_node_ip_address(), *(f"GPU {gpu}" for gpu in gpus)])
        if self._device.type != "cuda":
            return Measured(epoch_s, place=place)
        free, total = torch.cuda.mem_get_info()
        outside = max(0, total - free - torch.cuda.memory_reserved())  # CUDA's own share, which torch does not count
        return Measured(epoch_s, (torch.cuda.max_memory_reserved() + outside) / MB, total / MB, place)


def measure_together(workload: Workload, slots: Sequence[Slot]) -> list[Measured]:
    """The workload in all slots at the same time.

    Raises:
        ray.exceptions.RayError: one failed, or all together took too long.
    """
    shared = ray.put(workload)
    probers = [ray.remote(**slot.options)(_Prober).remote(shared, slot.threads) for slot in slots]
    try:
        ray.get([prober.prepare.remote() for prober in probers], timeout=LIMIT_S)
        return list(ray.get([prober.measure.remote() for prober in probers], timeout=LIMIT_S))
    finally:
        for prober in probers:
            ray.kill(prober)


def measure_cluster(
    demand: Demand, nodes: Sequence[Mapping[str, float]], measure: Measure
) -> tuple[Measurements, list[str]]:
    """Measures what `decide` needs to know: nothing where there is no GPU, or none to choose.

    Args:
        demand: what is asked for.
        nodes: what each node has.
        measure: the probe.

    Returns:
        What was measured, and what the user should know of what was not.
    """
    groups = gpu_groups(nodes, demand.slot) if demand.is_auto else ()
    gpus: dict[str | None, Measured] = {}
    gains: dict[str | None, float] = {}
    unusable, problems = set[str | None](), list[str]()
    for group in groups:
        whole, name = replace(demand.slot, gpus=1.0, accelerator_type=group.accelerator_type), _named(group)
        try:
            alone = measure([whole])[0]
        except ray.exceptions.RayError as error:
            problems.append(f"The probe on {name} failed ({_cause(error)}), so each trial gets a whole one.")
            continue
        if not alone.total_mb:
            unusable.add(group.accelerator_type)
            problems.append(f"torch cannot use {name} ({alone.place}), so trials do not ask for it.")
            continue
        gpus[group.accelerator_type] = alone
        if alone.room > 1 and (gain := _gain(measure, whole, alone)) is not None:
            gains[group.accelerator_type] = gain
    return Measurements(_on_cores(demand, measure) if gpus else None, gpus, gains, frozenset(unusable)), problems


def _on_cores(demand: Demand, measure: Measure) -> Measured | None:
    try:
        return measure([replace(demand.slot, gpus=0.0, accelerator_type=None)])[0]
    except ray.exceptions.RayError:  # too slow for a core, which is an answer
        return None


def _gain(measure: Measure, whole: Slot, alone: Measured) -> float | None:
    """What two at once get done on one GPU, over what one does; None where they did not share one."""
    half = replace(whole, gpus=share(2))
    try:
        pair = measure([half, half])
    except ray.exceptions.RayError:
        return None
    if len({each.place for each in pair}) != 1:
        return None
    return sum(alone.epoch_s / each.epoch_s for each in pair)


def _named(group: Group) -> str:
    name = group.accelerator_type
    return f"a GPU of type {name}" if name else "a GPU"


def _cause(error: Exception) -> str:
    if isinstance(error, ray.exceptions.GetTimeoutError):
        return f"not done after {LIMIT_S:g} s"
    cause = getattr(error, "cause", None) or error
    lines = str(cause).strip().splitlines()
    return f"{type(cause).__name__}: {lines[0] if lines else ''}"
