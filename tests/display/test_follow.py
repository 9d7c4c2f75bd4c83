import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from lstm_tune.display.follow import follow
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import RunEnded, Stamped, Warned


def line(message: str) -> str:
    return Stamped(0.0, Warned(message)).to_json() + "\n"


END = Stamped(1.0, RunEnded("done", "")).to_json() + "\n"


def append(path: Path, text: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(text)


def followed(path: Path, *, until_end: bool = True) -> Iterator[Stamped]:
    return follow(path, poll_s=0.01, until_end=until_end)


def messages(stamps: Iterator[Stamped]) -> list[str]:
    return [stamped.event.message for stamped in stamps if isinstance(stamped.event, Warned)]


def test_follow_yields_lines_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, line("one"))
    stamps = followed(path)
    assert messages(islice(stamps, 1)) == ["one"]
    append(path, line("two") + END)
    assert messages(stamps) == ["two"]


def test_follow_waits_for_the_file_and_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    parts = iter([line("straße")[:30], line("straße")[30:], END])

    def write(timer_s: float = 0.02) -> None:
        for part in parts:
            append(path, part)
            threading.Event().wait(timer_s)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert messages(followed(path)) == ["straße"]
    finally:
        writer.join()


def test_follow_stops_at_the_end_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, line("one") + END)
    assert len(list(followed(path))) == 2


def test_follow_goes_on_into_a_resumption_that_is_there(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, line("one") + END + line("resumed") + END)
    assert messages(followed(path)) == ["one", "resumed"]


def test_follow_waits_for_the_end_of_a_resumption(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, END + line("resumed"))
    stamps = followed(path)
    assert messages(islice(stamps, 2)) == ["resumed"]
    append(path, END)
    assert len(list(stamps)) == 1


def test_follow_without_end_waits_for_a_resumption(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, END)
    stamps = followed(path, until_end=False)
    next(stamps)
    append(path, line("resumed"))
    assert messages(islice(stamps, 1)) == ["resumed"]


def test_follow_forgets_a_part_line_that_a_resumption_removed(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, line("one") + '{"event": "warn')
    stamps = followed(path)
    assert messages(islice(stamps, 1)) == ["one"]
    path.write_text(line("one") + line("two") + END, encoding="utf-8")
    assert messages(stamps) == ["two"]


def test_follow_names_the_damaged_line(tmp_path: Path) -> None:
    path = tmp_path / "events.ndjson"
    append(path, line("one") + "\n" + "not json\n")
    with pytest.raises(InputError, match=r"events\.ndjson:3: is not an event"):
        list(followed(path))
