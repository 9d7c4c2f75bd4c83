"""What a run decides before its search."""

from pathlib import Path
from typing import Any

import pytest
import ray
from search_setup import new_run

from lstm_tune.search import process
from lstm_tune.search.placement import Placement, Slot
from lstm_tune.search.process import begins_here
from lstm_tune.search.recorder import Recorder
from lstm_tune.search.session import Session

pytestmark = pytest.mark.usefixtures("shared_ray")
CORES = Placement(((Slot(1, 0), 2),))


def session(folder: Path, **sections: dict[str, Any]) -> Session:
    folder.mkdir(exist_ok=True)
    run = new_run(folder, **sections)
    with Recorder(run.paths, []) as record:
        return Session(run.experiment, run.prepared, run.paths, record)


def test_light_work_begins_in_the_process_that_searches(tmp_path: Path) -> None:
    assert begins_here(session(tmp_path), CORES)


def test_heavy_work_is_left_to_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not begins_here(session(tmp_path / "a", training={"steps_per_epoch": 10_000}), CORES)
    monkeypatch.setattr(process, "LIGHT", 2 * 60 * 6 - 1)  # folds, rows, window
    assert not begins_here(session(tmp_path / "b"), CORES)


def test_work_on_a_gpu_or_on_other_machines_is_left_to_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = session(tmp_path)
    assert not begins_here(found, Placement(((Slot(1, 0.5), 2),)))
    nodes = ray.nodes()
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": True, "NodeManagerAddress": "10.0.0.7"}])
    assert not begins_here(found, CORES)
    monkeypatch.setattr(ray, "nodes", lambda: [*nodes, {"Alive": False, "NodeManagerAddress": "10.0.0.7"}])
    assert begins_here(found, CORES)
