"""Ray itself: started quietly and early, shut down."""

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
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import ray

from lstm_tune.search.lean_ray import SETTINGS, lean_start
from lstm_tune.spec.errors import InputError

ANSWER_S = 10.0
"""Seconds in which a cluster must answer."""

OWN_SETTINGS = {"RAY_JOB_CONFIG_JSON_ENV_VAR": None}
"""Settings of a job on a cluster, which a private Ray that is started within that job must not take for its own."""

WORKERS: dict[str, str | None] = {
    "PYTHONWARNINGS": "ignore",
    "RAY_preload_python_modules": "lstm_tune.search.worker,lstm_tune.tasks.forecast",
}
"""What the processes of a local Ray inherit. Workers import torch and what a task needs while the driver prepares the
search."""


class PrivateRay:
    """A Ray of this process's own, which starts in the background: until it is needed, other things can be done.

    It never joins a cluster that runs on the machine, and its files lie apart from any other Ray's, so that nobody
    joins it either.
    """

    def __init__(self) -> None:
        self._logs: Path | None = None
        self._ended = ExitStack()
        self._thread = ThreadPoolExecutor(1, "ray")  # Linux ends Ray's processes with the thread that started them
        self._ended.callback(self._thread.shutdown)
        self._started = self._thread.submit(self._start)

    def _start(self) -> None:
        folder = self._ended.enter_context(_folder())
        self._ended.callback(self._stop, folder)
        with environment(WORKERS | OWN_SETTINGS | SETTINGS), lean_start():
            _connect("local", include_dashboard=False, _temp_dir=str(folder))

    def _stop(self, folder: Path) -> None:
        ray.shutdown()
        if self._logs:
            _keep_output(folder, self._logs)

    @contextmanager
    def running(self, logs: Path) -> Iterator[None]:
        """Waits until it runs; at the end it is gone, and the output of its workers is in the folder `logs`."""
        self._logs = logs
        with closing(self):
            self._started.result()
            yield

    def close(self) -> None:
        """Ends it, unless it has ended."""
        self._started.exception()  # waits
        self._ended.close()


@contextmanager
def ray_ahead(address: str | None) -> Iterator[PrivateRay | None]:
    """A private Ray that starts meanwhile, if `running_ray` will want one; gone at the end, used or not.

    Args:
        address: what `running_ray` will be told.
    """
    if address is not None or ray.is_initialized():
        yield None
        return
    with closing(PrivateRay()) as private:
        yield private


@contextmanager
def running_ray(logs: Path, address: str | None = None, private: PrivateRay | None = None) -> Iterator[None]:
    """A private Ray on this machine, gone at the end; one that the process already has is used and left alone.

    Args:
        logs: where the output of a private Ray's workers is kept.
        address: of a cluster to join instead: `auto` for the one this process or machine belongs to, else host:port.
        private: one that starts already.

    Raises:
        InputError: no cluster answers at the address.
    """
    if private is None and ray.is_initialized():
        yield
        return
    with _joined_cluster(address) if address is not None else (private or PrivateRay()).running(logs):
        yield


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
    logging.getLogger("ray").setLevel(logging.ERROR)
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
