"""Run by `test_gpu_nodes.py` in a process of its own: Rays with logical GPUs, and what was seen on them, as JSON."""

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "search"))

from search_setup import ends_of, events_of, new_run

from lstm_tune.search import pool, resources  # imported before ray, whose settings it makes
from lstm_tune.search.choosing import Demand, Measured, Measurements, decide
from lstm_tune.search.placement import Placement, Slot, live_nodes
from lstm_tune.search.probe import Workload
from lstm_tune.search.worker import Report, TrialWorker

import ray  # isort: skip
from ray.cluster_utils import Cluster  # isort: skip
from ray.util.placement_group import placement_group  # isort: skip
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy  # isort: skip

SEEN = "LSTM_TUNE_TEST_SEEN"


def note(began: float, **facts: Any) -> None:
    """Writes down where this process was from `began` until now."""
    context = ray.get_runtime_context()
    gpus = context.get_accelerator_ids()["GPU"]
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    line = {"node": context.get_node_id(), "gpus": gpus, "visible": visible, "pid": os.getpid(), **facts}
    with open(os.environ[SEEN], "a") as file:
        file.write(json.dumps({**line, "began": began, "ended": time.monotonic()}) + "\n")


class Noting(TrialWorker):
    """A trial that writes down on which GPU it was and when."""

    def step(self) -> Report:
        began = time.monotonic()
        report = super().step()
        note(began, device=str(self._device))
        return report


def measure(workload: Workload, slots: Sequence[Slot]) -> list[Measured]:
    """A probe of GPUs with room for two, which do not slow each other, and of cores that are slow."""
    return [Measured(0.1, 5_000, 16_000, "here") if slot.gpus else Measured(10.0) for slot in slots]


def run(folder: Path) -> dict[str, Any]:
    """A whole run on a node with two GPUs."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 2, "resources": {"accelerator_type:T4": 1}}
    )
    ray.init(address=cluster.address, log_to_driver=False)
    resources.measure_together, pool.TrialWorker = measure, Noting
    long = {"max_epochs": 400, "patience_epochs": 400}  # a worker that is up early must not take every trial
    search = {"trials": 6, "scheduler": "none"}
    made = new_run(folder, search=search, training=long, resources={"max_concurrent": None})
    outcome = made.go()
    manifest = json.loads(made.paths.manifest.read_text())["resources"]
    states = [end.state for end in ends_of(events_of(made))]
    ray.shutdown()
    cluster.shutdown()
    return {"states": states, "resources": manifest, "model": outcome.bundle is not None}


def place(folder: Path) -> dict[str, Any]:
    """Short tasks in as many slots as there are, on nodes of several kinds."""
    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 4, "num_gpus": 2, "resources": {"accelerator_type:A100": 1}}
    )
    cluster.add_node(num_cpus=4, num_gpus=1, resources={"accelerator_type:T4": 1, "license": 2})
    ray.init(address=cluster.address, log_to_driver=False)
    cluster.wait_for_nodes()
    types = {name: node["NodeID"] for node in ray.nodes() for name in node["Resources"] if name.startswith("acc")}
    gpus = {"A100": Measured(0.1, 6_000, 16_000), "T4": Measured(0.1, 4_000, 16_000)}
    measured, auto = Measurements(Measured(10.0), gpus), Slot(1, 0)
    choices = {
        "by type": decide(Demand(auto, is_auto=True), live_nodes(), measured),
        "limited": decide(Demand(Slot(1, 0.25), is_auto=False, max_gpus=0.5), live_nodes(), measured),
        "licensed": decide(Demand(Slot(1, 0, custom=(("license", 1.0),)), is_auto=False), live_nodes(), measured),
    }
    found = {"types": types, "choices": {name: _occupy(name, choice) for name, choice in choices.items()}}
    ray.shutdown()
    cluster.shutdown()
    return found


def _occupy(name: str, placement: Placement) -> list[dict[str, Any]]:
    """Fills every slot as Tune does, with a placement group for each, and twice over by plain tasks."""
    slots = [slot for slot, count in placement.kinds for _ in range(count)]

    def work(slot: str) -> None:
        began = time.monotonic()
        time.sleep(0.3)
        note(began, choice=name, slot=slot)

    groups = [placement_group([slot.request]) for slot in slots]
    ray.get([group.ready() for group in groups])
    options = [{**slot.options, "accelerator_type": None} for slot in slots]
    tasks = [
        ray.remote(**{key: value for key, value in wanted.items() if value is not None})(work).options(
            scheduling_strategy=PlacementGroupSchedulingStrategy(group)
        )
        for group, wanted in zip(groups, options, strict=True)
    ]
    ray.get([task.remote(f"{slot.accelerator_type} {slot.gpus}") for task, slot in zip(tasks, slots, strict=True)])
    for group in groups:
        ray.util.remove_placement_group(group)
    ray.get([ray.remote(**slot.options)(work).remote(f"{slot.accelerator_type} {slot.gpus}") for slot in slots * 2])
    return [{"gpus": slot.gpus, "type": slot.accelerator_type, "trials": count} for slot, count in placement.kinds]


if __name__ == "__main__":
    folder = Path(sys.argv[2])
    os.environ[SEEN] = str(folder / "seen")
    answer = {"run": run, "place": place}[sys.argv[1]](folder)
    (folder / "answer.json").write_text(json.dumps(answer))
