import json
import sys
import tomllib
from pathlib import Path

import pytest

from lstm_tune.remote import packing
from lstm_tune.remote.orders import Orders
from lstm_tune.remote.packing import own_package, packed, packed_resumption, weigh
from lstm_tune.remote.versions import MODULES, differences, own_versions, pins
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.loading import load_experiment

SPACE = """
name: sales
task: {kind: forecast, horizon: 3}
data: {path: "data/*.csv", target: y}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.csv").write_text("y\n1\n")
    (tmp_path / "data" / "b.csv").write_text("y\n2\n")
    (tmp_path / "space.yaml").write_text(SPACE)
    return tmp_path / "space.yaml"


def test_file_and_data_travel_with_orders_that_find_them(space: Path) -> None:
    overrides = ["search.trials=3"]
    with packed(weigh(space, load_experiment(space, overrides), overrides), pip=False) as environment:
        folder = Path(environment["working_dir"])
        orders = Orders.read(folder)
        assert (folder / orders.target).read_text() == SPACE
        inside = load_experiment(folder / orders.target, orders.options[1:-1:2])
        assert sorted(file.name for file in folder.glob(inside.data.path)) == ["1-a.csv", "2-b.csv"]
    assert not folder.exists()
    assert orders.arguments(Path("/job")) == [
        *("run", "/job/space.yaml", "--set", "search.trials=3", "--set", 'data.path="data/*"', "--keep-data"),
        *("--address", "auto", "--json"),
    ]


@pytest.mark.parametrize("path", ["/shared/a.csv", "s3://bucket/a.parquet"])
def test_data_named_on_the_nodes_is_neither_looked_at_nor_packed(space: Path, path: str) -> None:
    overrides = [f"data.path={path}"]
    with packed(weigh(space, load_experiment(space, overrides), overrides), pip=False) as environment:
        folder = Path(environment["working_dir"])
        assert sorted(file.name for file in folder.iterdir()) == ["job.json", "space.yaml"]
        assert Orders.read(folder).options == ["--set", f"data.path={path}"]


def test_data_over_the_limit_is_refused_with_the_way_out(space: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "LIMIT_BYTES", packing.ROOM_BYTES + 7)
    with pytest.raises(
        InputError, match=r"data/\*\.csv: holds 0 MiB, and 1 MiB can travel.*data\.path=s3://.*/shared/"
    ):
        weigh(space, load_experiment(space), [])


def test_limit_is_rays(space: Path) -> None:
    from ray._private.ray_constants import DASHBOARD_CLIENT_MAX_SIZE

    assert packing.LIMIT_BYTES == DASHBOARD_CLIENT_MAX_SIZE


def test_data_that_is_not_there_is_told_before_anything_is_packed(space: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.csv: does not exist"):
        weigh(space, load_experiment(space, ["data.path=nowhere.csv"]), ["data.path=nowhere.csv"])


def test_resumption_carries_the_runs_directory_alone() -> None:
    with packed_resumption("/home/runs/a b", ["search.trials=9"], pip=False) as environment:
        orders = Orders.read(Path(environment["working_dir"]))
    arguments = ["resume", "/home/runs/a b", "--set", "search.trials=9", "--address", "auto", "--json"]
    assert orders.arguments(Path("/job")) == arguments


def test_package_travels_without_caches() -> None:
    with own_package() as copy:
        files = [file for file in Path(copy).rglob("*") if file.is_file()]
        assert Path(copy, "remote", "job.py") in files
        assert not [file for file in files if file.suffix == ".pyc"]


def test_dependencies_are_those_of_the_project() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    names = {text.partition(">")[0].partition("[")[0] for text in project["dependencies"]}
    assert set(MODULES) == names


def test_pinned_versions_are_here_s_without_ray_and_local_parts(space: Path) -> None:
    import torch

    with packed(weigh(space, load_experiment(space), []), pip=True) as environment:
        assert environment["pip"] == pins()
    assert f"torch=={torch.__version__.split('+')[0]}" in pins()
    assert not [pin for pin in pins() if pin.startswith(("ray", "python"))]


def test_versions_differ_where_the_first_two_numbers_do() -> None:
    here = own_versions()
    major, minor, *_ = here["polars"].split(".")
    there = {
        **here,
        "polars": f"{major}.{int(minor) + 1}.0",
        "python": ".".join(map(str, sys.version_info[:2])) + ".99",
    }
    (sentence,) = differences(there)
    assert sentence == f"polars is {here['polars']} on the cluster and {there['polars']} where the job was submitted"


def test_orders_survive_their_file(tmp_path: Path) -> None:
    orders = Orders("resume", "s3://bucket/run", ["--set", "a=b"], {"python": "3.11.7"})
    orders.write(tmp_path)
    assert Orders.read(tmp_path) == orders
    assert json.loads((tmp_path / "job.json").read_text())["target"] == "s3://bucket/run"
