"""Whatever is wrong with a file, its data or an option: one clear message, exit code 2 and no traceback."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tiny_bundles import write_tiny_bundle

from lstm_tune.spec.paths import RunPaths

Run = Callable[..., Any]
Write = Callable[..., Path]


def rows(count: int = 40, *, header: str = "ds,y", line: str = "{month},{value}", **replaced: str) -> str:
    """A table of months; `row7="..."` replaces the seventh row."""
    lines = [header]
    for i in range(count):
        month = f"{2000 + i // 12}-{i % 12 + 1:02d}-01"
        text = line.format(month=month, value=f"{10 + i % 4 + i / 10:.1f}", i=i)
        lines.append(replaced.get(f"row{i + 1}", text))
    return "\n".join(lines) + "\n"


DATA: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "empty file": ("", {}, r"a\.csv: must hold rows of data, but is empty \(0 bytes\)"),
    "header only": ("ds,y\n", {}, r"a\.csv: must hold rows of data, but has no rows\. Check"),
    "no such file": (rows(), {"data__path": "b.csv"}, r"b\.csv: does not exist; looked for .*Did you mean 'a\.csv'\?"),
    "no file of the glob": (rows(), {"data__path": "x*.csv"}, r"x\*\.csv: matches no file; looked for "),
    "a folder": (rows(), {"data__path": "."}, r"must be a file, but is a folder\. Name a file in it"),
    "unknown ending": (rows(), {"data__path": "space.yaml"}, r"has the unknown ending '\.yaml'\. Known: \.csv"),
    "truncated Parquet": (
        rows(),
        {"data__path": "cut.parquet"},
        r"cut\.parquet: cannot be read as \.parquet: .* cut off",
    ),
    "text that is not UTF-8": ("ds,y\n\xfc,2\n".encode("latin1"), {}, r"a\.csv: cannot be read as \.csv: .*utf-8"),
    "missing column": (rows(), {"data__target": "yy"}, r"must hold a column 'yy', .*Did you mean 'y'\?.*ds, y"),
    "wrong separator": (rows(header="ds;y", line="{month};{value}"), {}, r"seem to be separated by ';'"),
    "text among numbers": (
        rows(row3="2000-03-01,many"),
        {},
        r"column 'y' \(target\) must hold numbers, found the text 'many' in row 3\. Correct",
    ),
    "decimal commas": (
        rows(line='{month},"1{i},5"'),
        {},
        r"must hold numbers, found the text '10,5', '11,5', .*Write numbers like 1234\.5",
    ),
    "metric without a scale": (
        rows(line="{month},7", row40="2003-04-01,8"),
        {},
        r"search\.metric: mase must have something to count in each fold, .* in folds 1, 2\. Choose another",
    ),
    "no path": (rows(), {"data__path": ""}, r"data\.path: must name a file, found no text\. Name one"),
    "one row": (rows(1), {}, r"has one row; a series needs at least 2 steps\. Add"),
    "one row a series": (
        rows(header="id,ds,y", line="{i},{month},{value}"),
        {"data__series": "id"},
        r"has one row a series; .*Check data\.series",
    ),
    "equal values": (
        rows(line="{month},7"),
        {},
        r"column 'y' \(target\) has the value 7 in every row, so there is nothing to learn\. Name another",
    ),
    "missing value": (
        rows(row5="2000-05-01,"),
        {},
        r"column 'y' \(target\) must have no gaps, but 1 value is missing: row 5 \(2000-05-01\)\. Set data\.missing",
    ),
    "gap in time": (
        rows(20) + rows(40).split("\n", 23)[-1],
        {},
        r"a row for each step of 1mo, but 2 steps are missing: 2001-09-01, 2001-10-01\. Set data\.missing",
    ),
    "time that is none": (
        rows(row2="soon,3"),
        {},
        r"column 'ds' must hold times in one form .*found 'soon' in row 2\. Correct",
    ),
    "day or month": (
        "ds,y\n01.02.2001,1\n02.02.2001,2\n",
        {},
        r"'01\.02\.2001', which can be read in two ways\. Write",
    ),
    "time off the grid": (
        rows(row9="2000-09-01,1", line="{month}T00:00,{value}", row8="2000-07-09T05:00,1"),
        {"data__frequency": "1d"},
        r"times must be one for each step of 1d, found 2000-07-09 05:00:00 in row 8, off this grid\. Correct",
    ),
    "time twice": (
        rows(row4="2000-03-01,1"),
        {},
        r"column 'ds' \(time\) must have each time once, found 2000-03-01 in rows 3 and 4\. Remove",
    ),
    "infinite value": (
        rows(row6="2000-06-01,inf"),
        {},
        r"column 'y' \(target\) must hold finite numbers .*found inf in row 6\. Correct",
    ),
    "no series": (
        rows(header="id,ds,y", line="a,{month},{value}", row3=",2000-03-01,1"),
        {"data__series": "id"},
        r"column 'id' \(series\) must have a value in every row, found none in row 3\. Fill in",
    ),
    "changing static covariate": (
        rows(header="ds,y,size", line="{month},{value},{i}"),
        {"data__covariates": {"static": "size"}},
        r"column 'size' \(static\) must have one value a series, but changes .*Name it in covariates\.past",
    ),
    "target among the known covariates": (
        rows(header="ds,y,euro", line="{month},{value},1{value}", row9="2000-09-01,30,130"),
        {"data__covariates": {"known": "euro"}},
        r"column 'euro' \(known\) must be known 3 steps ahead, but its changes are those of the target 'y' \(corr",
    ),
    "window longer than every series": (
        rows(),
        {"space__window": [50, 60]},
        r"space\.window: every window is longer than the \d+ training steps .*smallest is 50\. Shorten",
    ),
    "too few steps for the folds": (
        rows(10),
        {"validation__folds": 4},
        r"validation: 4 folds of 3 steps.* need a series of at least \d+ steps; the longest has 10\. Lower",
    ),
    "logarithm of a negative target": (
        rows(row6="2000-06-01,-4"),
        {"space__log_transform": True},
        r"space\.log_transform: .*must be above zero, but \d\.\d% are not\. Leave log_transform out",
    ),
}


@pytest.mark.parametrize("kind", DATA)
def test_faulty_data(lstm_tune: Run, experiment: Write, kind: str) -> None:
    content, changes, message = DATA[kind]
    space = experiment(content, **changes)
    pl.DataFrame({"ds": range(99), "y": range(99)}).write_parquet(space.parent / "cut.parquet")
    (space.parent / "cut.parquet").write_bytes((space.parent / "cut.parquet").read_bytes()[:300])
    expect_fault(lstm_tune("validate", space), message)


FILE: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"search__trails": 9}, r"space\.yaml:\d+: search\.trails is not a key .*Did you mean 'trials'\?"),
    "unknown hyperparameter": ({"space__hiden": [4]}, r"space\.hiden is not a hyperparameter of task 'forecast'\."),
    "unknown task": ({"task__kind": "foresee"}, r"space\.yaml:3: task\.kind must be 'forecast', found 'foresee'"),
    "wrong type": ({"task__horizon": "three"}, r"task\.horizon must be a whole number, found 'three'"),
    "number out of range": ({"task__horizon": 0}, r"task\.horizon must be greater than or equal to 1, found 0"),
    "no duration": ({"search__time_limit": "soon"}, r"search\.time_limit must be a duration such as .*found 'soon'"),
    "no target": ({"data__target": []}, r"space\.yaml:9: data\.target must have at least 1 item, found \[\]"),
    "odd name": ({"name": "a b"}, r"space\.yaml:1: name must match pattern .*, found 'a b'"),
    "low above high": ({"space__units": {"low": 9, "high": 4}}, r"space\.units has its low .*low 9, high 4"),
    "circle of conditions": (
        {
            "space__units": {"choices": [4, 8], "when": {"depth": {"above": 1}}},
            "space__depth": {"choices": [1, 2], "when": {"units": {"above": 4}}},
        },
        r"is a circle of conditions: units -> depth -> units",
    ),
    "unknown sampler": ({"search__sampler": "magic"}, r"search\.sampler must be 'tpe', .*found 'magic'"),
    "unknown metric": ({"search__metric": "rms"}, r"search\.metric must be a metric .*'rms'\. Did you mean 'rmse'\?"),
    "quantile metric without quantiles": (
        {"search__metric": "wql"},
        r":22: search\.metric wql scores quantiles; add task\.",
    ),
    "quantiles without the median": ({"task__quantiles": [0.1, 0.9]}, r"quantiles must rise and contain 0\.5"),
    "column with two roles": (
        {"data__covariates": {"past": ["y"]}},
        r"column 'y' is named as target and as covariates\.past; a column has one role",
    ),
    "output that cannot be written": (
        {"output__directory": "a.csv/runs"},
        r"output\.directory: 'a\.csv/runs' must be a folder .*but '.*a\.csv' is a file\. Choose",
    ),
}


@pytest.mark.parametrize("kind", FILE)
def test_faulty_experiment(
    lstm_tune: Run, experiment: Write, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    changes, message = FILE[kind]
    monkeypatch.chdir(tmp_path)
    expect_fault(lstm_tune("validate", experiment(**changes)), message)


TEXT = {
    "not YAML": ("name: [x\ntask: {", r"space\.yaml:\d+: is not YAML: .*Check the indentation"),
    "not a mapping": ("- a\n- b\n", r"space\.yaml:1: must be a mapping that starts with 'name:', found \['a', 'b'\]"),
    "empty": ("", r"space\.yaml:1: must be a mapping that starts with 'name:', found nothing"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff", r"space\.yaml: is not text in UTF-8"),
    "key twice": ("name: x\nname: y\n", r"space\.yaml:2: name is written twice; keep one"),
    "missing keys": ("name: x\n", r"space\.yaml:1: task is missing; .*\n.*data is missing; "),
}


@pytest.mark.parametrize("kind", TEXT)
def test_faulty_text(lstm_tune: Run, tmp_path: Path, kind: str) -> None:
    content, message = TEXT[kind]
    (tmp_path / "space.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    expect_fault(lstm_tune("validate", tmp_path / "space.yaml"), message)


def test_absent_and_unreadable_experiments(lstm_tune: Run, tmp_path: Path) -> None:
    expect_fault(lstm_tune("validate", tmp_path / "no.yaml"), r"no\.yaml: does not exist\. Name an experiment file")
    expect_fault(lstm_tune("validate", tmp_path), r"is a folder, not an experiment file")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("search.trials", r"--set search\.trials: must have the form key\.path=value"),
        ("search.trials=[", r"--set search\.trials=\[: has a value that is not YAML"),
        ("search.trails=3", r"--set search\.trails=3: search\.trails is not a key"),
        ("name.x=3", r"--set name\.x=3: goes below name, which is a single value"),
    ],
)
def test_faulty_override(lstm_tune: Run, experiment: Write, override: str, message: str) -> None:
    expect_fault(lstm_tune("validate", experiment(), "--set", override), message)


def test_every_fault_of_a_file_and_of_a_table_is_told_at_once(lstm_tune: Run, experiment: Write) -> None:
    file = lstm_tune("validate", experiment(search__trails=1, task__horizon="x", space__units=[0]))
    assert len(file.err.splitlines()) == 3
    table = rows(
        header="ds,y,k", line="{month},{value},1", row2="x,1,1", row3="2000-03-01,z,1", row4="2000-04-01,1,inf"
    )
    data = lstm_tune("validate", experiment(table, data__covariates={"known": "k"}))
    assert len(data.err.splitlines()) == 3


# --- other commands -------------------------------------------------------------------------------


def test_what_is_no_run(lstm_tune: Run, tmp_path: Path) -> None:
    for command in ("leaderboard", "resume"):
        expect_fault(lstm_tune(command, tmp_path), r"is not a run: a run's folder holds experiment\.yaml")
    expect_fault(lstm_tune("resume", tmp_path / "gone"), r"gone: is not a run")


def test_damaged_events(lstm_tune: Run, tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    paths.experiment.write_text("")
    paths.events.write_text("nonsense\n{}\n")
    expect_fault(lstm_tune("leaderboard", tmp_path), r"events\.ndjson:1: is not an event; the file was changed")


def test_existing_experiment_is_not_replaced(lstm_tune: Run, experiment: Write) -> None:
    space = experiment()
    ended = lstm_tune("init", space.parent / "a.csv", "-o", space)
    expect_fault(ended, r"space\.yaml: exists already\. Name another file with -o, or replace it with --force")


def test_tables_nobody_can_start_from(lstm_tune: Run, tmp_path: Path) -> None:
    (tmp_path / "words.csv").write_text("ds,word\n2020-01-01,a\n2020-01-02,b\n")
    table, space = tmp_path / "words.csv", tmp_path / "new.yaml"
    expect_fault(lstm_tune("init", table, "-o", space), r"words\.csv: must hold a column of numbers to forecast, found")
    expect_fault(lstm_tune("init", tmp_path / "no.csv", "-o", space), r"no\.csv: does not exist")
    (tmp_path / "semicolons.csv").write_text("ds;y\n2020-01-01;2\n2020-01-02;3\n")
    expect_fault(
        lstm_tune("init", tmp_path / "semicolons.csv", "-o", space), r"seem to be separated by ';': ds;y\. Write"
    )
    (tmp_path / "a.csv").write_text(rows())
    expect_fault(lstm_tune("init", tmp_path / "a.csv", "-o", table / "b" / "c.yaml"), r"c\.yaml: cannot be written: ")


def test_what_is_no_model(lstm_tune: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(rows())
    for command in (("predict", tmp_path / "gone", tmp_path / "a.csv"), ("export", tmp_path / "gone")):
        expect_fault(lstm_tune(*command), r"gone: does not exist\. Name a bundle, or the run that made it")
    expect_fault(lstm_tune("export", tmp_path), r"holds no bundle \(manifest\.json is missing\)\. Name a bundle, or")
    RunPaths(tmp_path).events.write_text("")
    expect_fault(lstm_tune("export", tmp_path), r"is a run without a model yet\. Finish it: lstm-tune resume ")


@pytest.mark.parametrize("name", ["weights.safetensors", "manifest.json", "preprocessing.json"])
def test_damaged_model(lstm_tune: Run, tmp_path: Path, name: str) -> None:
    bundle = write_tiny_bundle(tmp_path / "best")
    (tmp_path / "a.csv").write_text(rows())
    content = (bundle / name).read_bytes()
    for damaged in (content[: len(content) // 2], b"{}", b"[1]"):
        (bundle / name).write_bytes(damaged)
        expect_fault(
            lstm_tune("predict", bundle, tmp_path / "a.csv"),
            r"damaged bundle|cannot be read|must hold a JSON object|of format None",
        )


def test_model_of_a_newer_release(lstm_tune: Run, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "best")
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"format": 99}))
    expect_fault(lstm_tune("export", bundle), r"is a bundle of format 99; this release reads format 1\. Install")


def test_unknown_format_of_an_export_or_a_forecast(lstm_tune: Run, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "best")
    (tmp_path / "a.csv").write_text(rows())
    expect_fault(lstm_tune("export", bundle, "--format", "onyx"), r"'onyx' is not a format\. Did you mean 'onnx'\?")
    ended = lstm_tune("predict", bundle, tmp_path / "a.csv", "-o", tmp_path / "f.xlsx")
    expect_fault(ended, r"f\.xlsx: '\.xlsx' is not a table format\. Known: \.arrow, \.csv")
    ended = lstm_tune("predict", bundle, tmp_path / "a.csv", "-o", tmp_path / "a.csv" / "f.csv")
    expect_fault(ended, r"f\.csv: cannot be written: .*Name another file")


def test_forecast_of_a_table_with_other_columns(lstm_tune: Run, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "best")
    (tmp_path / "a.csv").write_text(rows(header="ds,Y"))
    expect_fault(
        lstm_tune("predict", bundle, tmp_path / "a.csv"), r"must hold a column 'y', but has none\. Did you mean 'Y'\?"
    )


def test_known_covariates_that_end_too_early(lstm_tune: Run, tmp_path: Path) -> None:
    bundle = write_tiny_bundle(tmp_path / "best", known=("k",))
    (tmp_path / "a.csv").write_text(rows(9, header="ds,y,k", line="{month},{value},1", row9="2000-09-01,,1"))
    message = r"must give the known covariates k for 3 steps after the last target, found 1\. Append rows with empty"
    expect_fault(lstm_tune("predict", bundle, tmp_path / "a.csv"), message)


@pytest.mark.parametrize("arguments", [["validate", "bad.yaml"], ["run", "bad.yaml"], ["predict", "gone", "a.csv"]])
def test_in_a_process_of_its_own(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "bad.yaml").write_text("name: x\nnam: y\n")
    command = [sys.executable, "-c", "from lstm_tune.cli.main import main; main()", *arguments]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert re.match(r"bad\.yaml:1: task is missing|gone: does not exist", ended.stderr)
    assert "Traceback" not in ended.stderr


def expect_fault(ended: Any, message: str) -> None:
    assert re.search(message, ended.err), ended.err
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
