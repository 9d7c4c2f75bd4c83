import time
from datetime import datetime
from pathlib import Path

import pytest

from lstm_tune.search.recorder import Recorder
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import Stamped, Warned, read_events
from lstm_tune.spec.paths import RunPaths, create_run


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    return create_run(tmp_path, "run", now=datetime(2026, 1, 1))


def messages(paths: RunPaths) -> list[str]:
    return [stamped.event.message for stamped in read_events(paths.events) if isinstance(stamped.event, Warned)]


def test_event_is_on_the_file_before_anyone_hears_of_it(paths: RunPaths) -> None:
    heard: list[list[str]] = []
    with Recorder(paths, [lambda stamped: heard.append(messages(paths))]) as record:
        record(Warned("one"))
        record(Warned("two"))
    assert heard == [["one"], ["one", "two"]]


def test_partial_line_is_cut_and_the_next_event_stands_alone(paths: RunPaths) -> None:
    whole = Stamped(1.0, Warned("whole")).to_json()
    paths.events.write_text(f'{whole}\n{{"event":"warned","at_s"')
    with Recorder(paths) as record:
        record(Warned("next"))
    assert messages(paths) == ["whole", "next"]


def test_history_is_what_the_file_keeps(paths: RunPaths) -> None:
    one, two = Stamped(1.0, Warned("one")).to_json(), Stamped(2.0, Warned("no line end")).to_json()
    paths.events.write_text(f"{one}\n{two}")
    with Recorder(paths) as record:
        assert [stamped.event for stamped in record.history] == [Warned("one")]
    assert messages(paths) == ["one"]


def test_second_writer_is_refused(paths: RunPaths) -> None:
    with Recorder(paths), pytest.raises(InputError, match="is being written by another process"):
        Recorder(paths)
    with Recorder(paths):
        pass


def test_damaged_events_are_named_and_the_lock_is_given_back(paths: RunPaths) -> None:
    paths.events.write_text(f"not an event\n{Stamped(1.0, Warned('one')).to_json()}\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"events\.ndjson:1: is not an event"):
            Recorder(paths)


def test_elapsed_time_goes_on_where_the_last_process_stopped(paths: RunPaths) -> None:
    paths.events.write_text(Stamped(100.0, Warned("one")).to_json() + "\n")
    with Recorder(paths) as record:
        started = time.monotonic()
        record(Warned("two"))
        assert 100 <= record.elapsed_s <= 101 + time.monotonic() - started
    assert [stamped.at_s >= 100 for stamped in read_events(paths.events)] == [True, True]


def test_replay_shows_earlier_events_to_listeners(paths: RunPaths) -> None:
    with Recorder(paths) as record:
        record(Warned("one"))
    heard: list[Stamped] = []
    with Recorder(paths, [heard.append]) as record:
        record.replay()
    assert [stamped.event for stamped in heard] == [Warned("one")]
