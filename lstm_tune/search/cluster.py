"""Ray itself: started quietly, asked what it has, shut down."""

import fcntl
import logging
import os
import shutil
import signal
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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
"""What Ray and Tune read at import: no usage report, no files a trial, no snapshots (events are the truth)."""

WORKERS = {
    "PYTHONWARNINGS": "ignore",
    "RAY_preload_python_modules": "lstm_tune.search.trainable,torch._dynamo",
}
"""What the processes of a local Ray inherit. Workers import while the driver prepares the search; torch's optimizers
import `torch._dynamo` at their first step, which is half of the three seconds of CPU time."""

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
    """A private Ray on this machine, gone at the end; one that the process already has is used and left alone.

    It never joins a cluster that runs on the machine, and its files lie apart from any other Ray's, so that nobody
    joins it either.

    Args:
        logs: where the output of workers is kept.
    """
    if ray.is_initialized():
        yield
        return
    with _folder() as folder:
        try:
            with _own_sigterm():
                _start(folder)
            yield
        finally:
            ray.shutdown()
            _keep_output(folder, logs)


def _start(folder: Path) -> None:
    logging.getLogger("ray").setLevel(logging.ERROR)
    with warnings.catch_warnings(), environment(WORKERS):
        warnings.simplefilter("ignore")
        ray.init(
            address="local",
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            _temp_dir=str(folder),
        )


@contextmanager
def _folder() -> Iterator[Path]:
    """A folder for Ray's files, gone at the end; those that killed processes left go too.

    Its path is short, as the paths of sockets may have 107 characters. Its owner holds a lock in it.
    """
    parent = Path(os.environ.get("RAY_TMPDIR") or ("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()))
    for left in parent.glob("lstm-tune-*/lock"):
        with suppress(OSError), left.open() as lock:  # held by its owner, or another user's
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left.parent, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="lstm-tune-", dir=parent))
    try:
        with (folder / "unlocked").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            (folder / "unlocked").rename(folder / "lock")
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep_output(folder: Path, logs: Path) -> None:
    """Copies what workers printed; most print nothing."""
    for file in sorted(folder.glob("session_2*/logs/worker-*")):
        lines = file.read_text(errors="replace").splitlines()
        said = [line for line in lines if not line.startswith((":job_id:", ":actor_name:", ":task_name:"))]
        if said:
            (logs / file.name).write_text("\n".join(said) + "\n")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Sets environment variables for what runs, and for the processes that are started, within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


@contextmanager
def _own_sigterm() -> Iterator[None]:
    """Gives SIGTERM back to whom it belonged; `ray.init` takes it over."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler)


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
