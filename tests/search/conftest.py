from collections.abc import Iterator
from pathlib import Path

import pytest

from lstm_tune.search.cluster import local_ray


@pytest.fixture(scope="session")
def shared_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests; a run uses the one its process already has."""
    with local_ray(tmp_path_factory.mktemp("ray-logs")):
        yield


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path
