"""Nodes that do not share a disk: one of them has a file system of its own where the run's folder is."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from local_clusters import LocalCluster, local_cluster, needs_cluster

pytestmark = needs_cluster

ASK = """
import json, sys, time
from pathlib import Path
from lstm_tune.search.cluster import running_ray
from lstm_tune.search.sharing import blind_nodes, shared_place
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import RunPaths
import ray

hidden, seen = RunPaths(Path(sys.argv[2])), RunPaths(Path(sys.argv[3]))
with running_ray(Path(), sys.argv[1]):
    while len([node for node in ray.nodes() if node["Alive"]]) < 2:
        time.sleep(0.2)
    try:
        shared_place(hidden, None, is_needed=True)
    except InputError as error:
        refusal = str(error)
    told = {
        "seen": shared_place(seen, None, is_needed=True),
        "hidden": shared_place(hidden, None, is_needed=False),
        "remote": shared_place(hidden, "s3://bucket/runs/air", is_needed=True),
        "refusal": refusal,
        "left": [path.name for path in (*hidden.root.iterdir(), *seen.root.iterdir())],
    }
print(json.dumps(told))
"""


@contextmanager
def blind_node(cluster: LocalCluster, folder: Path) -> Iterator[None]:
    """A second node, in whose eyes a folder is another file system."""
    ray = (
        f"ray start --block --node-ip-address=127.0.0.3 --address={cluster.address} --num-cpus=1 --disable-usage-stats"
    )
    command = ["unshare", "--mount", "sh", "-c", f"mount -t tmpfs tmpfs {folder} && exec {ray}"]
    node = subprocess.Popen(
        command, env=cluster.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        os.killpg(node.pid, signal.SIGTERM)
        node.wait(timeout=60)


def ask(cluster: LocalCluster, *folders: Path) -> dict[str, Any]:
    command = [sys.executable, "-c", ASK, cluster.address, *map(str, folders)]
    ended = subprocess.run(command, env=cluster.environment, capture_output=True, text=True, check=False, timeout=300)
    assert ended.returncode == 0, ended.stderr
    told: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return told


def test_folder_that_a_node_does_not_see_is_found_out(tmp_path: Path) -> None:
    may = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    if may.returncode:
        pytest.skip(f"a process may have no file systems of its own here: {may.stderr.strip()}")
    hidden, seen = tmp_path / "hidden", tmp_path / "seen"
    hidden.mkdir()
    seen.mkdir()
    with local_cluster(1) as cluster, blind_node(cluster, hidden):
        told = ask(cluster, hidden, seen)
    assert (told["seen"], told["hidden"]) == (str(seen), None)
    assert told["remote"] == "s3://bucket/runs/air"
    assert told["refusal"].startswith("output.directory: must lie where all nodes see it, as this scheduler copies")
    assert f"'{hidden}' is not seen on " in told["refusal"]
    assert "(127.0.0.3). Name a shared folder, or an address such as s3://bucket/runs" in told["refusal"]
    assert told["left"] == []
