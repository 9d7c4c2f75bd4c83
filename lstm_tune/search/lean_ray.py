"""A private Ray with as little around its workers as trials need.

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

SETTINGS = {"RAY_enable_pipe_based_agent_to_parent_health_check": "1"}
"""Environment in which the raylet holds its agents' input."""


@contextmanager
def lean_start() -> Iterator[None]:
    """Leaves out what trials do not need of the Ray that is started within."""
    with ExitStack() as stack:
        if ray.__version__.startswith(RELEASES):
            for name in SERVERS:
                stack.enter_context(_replaced(Node, name, lambda original: _nothing))
            # Ray would import the dashboard's libraries only to tell the agent whether they are there
            stack.enter_context(_replaced(utils, "get_dashboard_dependency_error", lambda original: ImportError))
            stack.enter_context(_replaced(services, "start_ray_process", _with_stand_in))
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


def _with_stand_in(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start_ray_process` that gives the raylet the stand-in, and writes down that it serves no ports."""

    def replacement(command: list[str], process_type: str, *args: Any, **options: Any) -> Any:
        if process_type == ray_constants.PROCESS_TYPE_RAYLET:
            given = dict(part.split("=", 1) for part in command if "=" in part)
            for port in AGENT_PORTS:
                persist_port(given["--session_dir"], given["--node_id"], port, -1)
            command = [f"{AGENT}={STAND_IN}" if part.startswith(AGENT) else part for part in command]
        return start(command, process_type, *args, **options)

    return replacement


def _awaited(start: Callable[..., Any]) -> Callable[..., Any]:
    """`start_raylet` that waits until the node is known, which Ray itself looks for once a second."""

    def replacement(node: Any, *args: Any, **options: Any) -> None:
        start(node, *args, **options)
        services.wait_for_node(node.gcs_address, node.plasma_store_socket_name)

    return replacement
