"""Ray itself: started quietly, shut down."""

import fcntl
import logging
import os
import shutil
import signal
import socket
import tempfile
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
import torch

from lstm_tune.search.lean_ray import SETTINGS, lean_start
from lstm_tune.spec.errors import InputError

ANSWER_S = 10.0
"""Seconds in which a cluster must answer."""

OWN_SETTINGS = {"RAY_JOB_CONFIG_JSON_ENV_VAR": None}
"""Settings of a job on a cluster, which a private Ray that is started within that job must not take for its own."""

WORKERS: dict[str, str | None] = {
    "PYTHONWARNINGS": "ignore",
    "RAY_preload_python_modules": "lstm_tune.search.worker",
}
"""What the processes of a local Ray inherit. Workers import torch while the driver prepares the search."""


@contextmanager
def running_ray(logs: Path, address: str | None = None) -> Iterator[None]:
    """A private Ray on this machine, gone at the end; one that the process already has is used and left alone.

    A private Ray never joins a cluster that runs on the machine, and its files lie apart from any other Ray's, so that
    nobody joins it either.

    Args:
        logs: where the output of a private Ray's workers is kept.
        address: of a cluster to join instead: `auto` for the one this process or machine belongs to, else host:port.

    Raises:
        InputError: no cluster answers at the address.
    """
    if ray.is_initialized():
        yield
        return
    logging.getLogger("ray").setLevel(logging.ERROR)
    with _private_ray(logs) if address is None else _joined_cluster(address):
        yield


@contextmanager
def _private_ray(logs: Path) -> Iterator[None]:
    with _folder() as folder:
        try:
            with environment(WORKERS | OWN_SETTINGS | SETTINGS), lean_start():
                _connect("local", include_dashboard=False, _temp_dir=str(folder))
            yield
        finally:
            ray.shutdown()
            _keep_output(folder, logs)


@contextmanager
def _joined_cluster(address: str) -> Iterator[None]:
    try:
        if ":" in address.removeprefix("ray://"):
            host, _, port = address.removeprefix("ray://").rpartition(":")
            socket.create_connection((host, int(port)), timeout=ANSWER_S).close()  # Ray itself would try for minutes
        _connect(address)
    except (OSError, RuntimeError, ValueError) as error:
        found = f"found: {str(error).strip().splitlines()[0]}" if str(error).strip() else "nobody answered"
        problem = (
            f"must be a running Ray cluster that this machine reaches, {found}. On a machine of the cluster say auto"
        )
        advice = "; a cluster with tokens needs RAY_AUTH_MODE=token, and the token in ~/.ray/auth_token"
        raise InputError.at(f"--address {address}", problem + advice) from None
    try:
        yield
    finally:
        ray.shutdown()


def _connect(address: str, **options: Any) -> None:
    """Starts or joins Ray; SIGTERM, which Ray takes over, is given back to whom it belonged."""
    with warnings.catch_warnings(), _own_sigterm():
        warnings.simplefilter("ignore")
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **options)


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
def environment(values: Mapping[str, str | None]) -> Iterator[None]:
    """Sets environment variables (None: leaves one out) for what runs, and for the processes started, within."""
    before = {name: os.environ.get(name) for name in values}
    _set_environment(values)
    try:
        yield
    finally:
        _set_environment(before)


def _set_environment(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        os.environ.pop(name, None)
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


def own_device() -> torch.device:
    """Where the process of a trial trains: the GPU that Ray gave it, else the CPU.

    A GPU that it can see but was not given is somebody else's; one that Ray only counts is no device.
    """
    is_given = bool(ray.get_runtime_context().get_accelerator_ids().get("GPU"))
    return torch.device("cuda" if is_given and torch.cuda.is_available() else "cpu")
