from pathlib import Path

import numpy as np
import pytest

from lstm_tune.selection.losses import Blocks, LossStore
from lstm_tune.spec.paths import RunPaths

BLOCKS = Blocks(np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([10, 8, 12]))


def losses(first: float) -> np.ndarray:
    return np.array([[first, first + 1, first + 2], [2.0, 2.0, 1.0]])


@pytest.fixture
def store(tmp_path: Path) -> LossStore:
    return LossStore(RunPaths(tmp_path), BLOCKS)


def test_losses_are_collected_by_trial(store: LossStore) -> None:
    store.keep(4, losses(0.5))
    store.keep(1, losses(0.1))
    collected = store.collect([4, 1, 7])
    assert collected.trials.tolist() == [1, 4]
    assert collected.sums.tolist() == [[0.1, 1.1, 2.1], [0.5, 1.5, 2.5]]


def test_the_table_replaces_the_parts_and_can_be_added_to(store: LossStore, tmp_path: Path) -> None:
    store.keep(1, losses(0.1))
    store.write_table([1])
    store.keep(2, losses(0.2))
    store.write_table([1, 2])
    assert not (tmp_path / ".out_of_fold").exists()
    assert LossStore(RunPaths(tmp_path), BLOCKS).collect([1, 2]).sums[:, 0].tolist() == [0.1, 0.2]


def test_a_run_without_losses_has_an_empty_table(store: LossStore) -> None:
    store.write_table([])
    assert store.collect([0]).blocks == 3
    assert len(store.collect([0]).trials) == 0
