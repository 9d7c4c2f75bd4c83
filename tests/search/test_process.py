"""What a run decides before its search."""

from pathlib import Path
from typing import Any

import pytest
import ray
from search_setup import new_run

from lstm_tune.search import process
from lstm_tune.search.placement import Placement, Slot
from lstm_tune.search.process import RACERS, begins_here, is_light, racers
from lstm_tune.search.recorder import Recorder
from lstm_tune.search.schedulers import build_schedule
from lstm_tune.search.session import Session
from lstm_tune.spec.hyperparameters import completed

pytestmark = pytest.mark.usefixtures("shared_ray")
CORES = Placement(((Slot(1, 0), 2),))


def session(folder: Path, **sections: dict[str, Any]) -> Session:
    folder.mkdir(exist_ok=True)
    run = new_run(folder, **sections)
    with Recorder(run.paths, []) as record:
        return Session(run.experiment, run.prepared, run.paths, record)


def test_work_is_light_that_multiplies_little_in_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = session(tmp_path, training={"batch_size": 8, "steps_per_epoch": 5})
    for window in (6, 12):
        values = {"units": 4, "window": window}
        weights = found.task.parameters(completed(values, task="forecast"))
        monkeypatch.setattr(process, "LIGHT", 2 * 8 * 5 * window * weights)  # folds, batch, steps
        assert is_light(found, values)
        assert not is_light(found, {**values, "window": window + 1})
        assert not is_light(found, {**values, "units": 5})


def test_steps_of_an_epoch_are_counted_where_they_follow_from_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = session(tmp_path, training={"batch_size": 8})
    assert found.portions.steps(60) == 8  # of the 60 rows
    weights = found.task.parameters(completed({"window": 6}, task="forecast"))
    monkeypatch.setattr(process, "LIGHT", 2 * 8 * 8 * 6 * weights)
    assert is_light(found, {"window": 6})
    monkeypatch.setattr(process, "LIGHT", process.LIGHT - 1)
    assert not is_light(found, {"window": 6})


def test_work_on_a_gpu_or_on_other_machines_is_left_to_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_for_here(placement: Placement) -> bool:
        return begins_here(found, placement)({"units": 4, "window": 6})

    found = session(tmp_path)
    assert is_for_here(CORES)
    assert not is_for_here(Placement(((Slot(1, 0.5), 2),)))
    nodes = ray.nodes()
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": True, "NodeManagerAddress": "10.0.0.7"}])
    assert not is_for_here(CORES)
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "NodeManagerAddress": "10.0.0.7"}])
    assert is_for_here(CORES)


def test_examples_are_counted_at_the_window_that_the_file_fixes(tmp_path: Path) -> None:
    counts = [
        session(tmp_path, space={"units": {"low": 4, "high": 8}, "window": window}).examples for window in (6, 12)
    ]
    assert counts[0] - counts[1] == 6


@pytest.mark.parametrize(
    ("steps_per_epoch", "scheduler", "count"), [(5, "asha", RACERS), (50, "asha", 0), (5, "none", 0)]
)
def test_trials_take_turns_where_an_epoch_sees_some_of_the_examples_and_trials_are_stopped(
    tmp_path: Path, steps_per_epoch: int, scheduler: str, count: int
) -> None:
    found = session(tmp_path, training={"batch_size": 8, "steps_per_epoch": steps_per_epoch})
    schedule = build_schedule(scheduler, max_epochs=27, space=found.prepared.space, seed=0)
    assert racers(found, schedule) == count
