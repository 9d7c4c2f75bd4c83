import io
import json
import os
from collections.abc import Iterable, Iterator

import pytest
from rich.console import Console

from lstm_tune.display.live import Display, JsonDisplay, LiveDisplay, PlainDisplay, choose_display
from lstm_tune.spec import events
from lstm_tune.spec.events import (
    BaselineScored,
    BundleWritten,
    Event,
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
    Warned,
    WinnerChosen,
)

START = RunStarted("toy", "mase", "minimize", 100, None, 2, 50, ["units"], 1, 144, "2026-01-01T00:00:00+00:00")


def trial(number: int, score: float | None) -> Event:
    state = "failed" if score is None else "complete"
    return TrialEnded(number, state, "no memory", {"units": 8}, 9, score, 0.1, [], 0.5, 0.25, 5, 9, 3.0, [])  # type: ignore[arg-type]


def whole_run() -> list[Stamped]:
    happened: list[Event] = [
        START,
        BaselineScored("last value", 1.5, 0.1),
        TrialStarted(0, {"units": 8}, 9),
        TrialReported(0, 1, 0.9, 0.1, 0.8, 0.9, 1, 1.0, "laptop"),
        trial(0, 0.9),
        trial(1, None),
        Warned("few seasons"),
        SearchEnded("stale", False),
        WinnerChosen(0, 0.9, "the only one"),
        RefitReported(1, 3),
        events.TestScored("mase", 0.95, {"last value": 1.4}, 12),
        BundleWritten("best"),
        RunEnded("done", "use it"),
        ReportWritten("runs/toy/report.html"),
    ]
    return [Stamped(float(at_s), event) for at_s, event in enumerate(happened)]


def show(display: Display, stamps: Iterable[Stamped]) -> None:
    with display:
        for stamped in stamps:
            display(stamped)


def plain_lines(*stamps: Stamped) -> list[str]:
    stream = io.StringIO()
    show(PlainDisplay(stream), stamps)
    return stream.getvalue().splitlines()


def test_plain_display_tells_the_run_in_lines() -> None:
    assert plain_lines(*whole_run()) == [
        "[00:00] started toy: minimize mase in 100 trials; 1 series, 144 rows",
        "[00:01] baseline last value: 1.500 ± 0.100",
        "[00:04] new best: trial 0, mase 0.9000 ± 0.1000, gap +25%; units=8",
        "[00:05] trial 1 failed: no memory",
        "[00:06] warning: few seasons",
        "[00:07] search ended: stale",
        "[00:08] winner: trial 0, 0.9000: the only one",
        "[00:10] test: mase 0.9500 on the last 12 steps; last value 1.4000",
        "[00:11] model: best",
        "[00:12] done: use it",
        "[00:13] report: runs/toy/report.html",
    ]


def test_plain_display_names_the_members_of_an_ensemble() -> None:
    chosen = WinnerChosen(7, 0.4, "better together", {"7": 0.5, "3": 0.3, "12": 0.2})
    (line,) = plain_lines(Stamped(8.0, chosen))
    assert line == "[00:08] winner: an ensemble of trials 7 (50%), 3 (30%) and 12 (20%), 0.4000: better together"


def test_plain_display_tells_what_trials_occupy() -> None:
    (line,) = plain_lines(Stamped(8.0, ResourcesChosen([], [], "2 trials at once, each with 1 CPUs and 0 GPUs")))
    assert line == "[00:08] resources: 2 trials at once, each with 1 CPUs and 0 GPUs"


def test_plain_display_reports_progress_every_tenth_of_the_trials() -> None:
    stamps = [Stamped(number / 100, trial(number, 0.5 + number)) for number in range(25)]
    lines = [line for line in plain_lines(Stamped(0.0, START), *stamps) if "of 100 trials" in line]
    assert [line.split()[1] for line in lines] == ["10", "20"]


def test_plain_display_reports_progress_after_ten_seconds() -> None:
    stamps = [Stamped(number * 3.0, trial(number, 0.5 + number)) for number in range(9)]
    lines = [line for line in plain_lines(Stamped(0.0, START), *stamps) if "of 100 trials" in line]
    assert [line.split()[0] for line in lines] == ["[00:12]", "[00:24]"]


def test_plain_display_names_a_better_trial_only() -> None:
    scores = [0.5, 0.6, 0.4]
    stamps = [Stamped(0.1, trial(number, score)) for number, score in enumerate(scores)]
    lines = [line for line in plain_lines(Stamped(0.0, START), *stamps) if "new best" in line]
    assert ["trial 0" in lines[0], "trial 2" in lines[1], len(lines)] == [True, True, 2]


def test_plain_display_writes_ascii_to_an_ascii_stream() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    show(PlainDisplay(stream), whole_run())
    stream.seek(0)
    assert "1.500 / 0.100" in stream.read()


def test_json_display_writes_each_event() -> None:
    stream = io.StringIO()
    show(JsonDisplay(stream), whole_run())
    lines = stream.getvalue().splitlines()
    assert [Stamped.from_json(line) for line in lines] == whole_run()
    assert json.loads(lines[0])["event"] == "run_started"


@pytest.mark.parametrize("make", [PlainDisplay, JsonDisplay])
def test_reader_that_went_away_does_not_stop_the_run(make: type[PlainDisplay] | type[JsonDisplay]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        show(make(stream), whole_run())


def test_live_display_leaves_the_final_drawing() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=80, height=20, legacy_windows=False)
    show(LiveDisplay(console, clock=lambda: 0.0), whole_run())
    final = stream.getvalue().rsplit("toy · ", maxsplit=1)[-1]
    assert "▸1  #0" in final
    assert "use it" in final


def test_live_display_closes_when_the_run_raises() -> None:
    def stamps() -> Iterator[Stamped]:
        yield Stamped(0.0, START)
        raise KeyboardInterrupt

    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=20)
    with pytest.raises(KeyboardInterrupt):
        show(LiveDisplay(console), stamps())
    assert console._live_stack == []


def test_live_display_survives_a_terminal_that_went_away() -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    console = Console(file=Gone(), force_terminal=True, width=80, height=20)
    # rich then points the standard output at nothing
    kept = os.dup(1)
    try:
        show(LiveDisplay(console), whole_run())
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@pytest.mark.parametrize(
    ("json", "terminal", "kind"), [(True, True, JsonDisplay), (False, True, LiveDisplay), (False, False, PlainDisplay)]
)
def test_display_suits_the_console(monkeypatch: pytest.MonkeyPatch, json: bool, terminal: bool, kind: type) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    console = Console(file=io.StringIO(), force_terminal=terminal)
    assert isinstance(choose_display(json=json, console=console), kind)


def test_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(
        choose_display(json=False, console=Console(file=io.StringIO(), force_terminal=True)), PlainDisplay
    )
