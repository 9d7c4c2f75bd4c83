"""The files for `ray up` are valid for the installed Ray and open nothing to the world."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[2]
FILES = ["on-prem.yaml", "aws.yaml", "gcp.yaml"]
files = pytest.mark.parametrize("name", FILES)
clouds = pytest.mark.parametrize("name", ["aws.yaml", "gcp.yaml"])


def read(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / "cluster" / name).read_text(encoding="utf-8"))
    return config


def starts(config: dict[str, Any]) -> list[str]:
    commands = [*config["head_start_ray_commands"], *config["worker_start_ray_commands"]]
    return [command for command in commands if "ray start" in command]


@files
def test_ray_accepts_the_file(name: str) -> None:
    validate_config(prepare_config(read(name)))


def test_ray_would_refuse_a_misspelt_key() -> None:
    with pytest.raises(jsonschema.ValidationError, match="max_worker"):
        validate_config(prepare_config({**read("aws.yaml"), "max_worker": 3}))


@files
def test_every_node_shares_the_token(name: str) -> None:
    config = read(name)
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert len(starts(config)) == 2
    assert all("RAY_AUTH_MODE=token" in command for command in starts(config))


@files
def test_the_dashboard_answers_on_loopback_alone(name: str) -> None:
    assert "--dashboard-host=127.0.0.1" in starts(read(name))[0]
    assert "0.0.0.0" not in (ROOT / "cluster" / name).read_text(encoding="utf-8")


@files
def test_the_head_takes_no_trials(name: str) -> None:
    assert "--num-cpus=0 --num-gpus=0" in starts(read(name))[0]


@clouds
def test_workers_start_from_none_and_are_spot_machines(name: str) -> None:
    config = read(name)
    workers = {kind: node for kind, node in config["available_node_types"].items() if kind != config["head_node_type"]}
    assert workers.keys() == {"cpu-worker", "gpu-worker"}
    assert workers["gpu-worker"]["resources"]["GPU"] == 1
    for node in workers.values():
        assert (node["min_workers"], node["max_workers"]) == (0, 4)
        assert {"InstanceMarketOptions", "scheduling"} & node["node_config"].keys()


def test_aws_is_not_left_to_open_ssh_to_everybody() -> None:
    """Ray makes such a group for every node type that names none."""
    assert all(node["node_config"]["SecurityGroupIds"] for node in read("aws.yaml")["available_node_types"].values())


def test_gcp_is_not_left_to_the_default_network() -> None:
    nodes = read("gcp.yaml")["available_node_types"].values()
    networks = {node["node_config"]["networkInterfaces"][0]["subnetwork"] for node in nodes}
    assert all(network.endswith("/subnetworks/lstm-tune") for network in networks)
