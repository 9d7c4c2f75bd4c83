"""What travels to the cluster: the experiment file, its local data, this package, and the orders."""

import importlib.resources
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_tune.data.reading import copy_data, data_files
from lstm_tune.remote.orders import SPACE, Orders
from lstm_tune.remote.versions import own_versions, pins
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import Experiment

LIMIT_BYTES = 100 * 2**20
"""What Ray's dashboard takes in one upload (`DASHBOARD_CLIENT_MAX_SIZE` of `ray._private.ray_constants`, a constant);
the archive that it takes is not compressed."""

ROOM_BYTES = 2**20
"""Kept free for the experiment file and the archive's own tables."""

_MIB = 2**20
_STOP = {"RAY_JOB_STOP_SIGNAL": "SIGINT", "RAY_JOB_STOP_WAIT_TIME_S": "60"}
"""How Ray stops the job: as Ctrl-C does, with time to write down what is done."""

_SETUP_S = 1800
"""Seconds that installing the pinned versions may take; Ray's own limit, 600, is short for a PyTorch with CUDA."""


@dataclass(frozen=True)
class Parcel:
    """An experiment that may be packed.

    Attributes:
        space: its file.
        experiment: what it says, with the overrides.
        overrides: `key.path=value` texts.
        has_data: whether its data travels with it; other data is where the nodes find it.
    """

    space: Path
    experiment: Experiment
    overrides: Sequence[str]
    has_data: bool


def weigh(space: Path, experiment: Experiment, overrides: Sequence[str]) -> Parcel:
    """Looks at what would travel, before anything is copied.

    An absolute `data.path` among the overrides names data on the nodes, which is not packed; neither is remote data.

    Raises:
        InputError: the data is not there, or too large to travel.
    """
    where = experiment.data.path
    is_on_nodes = where.startswith("/") and any(text.partition("=")[0].strip() == "data.path" for text in overrides)
    files = [] if is_on_nodes else data_files(where, folder=space.parent)
    size = sum(file.stat().st_size for file in files)
    if size > LIMIT_BYTES - ROOM_BYTES:
        problem = f"holds {size / _MIB:,.0f} MiB, and {LIMIT_BYTES / _MIB:,.0f} MiB can travel with a job"
        advice = "Put it where every node reaches it and name that: --set data.path=s3://..., or a path of a shared"
        raise InputError.at(where, f"{problem}. {advice} folder: --set data.path=/shared/...")
    return Parcel(space, experiment, overrides, has_data=bool(files))


@contextmanager
def packed(parcel: Parcel, *, pip: bool) -> Iterator[dict[str, Any]]:
    """The runtime environment of a job that runs an experiment; its folders are gone at the end.

    Args:
        parcel: the experiment.
        pip: install the versions that are installed here, rather than use what is installed on the nodes.
    """
    with _environment(pip=pip) as (folder, environment):
        shutil.copyfile(parcel.space, folder / SPACE)
        options = _set(parcel.overrides)
        if parcel.has_data:
            data = copy_data(parcel.experiment.data.path, folder=parcel.space.parent, into=folder / "data")
            options += [*_set([f"data.path={json.dumps(data)}"]), "--keep-data"]
        Orders("run", SPACE, options, own_versions()).write(folder)
        yield environment


@contextmanager
def packed_resumption(run: str, overrides: Sequence[str], *, pip: bool) -> Iterator[dict[str, Any]]:
    """The runtime environment of a job that goes on with a run; arguments as in `packed`.

    Args:
        run: the run's directory on the node where the job runs, or its remote address.
        overrides: `key.path=value` texts.
        pip: install the versions that are installed here.
    """
    with _environment(pip=pip) as (folder, environment):
        Orders("resume", run, _set(overrides), own_versions()).write(folder)
        yield environment


@contextmanager
def own_package() -> Iterator[str]:
    """A copy of this package without caches, in a folder that is gone at the end."""
    with (
        tempfile.TemporaryDirectory() as folder,
        importlib.resources.as_file(importlib.resources.files("lstm_tune")) as source,
    ):
        copy = Path(folder) / "lstm_tune"
        shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        yield str(copy)


@contextmanager
def _environment(*, pip: bool) -> Iterator[tuple[Path, dict[str, Any]]]:
    with tempfile.TemporaryDirectory() as folder, own_package() as package:
        environment = {"working_dir": folder, "py_modules": [package], "env_vars": _STOP}
        if pip:
            environment |= {"pip": pins(), "config": {"setup_timeout_seconds": _SETUP_S}}
        yield Path(folder), environment


def _set(overrides: Sequence[str]) -> list[str]:
    return [text for override in overrides for text in ("--set", override)]
