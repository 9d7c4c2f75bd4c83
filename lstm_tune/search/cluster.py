"""Ray itself: started quietly, asked what it has, shut down."""

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "1000000000",
    "TUNE_RESULT_BUFFER_LENGTH": "1",
    "TUNE_WARN_THRESHOLD_S": "60",
}
"""What Ray and Tune read at import: no usage report, no files a trial, no snapshots (the run's events are the truth)."""

for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402 - the switches above are read while it is imported

from lstm_tune.spec.errors import InputError  # noqa: E402


@dataclass(frozen=True)
class Slot:
    """What one trial occupies.

    Attributes:
        cpus: CPU cores, may be a fraction.
        gpus: GPUs, may be a fraction.
    """

    cpus: float
    gpus: float

    @property
    def threads(self) -> int:
        """Torch threads of a trial: the cores it owns."""
        return max(1, int(self.cpus))


@contextmanager
def local_ray(logs: Path) -> Iterator[None]:
    """A private Ray on this machine, gone at the end; one that the process already has is used and left alone."""
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=True,
            runtime_env={"env_vars": {"PYTHONWARNINGS": "ignore"}},
        )
    try:
        yield
    finally:
        ray.shutdown()


def choose_slot(*, cpus: float, gpus: float | Literal["auto"]) -> Slot:
    """What each trial gets on the running Ray.

    Args:
        cpus: cores a trial.
        gpus: GPUs a trial, or auto: a whole one where the cluster has any, else none.

    Raises:
        InputError: no node could ever hold such a trial, so that the search would wait for ever.
    """
    available = ray.cluster_resources()
    wanted = float(available.get("GPU", 0) >= 1) if gpus == "auto" else float(gpus)
    slot = Slot(cpus, wanted)
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if not any(node.get("CPU", 0) >= slot.cpus and node.get("GPU", 0) >= slot.gpus for node in nodes):
        largest = max(nodes, key=lambda node: (node.get("GPU", 0), node.get("CPU", 0)))
        found = f"the largest has {largest.get('CPU', 0):g} CPUs and {largest.get('GPU', 0):g} GPUs"
        problem = f"a trial needs {slot.cpus:g} CPUs and {slot.gpus:g} GPUs on one machine; {found}. Ask for less"
        raise InputError.at("resources", problem)
    return slot


def count_slots(slot: Slot, *, at_most: int | None) -> int:
    """Trials that fit on the running Ray at once, at least one."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = sum(_fitting(node, slot) for node in nodes)
    return max(1, min(fitting, at_most or fitting))


def _fitting(node: dict[str, float], slot: Slot) -> int:
    by_cpu = int(node.get("CPU", 0) / slot.cpus + 1e-6)
    return min(by_cpu, int(node.get("GPU", 0) / slot.gpus + 1e-6)) if slot.gpus else by_cpu
