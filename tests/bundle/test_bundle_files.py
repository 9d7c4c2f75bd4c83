import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small_models import KIND, PRICE, small_bundle

from lstm_tune.bundle.files import FORMAT, Bundle, read_bundle, write_bundle
from lstm_tune.data.panel import Columns
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.spec.errors import BundleError

COLUMNS = Columns(targets=("y", "z"), time="day", series=("id",), known=("price",), static=("kind",))


def sample() -> Bundle:
    features = {"known": [PRICE], "static": [KIND]}
    return small_bundle(COLUMNS, quantiles=(0.1, 0.5, 0.9), features=features, members=2)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(sample(), tmp_path / "best")
    return tmp_path / "best"


def test_bundle_read_back_forecasts_the_same(folder: Path) -> None:
    target, known = torch.rand(3, 4, 2), torch.rand(3, 6, 1)
    inputs = (target, torch.zeros(3, 4, 0), known, torch.tensor([[0.0], [1.0], [-1.0]]))
    assert torch.equal(read_bundle(folder).network(*inputs), sample().network(*inputs))


def test_bundle_read_back_says_the_same(folder: Path) -> None:
    found, expected = read_bundle(folder), sample()
    assert (found.name, found.design, found.preprocessing) == (expected.name, expected.design, expected.preprocessing)
    assert found.members == expected.members
    assert found.network.weights == expected.network.weights
    assert found.facts == {"test_score": 0.5}


def test_members_of_other_hyperparameters_keep_them_and_their_weights(tmp_path: Path) -> None:
    short, long = small_bundle(Columns(("y",))), small_bundle(Columns(("y",)), seed=1, window=7, log_transform=True)
    network = Ensemble([short.network.members[0], long.network.members[0]], (0.75, 0.25)).eval()
    members = (*short.members, replace(long.members[0], trial=8))
    write_bundle(replace(short, network=network, members=members), tmp_path / "best")
    found, target, nothing = read_bundle(tmp_path / "best"), torch.rand(3, 7, 1) + 1, torch.zeros(3, 9, 0)
    assert found.members == members
    assert (found.network.context, found.network.weights) == (7, (0.75, 0.25))
    expected = 0.75 * short.network(target[:, -4:], nothing[:, :4], nothing[:, :6], nothing[:, 0])
    expected += 0.25 * long.network(target, nothing[:, :7], nothing, nothing[:, 0])
    torch.testing.assert_close(found.network(target, nothing[:, :7], nothing, nothing[:, 0]), expected)


def test_bundle_is_three_files_and_nothing_else_is_left(folder: Path) -> None:
    names = {path.name for path in folder.iterdir()}
    assert names == {"manifest.json", "preprocessing.json", "weights.safetensors"}
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def test_bundle_is_found_in_the_folder_of_its_run(folder: Path) -> None:
    (folder.parent / "manifest.json").write_text("{}")
    assert read_bundle(folder.parent).name == "small"


def test_older_bundle_is_replaced_whole(folder: Path) -> None:
    (folder / "older.txt").touch()
    write_bundle(small_bundle(Columns(targets=("y",))), folder)
    assert read_bundle(folder).design.targets == 1
    assert not (folder / "older.txt").exists()


def test_failed_write_leaves_the_older_bundle(folder: Path) -> None:
    unwritable = replace(sample(), facts={"score": object()})
    with pytest.raises(TypeError, match="not JSON serializable"):
        write_bundle(unwritable, folder)
    assert read_bundle(folder).name == "small"
    assert [path.name for path in folder.parent.iterdir()] == ["best"]


def truncate(folder: Path) -> None:
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def cut_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:50])


def change(name: str, **values: object) -> Callable[[Path], None]:
    """A function that overwrites some keys of a JSON file."""

    def damage(folder: Path) -> None:
        raw = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(raw | values))

    return damage


Members = list[dict[str, Any]]
UNITS = dict(sample().members[0].hyperparameters) | {"units": 5}


def change_members(edit: Callable[[Members], Members]) -> Callable[[Path], None]:
    """A function that edits the members of a manifest."""

    def damage(folder: Path) -> None:
        raw = json.loads((folder / "manifest.json").read_text())
        change("manifest.json", members=edit(raw["members"]))(folder)

    return damage


def with_hyperparameters(values: dict[str, Any]) -> Callable[[Members], Members]:
    """A function that gives all members these hyperparameters."""
    return lambda members: [{**member, "hyperparameters": values} for member in members]


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated weights": (truncate, "is a damaged bundle"),
    "missing manifest": (lambda folder: (folder / "manifest.json").unlink(), r"holds no bundle \(manifest.json is mis"),
    "missing weights": (lambda folder: (folder / "weights.safetensors").unlink(), "holds no bundle"),
    "missing preprocessing": (lambda folder: (folder / "preprocessing.json").unlink(), "preprocessing.json is missing"),
    "cut manifest": (cut_manifest, "manifest.json: cannot be read"),
    "manifest that is a list": (lambda folder: (folder / "manifest.json").write_text("[]"), "must hold a JSON object"),
    "newer format": (change("manifest.json", format=FORMAT + 1), "of format 2; this release reads format 1"),
    "no format": (change("manifest.json", format=None), "of format None"),
    "one member too many": (change_members(lambda members: members * 2), "is a damaged bundle"),
    "one member too few": (change_members(lambda members: members[:1]), "more networks than the 1"),
    "no members": (change("manifest.json", members=None), "is a damaged bundle"),
    "no design": (change("manifest.json", design=None), "is a damaged bundle"),
    "no hyperparameters": (change_members(with_hyperparameters({})), "is a damaged bundle"),
    "other units": (change_members(with_hyperparameters(UNITS)), "is a damaged bundle"),
    "no weight": (change_members(lambda members: [{**members[0], "weight": None}] * 2), "is a damaged bundle"),
    "columns that are a list": (change("preprocessing.json", columns=[]), "is a damaged bundle"),
    "unknown column role": (change("preprocessing.json", columns={"future": []}), "is a damaged bundle"),
}


@pytest.mark.parametrize("kind", list(DAMAGES))
def test_damaged_bundle_is_a_bundle_error(kind: str, folder: Path) -> None:
    damage, message = DAMAGES[kind]
    damage(folder)
    with pytest.raises(BundleError, match=message):
        read_bundle(folder)


def test_folder_that_does_not_exist_is_a_bundle_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"nowhere: does not exist\. Name a bundle, or the run"):
        read_bundle(tmp_path / "nowhere")
