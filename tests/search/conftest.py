from collections.abc import Iterator
from pathlib import Path

import pytest
from object_store import Store, door, server

from lstm_tune.search.cluster import running_ray


@pytest.fixture(scope="session")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests; a run uses the one its process already has."""
    with running_ray(tmp_path_factory.mktemp("ray-logs")):
        yield


@pytest.fixture(scope="module", autouse=True)
def quick_baselines_only() -> Iterator[None]:
    """The statistical ones, which fit a model for each forecast, would take most of the time of these runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lstm_tune.tasks.baselines.is_installed", lambda: False)
        yield


@pytest.fixture(scope="session")
def object_store() -> Iterator[int]:
    """The port of an S3 server."""
    with server() as port:
        yield port


@pytest.fixture
def store(object_store: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The S3 server's bucket behind a door that is open."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "anything")
    with door(object_store) as store:
        yield store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
