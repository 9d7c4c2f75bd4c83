"""What the trials of a run occupy: measured where that is wanted, kept in its manifest, told as an event."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from lstm_tune.search.choosing import Demand, Measured, Measurements, decide, words
from lstm_tune.search.placement import TYPE, Placement, Slot, live_nodes
from lstm_tune.search.probe import Workload, measure_cluster, measure_together
from lstm_tune.search.session import portions_of
from lstm_tune.spec.events import Event, ResourcesChosen, Warned
from lstm_tune.spec.experiment import Experiment, ResourceSpec
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.spec.paths import RunPaths, write_json
from lstm_tune.tasks.assembly import Prepared, corner


def choose_resources(
    experiment: Experiment, prepared: Prepared, paths: RunPaths
) -> tuple[Placement, tuple[Event, ...]]:
    """Where a run's trials go on the running Ray, and what there is to tell about it.

    What an earlier process of the run chose holds as long as the same is asked for and the cluster offers the same;
    else it is chosen, and measured, anew.

    Raises:
        InputError: no node could hold a trial.
    """
    demand, nodes = demand_of(experiment.resources), live_nodes()
    manifest = json.loads(paths.manifest.read_text(encoding="utf-8"))
    ground = {"asked": as_json(asdict(demand)), "cluster": _profile(nodes, demand)}
    kept = manifest.get("resources")
    if kept and {name: kept[name] for name in ground} == ground:
        chosen = ResourcesChosen(kept["kinds"], kept["measured"], kept["words"])
        return placement_of(chosen), (chosen,)
    measured, problems = measure(experiment, prepared, demand, nodes)
    placement = decide(demand, nodes, measured)
    chosen = described(placement, measured)
    write_json(paths.manifest, {**manifest, "resources": {**ground, **asdict(chosen)}})
    return placement, (chosen, *map(Warned, problems))


def demand_of(resources: ResourceSpec) -> Demand:
    """What an experiment asks for."""
    gpus, is_auto = resources.gpus_per_trial, resources.gpus_per_trial == "auto"
    slot = Slot(
        resources.cpus_per_trial,
        0.0 if gpus == "auto" else float(gpus),
        resources.accelerator_type,
        tuple(sorted(resources.custom.items())),
    )
    return Demand(slot, is_auto, resources.max_concurrent, resources.max_gpus, resources.wait)


def measure(
    experiment: Experiment, prepared: Prepared, demand: Demand, nodes: Sequence[Mapping[str, float]]
) -> tuple[Measurements, list[str]]:
    """Trains the largest network of the space for a moment where trials could go; see `measure_cluster`."""
    largest = corner(prepared.space, largest=True)
    largest["learning_rate"] = corner(prepared.space, largest=False)["learning_rate"]  # a large one may diverge
    hyperparameters = completed(largest, task=experiment.task.kind)
    workload = Workload(prepared.task, hyperparameters, portions_of(experiment.training), seed=experiment.search.seed)
    return measure_cluster(demand, nodes, lambda slots: measure_together(workload, slots))


def described(placement: Placement, measured: Measurements) -> ResourcesChosen:
    """A choice as an event."""
    kinds = [{**asdict(slot), "custom": dict(slot.custom), "trials": count} for slot, count in placement.kinds]
    entries = [_entry("GPU", probe, name, measured.gains.get(name)) for name, probe in measured.gpus.items()]
    entries += [_entry("cores", measured.cpu, None, None)] if measured.cpu else []
    return ResourcesChosen(kinds, entries, words(placement, measured))


def placement_of(chosen: ResourcesChosen) -> Placement:
    """The placement that an event describes."""
    return Placement(
        tuple(
            (
                Slot(kind["cpus"], kind["gpus"], kind["accelerator_type"], tuple(sorted(kind["custom"].items()))),
                kind["trials"],
            )
            for kind in chosen.kinds
        )
    )


def as_json(value: Any) -> Any:
    """A value as it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _entry(on: str, probe: Measured, accelerator_type: str | None, gain: float | None) -> dict[str, Any]:
    return {"on": on, "accelerator_type": accelerator_type, **asdict(probe), "gain": gain}


def _profile(nodes: Sequence[Mapping[str, float]], demand: Demand) -> list[dict[str, float]]:
    """What matters of each node, in an order that does not depend on when it joined."""
    names = {"CPU", "GPU", *dict(demand.slot.custom)}
    kept = [{name: node[name] for name in sorted(node) if name in names or name.startswith(TYPE)} for node in nodes]
    return sorted(kept, key=lambda node: json.dumps(node))
