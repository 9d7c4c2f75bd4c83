import threading
from datetime import datetime
from pathlib import Path

import pytest
from object_store import Store

from lstm_tune.search.copying import RunCopy, update_copy
from lstm_tune.search.mirror import Mirror
from lstm_tune.search.recorder import Recorder
from lstm_tune.search.storage import RemoteFolder
from lstm_tune.spec.events import Stamped, Warned
from lstm_tune.spec.paths import RunPaths, create_run


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPaths:
    monkeypatch.setattr("lstm_tune.search.mirror.PAUSE_S", 0.05)
    monkeypatch.setattr("lstm_tune.search.mirror.PATIENCE_S", 0.0)
    return create_run(tmp_path, "air", now=datetime(2026, 1, 1))


@pytest.fixture
def address(store: Store, tmp_path: Path) -> str:
    return store.address(f"{tmp_path.name}/air")


class Heard:
    """The warnings that listeners heard, which a test can wait for."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._news = threading.Condition()

    def __call__(self, stamped: Stamped) -> None:
        assert isinstance(stamped.event, Warned)
        with self._news:
            self.messages.append(stamped.event.message)
            self._news.notify_all()

    def wait_for(self, words: str) -> None:
        with self._news:
            assert self._news.wait_for(lambda: any(words in message for message in self.messages), timeout=120)


def mirror_of(paths: RunPaths, address: str, record: Recorder) -> Mirror:
    copy = RunCopy(paths.root, RemoteFolder.open(address))
    return Mirror(copy, root=paths.root, address=address, record=record, tell=record.tell)


def test_everything_is_copied_at_the_end(paths: RunPaths, address: str) -> None:
    with Recorder(paths) as record, mirror_of(paths, address, record) as mirror:
        record(Warned("one"))
        paths.report.write_text("page")
    assert mirror.is_whole
    assert RemoteFolder.open(address).names() == ["events.ndjson", "report.html"]


def test_store_that_refuses_for_a_while_is_told_when_it_begins_and_when_it_is_over(
    paths: RunPaths, address: str, store: Store
) -> None:
    heard = Heard()
    with Recorder(paths, [heard]) as record, mirror_of(paths, address, record) as mirror:
        store.is_shut = True
        record(Warned("one"))
        heard.wait_for("cannot be written: SLOW_DOWN")
        record(Warned("two"))
        store.is_shut = False
        heard.wait_for("is up to date again after ")
    assert mirror.is_whole
    assert [message.split(" s3://")[0] for message in heard.messages] == ["one", "The copy at", "two", "The copy at"]
    assert RemoteFolder.open(address).read("events.ndjson") == paths.events.read_bytes()


def test_store_that_refuses_to_the_end_leaves_a_copy_that_can_be_completed(
    paths: RunPaths, address: str, store: Store
) -> None:
    heard = Heard()
    with Recorder(paths, [heard]) as record, mirror_of(paths, address, record) as mirror:
        store.is_shut = True
        record(Warned("one"))
    assert not mirror.is_whole
    assert heard.messages[-1].endswith(f"everything is in {paths.root}. Complete it: lstm-tune upload {paths.root}")
    assert "is behind" not in paths.events.read_text()
    store.is_shut = False
    update_copy(paths.root, address)
    assert RemoteFolder.open(address).read("events.ndjson") == paths.events.read_bytes()
