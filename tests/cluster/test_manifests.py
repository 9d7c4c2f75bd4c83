"""The Kubernetes manifests use fields that KubeRay and Kubernetes know, ask for what they limit, and open nothing.

The tables are the fields that the manifests use, written by hand from KubeRay v1.7.0
(`ray-operator/config/crd/bases/ray.io_rayclusters.yaml` and `ray.io_rayjobs.yaml`, v1) and Kubernetes' core API.
"""

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from lstm_tune.spec.loading import parse_experiment

FOLDER = Path(__file__).parents[2] / "cluster" / "kuberay"
RESOURCES = {"limits": dict, "requests": dict}
POD = {
    "nodeSelector": dict,
    "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "fsGroup": int},
    "tolerations": [{"key": str, "operator": str, "effect": str}],
    "volumes": [{"name": str, "persistentVolumeClaim": {"claimName": str}, "configMap": {"name": str}}],
    "containers": [
        {
            "name": str,
            "image": str,
            "env": [{"name": str, "value": str}],
            "resources": RESOURCES,
            "securityContext": {"allowPrivilegeEscalation": bool, "capabilities": {"drop": [str]}},
            "volumeMounts": [{"name": str, "mountPath": str, "readOnly": bool}],
        }
    ],
}
CLUSTER = {
    "rayVersion": str,
    "authOptions": {"mode": str},
    "enableInTreeAutoscaling": bool,
    "autoscalerOptions": {"version": str, "idleTimeoutSeconds": int, "resources": RESOURCES},
    "headGroupSpec": {"serviceType": str, "rayStartParams": dict, "template": {"spec": POD}},
    "workerGroupSpecs": [
        {
            "groupName": str,
            "replicas": int,
            "minReplicas": int,
            "maxReplicas": int,
            "rayStartParams": dict,
            "template": {"spec": POD},
        }
    ],
}
JOB = {
    "entrypoint": str,
    "shutdownAfterJobFinishes": bool,
    "ttlSecondsAfterFinished": int,
    "backoffLimit": int,
    "rayClusterSpec": CLUSTER,
}
CLAIM = {"accessModes": [str], "storageClassName": str, "resources": {"requests": dict}}
SPECS = {"raycluster.yaml": CLUSTER, "rayjob.yaml": JOB, "storage.yaml": CLAIM}


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text(encoding="utf-8"))
    return document


def faults(value: object, allowed: Any, where: str) -> list[str]:
    """What in a value is not as the table allows."""
    if isinstance(allowed, type):
        return [] if type(value) is allowed else [f"{where} must be {allowed.__name__}, found {value!r}"]
    if isinstance(allowed, list):
        if not isinstance(value, list):
            return [f"{where} must be a list"]
        return [fault for i, one in enumerate(value) for fault in faults(one, allowed[0], f"{where}[{i}]")]
    if not isinstance(value, dict):
        return [f"{where} must be a mapping"]
    unknown = [f"{where}.{key} is unknown" for key in value.keys() - allowed.keys()]
    known = value.keys() & allowed.keys()
    return unknown + [fault for key in known for fault in faults(value[key], allowed[key], f"{where}.{key}")]


def cluster(name: str) -> dict[str, Any]:
    spec: dict[str, Any] = read(name)["spec"]
    return spec.get("rayClusterSpec", spec)


def pods(name: str) -> list[dict[str, Any]]:
    spec = cluster(name)
    return [group["template"]["spec"] for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]]


clusters = pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])


@pytest.mark.parametrize("name", SPECS)
def test_every_field_is_known(name: str) -> None:
    assert faults(read(name)["spec"], SPECS[name], "spec") == []


def test_an_unknown_field_is_found() -> None:
    assert faults({"workerGroupSpec": []}, CLUSTER, "spec") == ["spec.workerGroupSpec is unknown"]


@pytest.mark.parametrize(
    ("name", "kind"), [("raycluster.yaml", "RayCluster"), ("rayjob.yaml", "RayJob"), ("storage.yaml", None)]
)
def test_the_kind_is_named(name: str, kind: str | None) -> None:
    document = read(name)
    expected = ("ray.io/v1", kind) if kind else ("v1", "PersistentVolumeClaim")
    assert (document["apiVersion"], document["kind"]) == expected


@clusters
def test_a_token_is_asked_for(name: str) -> None:
    assert cluster(name)["authOptions"] == {"mode": "token"}


@clusters
def test_nothing_is_opened(name: str) -> None:
    assert cluster(name)["headGroupSpec"]["serviceType"] == "ClusterIP"
    for pod in pods(name):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["containers"][0]["securityContext"]["allowPrivilegeEscalation"]


@clusters
def test_workers_start_from_none_and_what_is_asked_for_is_the_limit(name: str) -> None:
    spec = cluster(name)
    assert [group["minReplicas"] for group in spec["workerGroupSpecs"]] == [0, 0]
    for pod in pods(name):
        resources = pod["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"]


@clusters
def test_gpus_are_asked_for_by_the_gpu_group_alone(name: str) -> None:
    gpus = [pod["containers"][0]["resources"]["limits"].get("nvidia.com/gpu") for pod in pods(name)]
    assert gpus == [None, None, "1"]


@clusters
def test_every_mounted_volume_exists_and_the_runs_are_kept(name: str) -> None:
    for pod in pods(name):
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"] if volume["name"] == "runs"]
        assert claims == [{"claimName": read("storage.yaml")["metadata"]["name"]}]


def test_the_job_joins_its_cluster_waits_for_workers_and_writes_where_it_is_kept() -> None:
    command, verb, _, *options = shlex.split(read("rayjob.yaml")["spec"]["entrypoint"])
    assert (command, verb, options[:2]) == ("lstm-tune", "run", ["--address", "auto"])
    raw = {"name": "a", "task": {"kind": "forecast", "horizon": 3}, "data": {"path": "a.csv", "target": "y"}}
    experiment = parse_experiment(raw, overrides=options[3::2])
    assert experiment.resources.wait
    assert experiment.output.directory == "/runs"
