import json
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import date
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import jsonschema
import polars as pl
import pytest
import yaml
from tiny_bundles import write_tiny_bundle

from lstm_tune.data.panel import Feature
from lstm_tune.spec.events import BaselineScored, Event, RunEnded, RunStarted, Stamped, TrialEnded, TrialStarted
from lstm_tune.spec.paths import RunPaths

Run = Callable[..., Any]
Write = Callable[..., Path]
SEARCH_SPACES = Path(__file__).parents[2] / "search_spaces"
COMMANDS = [
    "run",
    "resume",
    "leaderboard",
    "report",
    "validate",
    "init",
    "schema",
    "predict",
    "evaluate",
    "export",
    "upload",
]
COMMANDS += ["resources", "submit", "attach", "jobs", "logs", "stop", "fetch"]


# --- help and exit codes --------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_has_a_help_text_with_an_example(lstm_tune: Run, command: str, option: str) -> None:
    ended = lstm_tune(command, option)
    assert ended.code == 0
    assert f"lstm-tune {command} " in ended.out.split("Usage:")[1].split("\n", 1)[1]


def test_help_lists_the_commands(lstm_tune: Run) -> None:
    ended = lstm_tune("-h")
    assert ended.code == 0
    assert all(re.search(rf"^│ {command} ", ended.out, re.MULTILINE) for command in COMMANDS)


