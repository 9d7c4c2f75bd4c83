"""What the nodes of a cluster share: where they keep states of trials that another node may read."""

import shutil
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from lstm_tune.search.placement import alive_nodes
from lstm_tune.search.storage import RemoteFolder
from lstm_tune.spec.errors import InputError, StorageError
from lstm_tune.spec.paths import RunPaths


def shared_place(paths: RunPaths, remote: str | None, *, is_needed: bool) -> str | None:
    """The run's folder where all nodes of the running Ray see it, else the address of its copy.

    Args:
        paths: the run's files.
        remote: the address of the run's copy, or None.
        is_needed: whether the search cannot do without such a place.

    Returns:
        None where there is none.

    Raises:
        InputError: there is none, and one is needed.
    """
    blind = blind_nodes(paths.root)
    if not blind:
        return str(paths.root)
    if remote is None and is_needed:
        found = f"'{paths.root}' is not seen on {', '.join(sorted(blind))}"
        problem = f"must lie where all nodes see it, as this scheduler copies trials between them, but {found}"
        advice = "Name a shared folder, or an address such as s3://bucket/runs, or set search.scheduler to asha"
        raise InputError.at("output.directory", f"{problem}. {advice}")
    return remote


def remove_scratch(paths: RunPaths, remote: str | None) -> None:
    """Removes what Tune wrote, here and at the remote address."""
    shutil.rmtree(paths.scratch, ignore_errors=True)
    if remote is not None:
        with suppress(StorageError):
            RemoteFolder.open(remote).delete_folder(paths.scratch.name)


def blind_nodes(folder: Path) -> list[str]:
    """The nodes of the running Ray that do not see a folder of this machine, by name and address.

    A node that ends before it has answered is no longer one of them.
    """
    here = ray.get_runtime_context().get_node_id()
    others = [node for node in alive_nodes() if node["NodeID"] != here]
    marker = folder / f".marker-{uuid.uuid4().hex}"
    marker.touch()
    try:
        looks = [_answer(look) for look in [_look(node, marker) for node in others]]
    finally:
        marker.unlink()
    names = (f"{node['NodeManagerHostname']} ({node['NodeManagerAddress']})" for node in others)
    return [name for name, sees in zip(names, looks, strict=True) if not sees]


def _look(node: dict[str, Any], file: Path) -> Any:
    """Has a node find out whether it sees a file."""
    there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    return ray.remote(num_cpus=0, scheduling_strategy=there)(Path.exists).remote(file)


def _answer(look: Any) -> bool:
    """Whether a node sees the file; one that is lost has nothing to see."""
    try:
        return bool(ray.get(look))
    except ray.exceptions.RayError:
        return True
