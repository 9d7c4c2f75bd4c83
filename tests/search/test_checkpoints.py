from pathlib import Path

import pytest
import torch

from lstm_tune.search.checkpoints import Checkpoint, CheckpointStore, DamagedError

STATE = Checkpoint({"0.network.weight": torch.arange(6.0), "epoch": torch.tensor(3)}, {"seconds": 61.5})


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(str(tmp_path / "checkpoints"))


def test_checkpoint_comes_back_as_it_was_kept(store: CheckpointStore) -> None:
    store.keep(7, STATE)
    found = store.find(7)
    assert found is not None
    assert found.facts == STATE.facts
    assert found.tensors.keys() == STATE.tensors.keys()
    assert all(torch.equal(found.tensors[name], STATE.tensors[name]) for name in STATE.tensors)


def test_later_checkpoint_replaces_the_one_before_and_leaves_nothing_else(
    store: CheckpointStore, tmp_path: Path
) -> None:
    store.keep(7, STATE)
    store.keep(7, Checkpoint(STATE.tensors, {"seconds": 130.0}))
    found = store.find(7)
    assert found is not None
    assert found.facts == {"seconds": 130.0}
    assert [file.name for file in (tmp_path / "checkpoints").iterdir()] == ["trial-00007"]


def test_trial_without_a_checkpoint_has_none_and_removing_it_does_no_harm(store: CheckpointStore) -> None:
    assert store.find(7) is None
    store.remove(7)
    store.keep(7, STATE)
    store.remove(7)
    assert store.find(7) is None


@pytest.mark.parametrize("kept", [0, 10, 40, -1])
def test_cut_checkpoint_is_noticed(kept: int, store: CheckpointStore, tmp_path: Path) -> None:
    store.keep(7, STATE)
    file = tmp_path / "checkpoints" / "trial-00007"
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(DamagedError, match=r"a checkpoint of [\d,]+ bytes does not agree with its checksum"):
        store.find(7)


def test_changed_checkpoint_is_noticed(store: CheckpointStore, tmp_path: Path) -> None:
    store.keep(7, STATE)
    file = tmp_path / "checkpoints" / "trial-00007"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(DamagedError):
        store.find(7)
