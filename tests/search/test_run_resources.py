import json
from pathlib import Path

import pytest
from search_setup import new_run

from lstm_tune.search import resources
from lstm_tune.search.choosing import Measured, Measurements
from lstm_tune.search.placement import Slot
from lstm_tune.search.resources import choose_resources, demand_of
from lstm_tune.spec.events import ResourcesChosen, Warned
from lstm_tune.spec.experiment import ResourceSpec

ONE = {"CPU": 8.0, "GPU": 1.0, "memory": 1e9}
MEASURED = Measurements(Measured(5.0), {None: Measured(0.1, 3_000, 16_000, "a GPU 0")}, {None: 1.5})


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A cluster of one node; the list grows by the number of nodes whenever something is measured there."""
    calls: list[int] = []

    def measure(experiment: object, prepared: object, demand: object, nodes: list[object]) -> object:
        calls.append(len(nodes))
        return MEASURED, ["look here"]

    monkeypatch.setattr(resources, "measure", measure)
    monkeypatch.setattr(resources, "live_nodes", lambda: [ONE])
    return calls


def test_choice_is_told_and_kept_in_the_manifest(folder: Path, measured: list[int]) -> None:
    run = new_run(folder, resources={"max_concurrent": None})
    placement, (chosen, warning) = choose_resources(run.experiment, run.prepared, run.paths)
    assert placement.kinds == ((Slot(1, 0.25), 4),)
    assert warning == Warned("look here")
    assert isinstance(chosen, ResourcesChosen)
    kept = json.loads(run.paths.manifest.read_text())
    assert kept["seed"] == 1
    assert kept["resources"]["kinds"] == chosen.kinds
    assert [entry["gain"] for entry in kept["resources"]["measured"]] == [1.5, None]


def test_choice_holds_until_the_cluster_or_the_request_changes(
    folder: Path, measured: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(folder, resources={"max_concurrent": None})
    first, _ = choose_resources(run.experiment, run.prepared, run.paths)
    monkeypatch.setattr(resources, "live_nodes", lambda: [{**ONE, "memory": 2e9}])
    again, (told,) = choose_resources(run.experiment, run.prepared, run.paths)
    assert (again, measured) == (first, [1])
    assert isinstance(told, ResourcesChosen)
    monkeypatch.setattr(resources, "live_nodes", lambda: [ONE, ONE])
    assert choose_resources(run.experiment, run.prepared, run.paths)[0].slots == 8
    other = run.experiment.model_copy(update={"resources": ResourceSpec(max_concurrent=3)})
    assert choose_resources(other, run.prepared, run.paths)[0].slots == 3
    assert measured == [1, 2, 2]


def test_request_is_read_from_the_experiment() -> None:
    spec = ResourceSpec(cpus_per_trial=2, gpus_per_trial=0.5, accelerator_type="T4", custom={"b": 1, "a": 2})
    demand = demand_of(spec)
    assert demand.slot == Slot(2, 0.5, "T4", (("a", 2), ("b", 1)))
    assert not demand.is_auto
    assert demand_of(ResourceSpec()).is_auto
