import json
from pathlib import Path

import pytest

from lstm_tune.spec import events
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import (
    KINDS,
    BaselineScored,
    BundleWritten,
    Event,
    FinalistsReported,
    NestedReported,
    RefitReported,
    ReportWritten,
    ResourcesChosen,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TrialEnded,
    TrialReported,
    TrialStarted,
    VerdictReached,
    Warned,
    WinnerChosen,
    read_events,
)

EVENTS: list[Event] = [
    RunStarted("a", "mase", "minimize", 64, None, 2, 200, ["units"], 1, 144, "2024-05-06T12:00:00+00:00"),
    ResourcesChosen([{"cpus": 1.0, "gpus": 0.25, "accelerator_type": "T4", "custom": {}, "trials": 4}], [], "four"),
    BaselineScored("seasonal naive", 1.25, None),
    TrialStarted(3, {"units": 8, "highway": True, "loss": "mae"}, 420),
    TrialReported(3, 7, 1.5, 0.1, 1.2, 1.4, 6, 2.5, "host", [[6, 1.4, 1.1], [7, 1.5, 1.2]]),
    TrialEnded(3, "failed", "NaN", {"units": 8}, 420, None, None, [], None, None, 0, 2, 0.5, ["too large"]),
    SearchEnded("all trials ran", False),
    NestedReported(1, 3, 120.0),
    FinalistsReported(1, 5),
    VerdictReached("not proven", ["The LSTM is ahead."], "ridge", 0.6, None, None, 0.5, None, 0.2),
    WinnerChosen(3, 1.4, "simplest within one standard error"),
    WinnerChosen(3, 1.4, "better together", {"3": 0.75, "12": 0.25}),
    RefitReported(1, 3),
    events.TestScored("mase", 1.3, {"last value": 2.0}, 12),
    BundleWritten("best"),
    ReportWritten("runs/a/report.html"),
    Warned("Größe ≠ klein\nin two lines"),
    RunEnded("done", ""),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_event_survives_its_line_of_json(event: Event) -> None:
    line = Stamped(1.25, event).to_json()
    assert "\n" not in line
    assert Stamped.from_json(line) == Stamped(1.25, event)


def test_every_kind_of_event_is_tested() -> None:
    assert {type(event) for event in EVENTS} == set(KINDS.values())


def test_numbers_that_are_not_finite_become_null() -> None:
    line = Stamped(0.0, BaselineScored("drift", float("nan"), float("inf"))).to_json()
    assert json.loads(line)["score"] is None
    assert json.loads(line)["standard_error"] is None


def test_fields_of_a_later_release_are_left_out() -> None:
    fields = json.loads(Stamped(0.0, Warned("a")).to_json()) | {"colour": "red"}
    assert Stamped.from_json(json.dumps(fields)).event == Warned("a")


def write_lines(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "events.ndjson"
    path.write_text("\n".join(lines) + end, encoding="utf-8")
    return path


def test_file_is_read_in_order_without_blank_lines(tmp_path: Path) -> None:
    lines = [Stamped(float(i), event).to_json() for i, event in enumerate(EVENTS)]
    found = list(read_events(write_lines(tmp_path, *lines[:5], "", *lines[5:])))
    assert [stamped.event for stamped in found] == EVENTS
    assert [stamped.at_s for stamped in found] == list(range(len(EVENTS)))


@pytest.mark.parametrize("length", [1, 20, -1])
def test_last_line_that_was_cut_is_left_out(tmp_path: Path, length: int) -> None:
    lines = [Stamped(float(i), event).to_json() for i, event in enumerate(EVENTS[:3])]
    path = write_lines(tmp_path, lines[0], lines[1], lines[2][:length], end="")
    assert [stamped.event for stamped in read_events(path)] == EVENTS[:2]


def test_character_cut_in_half_is_left_out(tmp_path: Path) -> None:
    whole = Stamped(0.0, Warned("ü")).to_json().encode()
    path = tmp_path / "events.ndjson"
    path.write_bytes(whole + b"\n" + whole[: whole.index("ü".encode()) + 1])
    assert len(list(read_events(path))) == 1


@pytest.mark.parametrize(
    "line", ["{", "[1]", '{"event":"party","at_s":1}', '{"event":"trial_started","at_s":1}', '{"event":"warned"}']
)
def test_damaged_line_before_the_last_is_told_with_its_number(tmp_path: Path, line: str) -> None:
    good = Stamped(0.0, Warned("a")).to_json()
    with pytest.raises(InputError, match=r"events\.ndjson:2: is not an event"):
        list(read_events(write_lines(tmp_path, good, line, good)))
