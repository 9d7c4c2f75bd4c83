"""A private Ray with as little around its workers as trials need, and with its workers started first.

`ray.init` also starts, and waits for, a dashboard server, an agent of it, an autoscaler, and what copies the output of
workers to the driver, even when told not to: four seconds at the start, one at the end. They have no public switch, so
parts of Ray are replaced while it starts.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import ray
from ray._private import ray_constants, services, utils
from ray._private.node import Node
from ray._raylet import persist_port  # type: ignore[attr-defined]  # compiled

RELEASES = ("2.60.",)
"""Where this was seen to work; any other Ray starts as it does, only slower."""

SERVERS = ("start_api_server", "start_monitor", "start_log_monitor")
"""Methods of a node that start the dashboard, the autoscaler, and the copying of output."""

AGENT = "--dashboard_agent_command"
"""The raylet's option: its dashboard agent, without which it ends. The other one, which makes environments, stays: Ray
Tune asks it for one."""

AGENT_PORTS = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
"""What the raylet waits for the agent to write down; -1 says that there is none, as in a Ray without dashboard."""

STAND_IN = subprocess.list2cmdline([sys.executable, "-S", "-c", "import sys; sys.stdin.read()"])
"""An agent that does nothing until the raylet, which holds the other end of its input, is gone."""

AHEAD = "--num_prestart_python_workers"
"""The raylet's option: workers that it starts before anybody asks for them."""

SETTINGS = {
    "RAY_enable_pipe_based_agent_to_parent_health_check": "1",  # the raylet holds its agents' input
    "RAY_enable_worker_prestart": "1",  # workers start with the raylet, not a second later with the driver
    "RAY_prestart_worker_first_driver": "0",
    "RAY_raylet_client_connect_timeout_milliseconds": "20",  # it waits for its own object store a second at a time
    "RAY_raylet_client_num_connect_attempts": "500",
}
"""Environment in which the raylet starts."""


@contextmanager
def lean_start() -> Iterator[None]:
    """Leaves out what trials do not need of the Ray that is started within."""
    with ExitStack() as stack:
        if ray.__version__.startswith(RELEASES):
            for name in SERVERS:
                stack.enter_context(_replaced(Node, name, lambda original: _nothing))
            # Ray would import the dashboard's libraries only to tell the agent whether they are there
            stack.enter_context(_replaced(utils, "get_dashboard_dependency_error", lambda original: ImportError))
            stack.enter_context(_replaced(services, "start_ray_process", _leaner))
            stack.enter_context(_replaced(Node, "start_raylet", _awaited))
        yield


@contextmanager
def _replaced(owner: Any, name: str, replace: Callable[[Any], Any]) -> Iterator[None]:
    original = getattr(owner, name)
    setattr(owner, name, replace(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


def _nothing(*args: Any, **options: Any) -> None:
    """In place of a server's start."""


def _leaner(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start_ray_process` that gives the raylet the stand-in and writes down that it serves no ports.

    One worker fewer is started at once than there are cores: the driver imports at the same time, and of two workers
    on one core none would be ready for the first trial when the first of one is.
    """

    def replacement(command: list[str], process_type: str, *args: Any, **options: Any) -> Any:
        if process_type == ray_constants.PROCESS_TYPE_RAYLET:
            given = dict(part.split("=", 1) for part in command if "=" in part)
            for port in AGENT_PORTS:
                persist_port(given["--session_dir"], given["--node_id"], port, -1)
            ours = {AGENT: STAND_IN, AHEAD: max(int(given[AHEAD]) - 1, 1)}
            command = [part for part in command if part.partition("=")[0] not in ours]
            command += [f"{option}={value}" for option, value in ours.items()]
        return start(command, process_type, *args, **options)

    return replacement


def _awaited(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start_raylet` that waits until the node is known, which Ray itself looks for once a second."""

    def replacement(node: Any, *args: Any, **options: Any) -> None:
        start(node, *args, **options)
        services.wait_for_node(node.gcs_address, node.plasma_store_socket_name)

    return replacement