def test_version_is_the_packages(lstm_tune: Run) -> None:
    assert re.fullmatch(r"lstm-tune \d+\.\d+\.\d+\n", lstm_tune("--version").out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "No such command 'bogus'"),
        (["run"], r"Missing argument 'SPACE\.YAML'"),
        (["run", "a.yaml", "--sett", "x=1"], "No such option: --sett"),
    ],
)
def test_a_wrong_command_line_ends_with_2_and_its_usage(lstm_tune: Run, arguments: list[str], message: str) -> None:
    ended = lstm_tune(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert re.search(message, ended.err)
    assert "Usage: lstm-tune" in ended.err


@pytest.mark.parametrize("stop", [KeyboardInterrupt(), "outcome"])
def test_an_interrupted_command_ends_with_130(
    lstm_tune: Run, experiment: Write, monkeypatch: pytest.MonkeyPatch, stop: BaseException | str
) -> None:
    import typer

    def interrupted(*arguments: object, **options: object) -> None:
        raise stop if isinstance(stop, BaseException) else typer.Exit(130)

    monkeypatch.setattr("lstm_tune.cli.running.run_experiment", interrupted)
    assert lstm_tune("run", experiment()).code == 130


# --- init, schema, validate -----------------------------------------------------------------------


def test_what_init_writes_is_valid(lstm_tune: Run, experiment: Write, tmp_path: Path) -> None:
    experiment()
    made = tmp_path / "made" / "sales.yaml"
    ended = lstm_tune("init", tmp_path / "a.csv", "-o", made)
    assert (ended.code, ended.out.splitlines()[0]) == (0, f"{made}: forecasts y 8 steps ahead")
    assert f"lstm-tune run {made}" in made.read_text()
    assert yaml.safe_load(made.read_text())["data"]["path"] == "../a.csv"
    assert lstm_tune("validate", made).code == 0


def test_force_replaces_an_experiment(lstm_tune: Run, experiment: Write) -> None:
    space = experiment()
    assert lstm_tune("init", space.parent / "a.csv", "-o", space, "--force").code == 0
    assert space.read_text().startswith("# Forecasts y")


def test_shipped_experiments_keep_the_printed_schema(lstm_tune: Run) -> None:
    schema = json.loads(lstm_tune("schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    for path in SEARCH_SPACES.glob("*.yaml"):
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
    with pytest.raises(jsonschema.ValidationError, match="'trails' was unexpected"):
        jsonschema.validate(yaml.safe_load(path.read_text()) | {"search": {"trails": 3}}, schema)


def test_validate_shows_folds_and_facts_and_starts_nothing(lstm_tune: Run, experiment: Write, tmp_path: Path) -> None:
    space = experiment(space__depth={"choices": [1, 2], "when": {"units": {"at_most": 4}}}, validation__gap=1)
    ended = lstm_tune("validate", space, "--set", "training.max_epochs=7")
    assert ended.code == 0
    for shown in (
        r"2000-01-01 +2003-04-01",
        r"fold 1 +━+╌+█+∙+ +1 series",
        r"final +━+╌+▒+ +locked",
        r"series +1, 40 steps each, 40 rows",
        r"step +1mo, season 4",
        r"validation +2 folds of 6 steps, gap 1",
        r"test +last 3 steps of every series, locked",
        r"effective windows +5 of 4 steps, 3 of 8 steps",
        r"depth +1, 2 when units is at most 4",
        r"one trial +about .* an epoch here, .* for all 7;",
        rf"{re.escape(str(space))} is valid\. Run it: lstm-tune run {re.escape(str(space))}",
    ):
        assert re.search(shown, ended.out), f"{shown}\n{ended.out}"
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space__window": [4, 30]}, r"largest window \(30 steps\) is longer than any training part of the first fold"),
        ({"validation__block": 2}, r"horizon \(3 steps\) is longer than a validation block \(2\)"),
        (
            {"space__units": [4, 256]},
            r"largest network has [\d,]+ parameters for 37 rows; .* invites overfitting\. Lower",
        ),
    ],
)
def test_validate_warns(lstm_tune: Run, experiment: Write, changes: dict[str, Any], message: str) -> None:
    ended = lstm_tune("validate", experiment(**changes))
    assert ended.code == 0
    assert re.search(f"warning .*{message}", " ".join(ended.out.split()))


def test_validate_tells_of_a_season_that_is_not_used(lstm_tune: Run, experiment: Write) -> None:
    ended = lstm_tune("validate", experiment(task__season=60))
    assert "The season (60 steps) is as long as the history or longer, so none is used." in " ".join(ended.out.split())


def test_validate_does_not_warn_of_the_space_it_derived(lstm_tune: Run, experiment: Write) -> None:
    assert "overfitting" not in lstm_tune("validate", experiment(space=None)).out


def test_validate_of_a_sound_experiment_warns_of_nothing(lstm_tune: Run, experiment: Write) -> None:
    assert "warning" not in lstm_tune("validate", experiment()).out


# --- leaderboard ----------------------------------------------------------------------------------


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A run of one trial, as its files tell it."""
    started = RunStarted("tiny", "mase", "minimize", 1, None, 2, 20, ["units"], 1, 40, "2026-01-01T00:00:00+00:00")
    ended = TrialEnded(0, "complete", "", {"units": 4}, 120, 0.75, 0.05, [0.7, 0.8], 0.6, 0.25, 9, 20, 1.5, [])
    events: list[Event] = [
        started,
        BaselineScored("seasonal naive", 1.25, 0.1),
        TrialStarted(0, {"units": 4}, 120),
        ended,
        RunEnded("done", "Forecast with: lstm-tune predict best"),
    ]
    paths = RunPaths(tmp_path / "tiny-1")
    paths.root.mkdir()
    paths.experiment.write_text("name: tiny\n")
    paths.events.write_text("".join(f"{Stamped(float(i), event).to_json()}\n" for i, event in enumerate(events)))
    return paths.root


def test_leaderboard_is_drawn_from_the_files(lstm_tune: Run, finished: Path) -> None:
    ended = lstm_tune("leaderboard", finished)
    assert ended.code == 0
    assert all(word in ended.out for word in ("tiny", "mase", "0.75", "seasonal naive", "1.25"))


def test_leaderboard_of_a_remote_run_is_followed_to_its_end(
    lstm_tune: Run, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lstm_tune.cli.places.REFRESH_S", 0.05)
    remote, events = tmp_path / "remote" / "air", (finished / "events.ndjson").read_bytes()
    shutil.copytree(finished, remote)
    beginning = events[: events.index(b"\n") + 1]
    (remote / "events.ndjson").write_bytes(beginning)

    def go_on() -> None:
        while not (tmp_path / "runs" / "air" / "events.ndjson").exists():
            time.sleep(0.01)  # nobody has looked yet
        (remote / "events").mkdir()
        (remote / "events" / f"{len(beginning):012d}.ndjson").write_bytes(events[len(beginning) :])

    thread = threading.Thread(target=go_on)
    thread.start()
    ended = lstm_tune("leaderboard", f"file://{remote}", "--follow", "--json")
    thread.join()
    assert (ended.code, ended.out.encode()) == (0, events)


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_leaderboard_as_json_is_the_events(lstm_tune: Run, finished: Path, follow: list[str]) -> None:
    ended = lstm_tune("leaderboard", finished, "--json", *follow)
    assert (ended.code, ended.out) == (0, RunPaths(finished).events.read_text())


def test_followed_run_is_told_line_by_line_in_a_pipe(lstm_tune: Run, finished: Path) -> None:
    assert "Forecast with: lstm-tune predict best" in lstm_tune("leaderboard", finished, "-f").out


# --- report ---------------------------------------------------------------------------------------


def test_report_is_written_into_the_run_and_its_place_told(lstm_tune: Run, finished: Path) -> None:
    ended = lstm_tune("report", finished)
    assert (ended.code, ended.out) == (0, f"report: {RunPaths(finished).report}\n")
    assert "best baseline: seasonal naive" in RunPaths(finished).report.read_text()


def test_report_goes_where_it_is_wanted(lstm_tune: Run, finished: Path, tmp_path: Path) -> None:
    assert lstm_tune("report", finished, "-o", tmp_path / "page.html").code == 0
    assert lstm_tune("report", finished, "--format", "png", "-o", tmp_path / "pictures").code == 0
    assert (tmp_path / "page.html").is_file()
    assert (tmp_path / "pictures" / "history.png").is_file()


def test_report_of_no_run_and_in_no_format_are_refused(lstm_tune: Run, finished: Path, tmp_path: Path) -> None:
    ended = lstm_tune("report", tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "is not a run" in ended.err
    assert (
        "--format: 'pdf' is not a report format. Known: html, png."
        in lstm_tune("report", finished, "--format", "pdf").err
    )


# --- predict and export ---------------------------------------------------------------------------

HISTORY = "ds,y\n2024-01-01,1\n2024-02-01,3\n2024-03-01,2\n"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    (tmp_path / "new.csv").write_text(HISTORY)
    return tmp_path / "new.csv"


def test_forecast_is_printed_as_csv_in_a_pipe(lstm_tune: Run, history: Path) -> None:
    ended = lstm_tune("predict", write_tiny_bundle(history.parent / "best"), history)
    table = pl.read_csv(StringIO(ended.out), try_parse_dates=True)
    assert table.columns == ["ds", "y"]
    assert table["ds"].to_list() == [date(2024, 4, 1), date(2024, 5, 1), date(2024, 6, 1)]
    assert table["y"].is_finite().all()


@pytest.mark.parametrize(
    ("suffix", "read"),
    [
        (".parquet", pl.read_parquet),
        (".csv", lambda content: pl.read_csv(content, try_parse_dates=True)),
        (".ndjson", lambda content: pl.read_ndjson(content).with_columns(pl.col("ds").str.to_date())),
        (".arrow", lambda content: pl.read_ipc(content)),
    ],
)
def test_forecast_is_written_in_the_format_of_its_ending(
    lstm_tune: Run, history: Path, suffix: str, read: Callable[[BytesIO], pl.DataFrame]
) -> None:
    bundle = write_tiny_bundle(history.parent / "best", series=["shop"], quantiles=[0.1, 0.5, 0.9])
    history.write_text("shop,ds,y\nb,2024-01-01,1\nb,2024-02-01,3\na,2024-01-01,1\na,2024-02-01,3\n")
    output = history.parent / f"forecast{suffix}"
    ended = lstm_tune("predict", bundle, history, "-o", output)
    assert (ended.code, ended.out) == (0, f"3 steps for 2 series written to {output}\n")
    table = read(BytesIO(output.read_bytes()))
    assert table.columns == ["shop", "ds", "y", "y_q0.1", "y_q0.5", "y_q0.9"]
    assert table["shop"].to_list() == ["a"] * 3 + ["b"] * 3
    assert table["ds"][0] == date(2024, 3, 1)


def test_forecast_of_the_run_is_the_forecast_of_its_bundle(lstm_tune: Run, history: Path) -> None:
    bundle = write_tiny_bundle(history.parent / "best")
    RunPaths(history.parent).events.write_text("")
    assert lstm_tune("predict", bundle.parent, history).out == lstm_tune("predict", bundle, history).out


@pytest.mark.parametrize(
    "rows",
    [
        "ds,y\n2024-01-01,5\n",
        "ds,y\n2024-01-01,5\n2024-02-01,5\n2024-03-01,5\n",
        "ds,y\n2024-01-01,0\n2024-02-01,0\n",
    ],
)
def test_constant_series_and_single_rows_are_forecast(lstm_tune: Run, history: Path, rows: str) -> None:
    history.write_text(rows)
    ended = lstm_tune("predict", write_tiny_bundle(history.parent / "best"), history)
    assert ended.code == 0
    assert pl.read_csv(StringIO(ended.out))["y"].is_finite().all()


@pytest.mark.parametrize("names", [("7", "8"), ("north", "south"), ("1.5", "2.5")])
def test_series_may_have_other_names_than_in_training(lstm_tune: Run, history: Path, names: tuple[str, str]) -> None:
    first, second = names
    history.write_text(f"shop,ds,y\n{second},2024-01-01,1\n{first},2024-01-01,2\n{first},2024-02-01,3\n")
    ended = lstm_tune("predict", write_tiny_bundle(history.parent / "best", series=["shop"]), history)
    assert [line.split(",")[:2] for line in ended.out.splitlines()[1::3]] == [
        [first, "2024-03-01"],
        [second, "2024-02-01"],
    ]


def test_categories_may_be_missing_or_new_at_forecast_time(lstm_tune: Run, history: Path) -> None:
    weather, size = Feature("weather", ("rain", "sun")), Feature("size", ("big", "small"))
    bundle = write_tiny_bundle(history.parent / "best", past=[weather], static=[size])
    history.write_text("ds,y,weather,size\n2024-01-01,1,,\n2024-02-01,3,,\n")
    empty = lstm_tune("predict", bundle, history)
    history.write_text("ds,y,weather,size\n2024-01-01,1,snow,huge\n2024-02-01,3,hail,huge\n")
    assert (empty.code, empty.out) == (0, lstm_tune("predict", bundle, history).out)


def test_export_copies_a_model_beside_its_run(lstm_tune: Run, tmp_path: Path, history: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "best")
    ended = lstm_tune("export", bundle)
    assert (ended.code, ended.out) == (0, f"written and checked: {tmp_path / 'export' / 'bundle'}\n")
    assert (
        lstm_tune("predict", tmp_path / "export" / "bundle", history).out == lstm_tune("predict", bundle, history).out
    )


# --- pipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments", [["schema"], ["--help"], ["leaderboard", "RUN"], ["leaderboard", "RUN", "--json"]]
)
def test_a_reader_that_leaves_early_sees_no_traceback(finished: Path, arguments: list[str]) -> None:
    with RunPaths(finished).events.open("a") as events:
        events.write(f"{Stamped(9.0, BaselineScored('b', 1.0, None)).to_json()}\n" * 2_000)
    shown = [str(finished) if argument == "RUN" else argument for argument in arguments]
    program = [sys.executable, "-c", "from lstm_tune.cli.main import main; main()", *shown]
    ended = subprocess.run(
        ["bash", "-c", f"{shlex.join(program)} | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.returncode in (0, 1)


# --- run ------------------------------------------------------------------------------------------


def test_nested_sets_its_key(lstm_tune: Run, experiment: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[str]] = []
    monkeypatch.setattr(
        "lstm_tune.cli.running.run_experiment", lambda space, overrides, **options: given.append(overrides)
    )
    assert lstm_tune("run", experiment(), "--nested", "--set", "search.trials=2").code == 0
    assert given == [["search.trials=2", "validation.nested=true"]]
