"""A first experiment for a file nobody has described: roles of its columns and sensible numbers, with reasons."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import polars as pl

from lstm_tune.data.building import build_panel
from lstm_tune.data.panel import Columns, Frequency, Panel
from lstm_tune.data.seasons import detect_season, infer_season
from lstm_tune.data.times import parse_times
from lstm_tune.spec.errors import InputError

_SURE_TIME_NAMES: tuple[str, ...] = ("ds", "date", "datetime", "timestamp")
_TIME_NAMES: tuple[str, ...] = (*_SURE_TIME_NAMES, "time", "month", "quarter", "week", "day", "hour", "year")
_TIME_NAMES += ("t", "period", "step", "index")
_TARGET_NAMES: tuple[str, ...] = (
    "y",
    "target",
    "value",
    "values",
    "sales",
    "demand",
    "load",
    "close",
    "adj close",
    "adjclose",
    "price",
)
_TARGET_NAMES += ("passengers", "consumption", "count", "volume")
_IDENTIFIERS = (
    "id|key|series|item|sku|product|store|shop|ticker|symbol|region|country|state|city|site|station|sensor|name"
)
_IDENTIFIER = re.compile(rf"(^|[_ ])({_IDENTIFIERS})$", re.IGNORECASE)
_NEVER_TARGETS = frozenset((*_TIME_NAMES, "split", "fold", "weekday", "minute", "second", "", "unnamed: 0", "rowid"))
_PLAIN_YAML = re.compile(r"^[A-Za-z_/.][A-Za-z0-9_./ -]*(?<! )$")
_YAML_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "null"))

_USUAL_HORIZON = 10
_LONGEST_SEASON = 100
_MOST_FOLDS = 4
_MOST_SERIES_COLUMNS = 3
_MOST_SERIES_CANDIDATES = 6
_NEARLY_UNIQUE = 0.95
_SAMPLE_ROWS = 200


@dataclass(frozen=True)
class Guess:
    """What `lstm-tune init` proposes for a file.

    Attributes:
        name: the experiment's name.
        columns: the roles of the columns; no covariates are guessed.
        frequency: the step of the time column.
        is_inferred: whether `data.frequency: auto` finds that step.
        season: steps in a season; 1 for none.
        horizon: steps to forecast.
        test: steps of the locked test part.
        folds: rolling-origin folds.
        missing: the rule for missing values that the data needs.
        unused: columns without a role.
        notes: why, in words, by choice: time, series, target, frequency, season, horizon, test, folds, missing.
    """

    name: str
    columns: Columns
    frequency: Frequency
    is_inferred: bool
    season: int
    horizon: int
    test: int
    folds: int
    missing: Literal["error", "interpolate"]
    unused: tuple[str, ...]
    notes: dict[str, str]


def guess(frame: pl.DataFrame, *, name: str, where: str = "data") -> Guess:
    """The experiment that a look at the data suggests.

    The time column is a date or has a usual name, the series columns are those that make each time unique, and the
    target has a usual name or is the last column of numbers.

    Args:
        frame: every column of the file.
        name: of the experiment; signs that a name cannot have become dashes.
        where: what messages are about, usually the file.

    Raises:
        InputError: no column holds numbers, or the rows are faulty (a time twice, text among numbers, one row ...).
    """
    time, series, notes = _time_and_series(frame, where)
    target, notes["target"] = _target(frame, time, series, where)
    columns = Columns(targets=(target,), time=time, series=series)
    panel, is_inferred, missing, build_notes = _built(frame, columns, where)
    season, notes["season"] = _season(panel, frame)
    steps = int(np.quantile(panel.histories, 0.1, method="lower"))
    horizon, notes["horizon"] = _horizon(season, steps)
    folds = min(max(steps // horizon - 3, 1), _MOST_FOLDS)
    notes["folds"] = f"{steps} steps in a short series leave room for {folds}, each scored on whole horizons"
    test = horizon * min(max(steps // (20 * horizon), 1), 10)
    notes["test"] = "the last steps of each series, locked until the winner is chosen"
    return Guess(
        name=_slug(name),
        columns=columns,
        frequency=panel.frequency,
        is_inferred=is_inferred,
        season=season,
        horizon=horizon,
        test=test,
        folds=folds,
        missing=missing,
        unused=tuple(column for column in frame.columns if column not in columns.all),
        notes=notes | build_notes,
    )


def _slug(name: str) -> str:
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    return words[:80] or "experiment"


# --- time and series ------------------------------------------------------------------------------


def _time_and_series(frame: pl.DataFrame, where: str) -> tuple[str | None, tuple[str, ...], dict[str, str]]:
    candidates = list(_time_candidates(frame, where))
    for share in (1.0, _NEARLY_UNIQUE):
        for time in candidates:
            for series in _series_candidates(frame, time):
                if frame.select(*series, time).n_unique() >= share * frame.height:
                    return time, series, {"time": _time_note(frame, time), "series": _series_note(frame, series)}
    note = "no column holds a time that is unique in a series; the rows are taken in order, one step apart"
    if {"year", "quarter"} <= _lower(frame) or {"year", "month"} <= _lower(frame):
        note = "the time is spread over several columns; the rows are taken in order, one step apart"
    return None, (), {"time": note, "series": "nothing tells series apart, so the rows are one series"}


def _lower(frame: pl.DataFrame) -> set[str]:
    return {name.lower() for name in frame.columns}


def _time_candidates(frame: pl.DataFrame, where: str) -> Iterator[str]:
    """Dates and datetimes, then usual names, then other text that reads as times."""
    by_name = {name.lower(): name for name in reversed(frame.columns)}
    named = [by_name[name] for name in _TIME_NAMES if name in by_name]
    dates = [name for name, dtype in frame.schema.items() if dtype == pl.Date or isinstance(dtype, pl.Datetime)]
    texts = [name for name in frame.columns if frame[name].dtype == pl.String and name not in named]
    yield from sorted(dates, key=lambda name: name not in named)
    yield from (name for name in [*named, *texts] if name not in dates and _reads_as_time(frame[name], where))


def _reads_as_time(column: pl.Series, where: str) -> bool:
    try:
        return parse_times(column.drop_nulls().head(_SAMPLE_ROWS), where=where).len() > 1
    except InputError:
        if column.name.lower() in _SURE_TIME_NAMES and column.dtype == pl.String:
            raise
        return False


def _series_candidates(frame: pl.DataFrame, time: str) -> Iterator[tuple[str, ...]]:
    """No columns, then one, two, three: identifiers by name first, then the ones with the fewest values."""
    texts = (pl.String, pl.Categorical, pl.Enum)
    counts: dict[str, int] = {}
    for column in frame.get_columns():
        is_candidate = column.dtype in texts or (column.dtype.is_integer() and _IDENTIFIER.search(column.name))
        if is_candidate and column.name != time and column.null_count() == 0:
            counts[column.name] = column.n_unique()
    names = [name for name, count in counts.items() if count <= frame.height / 2]
    names.sort(key=lambda name: (_IDENTIFIER.search(name) is None, counts[name]))
    for width in range(_MOST_SERIES_COLUMNS + 1):
        yield from combinations(names[:_MOST_SERIES_CANDIDATES], width)


def _time_note(frame: pl.DataFrame, time: str) -> str:
    times = parse_times(frame[time], where="data")
    return f"from {times.min()!s} to {times.max()!s}"


def _series_note(frame: pl.DataFrame, series: Sequence[str]) -> str:
    if not series:
        return "each time occurs once, so the rows are one series"
    return f"each time occurs once in each of {frame.select(series).n_unique()} series"


# --- target ---------------------------------------------------------------------------------------


def _target(frame: pl.DataFrame, time: str | None, series: Sequence[str], where: str) -> tuple[str, str]:
    numbers = [name for name in frame.columns if frame[name].dtype.is_numeric() and name not in (time, *series)]
    likely = [name for name in numbers if name.lower() not in _NEVER_TARGETS and not _IDENTIFIER.search(name)]
    by_name = {name.lower(): name for name in reversed(likely)}
    for name in _TARGET_NAMES:
        if name in by_name:
            return by_name[name], "a usual name of a target"
    varied = [name for name in likely if frame[name].n_unique() > 2]
    for names in (varied, likely):
        if names:
            return names[-1], "the only column of numbers" if len(names) == 1 else "the last column of numbers"
    shown = ", ".join(f"{name} ({dtype})" for name, dtype in frame.schema.items())
    problem = f"must hold a column of numbers to forecast, found {shown}"
    raise InputError.at(where, f"{problem}. Check the sign for decimals and for missing values")


# --- numbers --------------------------------------------------------------------------------------


def _built(
    frame: pl.DataFrame, columns: Columns, where: str
) -> tuple[Panel, bool, Literal["error", "interpolate"], dict[str, str]]:
    """The panel under the strictest rules that the rows keep: a regular grid before "rows", no gaps before gaps."""
    selected = frame.select(columns.all)
    for frequency in ("auto", "rows"):
        is_inferred = frequency == "auto"
        try:
            panel = build_panel(selected, columns, missing="mask", frequency=frequency, where=where)
        except InputError:
            if not is_inferred or columns.time is None:
                raise
            continue
        notes = {"frequency": _frequency_note(panel.frequency, is_inferred)}
        try:
            build_panel(selected, columns, missing="error", frequency=frequency, where=where)
        except InputError as error:
            return panel, is_inferred, "interpolate", notes | {"missing": _missing_note(error)}
        return panel, is_inferred, "error", notes | {"missing": "no value and no step is missing; `error` keeps it so"}
    raise AssertionError("the last frequency either fits or raises")


def _frequency_note(frequency: Frequency, is_inferred: bool) -> str:
    if frequency.every == "rows":
        return "each row is a step" + ("" if is_inferred else ": some times lie off the grid of the others")
    return f"the times are {frequency.every.replace('i', '')} apart"


def _missing_note(error: InputError) -> str:
    found = re.search(r"but (.+?)(?: \(|\. )", str(error))
    return found[1] if found else "some values are missing"


def _season(panel: Panel, frame: pl.DataFrame) -> tuple[int, str]:
    every = panel.frequency.every
    if every != "rows" and not every.endswith("i"):
        season = infer_season(panel.frequency)
        return season, f"usual for steps of {every}" if season > 1 else f"steps of {every} have no usual season"
    if panel.columns.time is None:
        for part, count in (("quarter", 4), ("month", 12)):
            if part in _lower(frame):
                return count, f"the column '{part}'"
    elif panel.times.dtype.is_integer() and _are_years(panel.times):
        return 1, "years have none"
    season = detect_season(panel.target[:, 0], panel.starts)
    return season, "seen in the autocorrelation" if season > 1 else "none stands out in the autocorrelation"


def _are_years(times: pl.Series) -> bool:
    return bool(times.is_between(1500, 2200).all())


def _horizon(season: int, steps: int) -> tuple[int, str]:
    """One season (two when it is short), bounded by a fifth of a short series."""
    usual = _USUAL_HORIZON if season == 1 or season > _LONGEST_SEASON else season * (2 if season < 6 else 1)
    bound = max(steps // 5, 1)
    if usual > bound:
        return bound, f"a fifth of the {steps} steps of a short series"
    return (
        usual,
        "one season" if usual == season else "two seasons" if season > 1 else "a usual choice without a season",
    )


# --- the file -------------------------------------------------------------------------------------


def render_experiment(guess: Guess, *, path: str, file: str = "space.yaml") -> str:
    """The experiment file of a guess, as commented YAML that `load_experiment` reads.

    Args:
        guess: what to write.
        path: the data file, relative to where the experiment file goes.
        file: the experiment file, as the command in its first lines names it.
    """
    notes = {key: _comment(text) for key, text in guess.notes.items()}
    columns = guess.columns
    unused = f"\n  # Without a role: {_comment(', '.join(guess.unused))}" if guess.unused else ""
    frequency = "auto" if guess.is_inferred else "rows"
    return f"""\
# Forecasts {_comment(columns.targets[0])} {guess.horizon} steps ahead.
# Data: {_comment(path)}
# Each choice is a guess from the data, with its reason beside it; change what does not fit.
# The search takes 10 minutes at most; repeats of the best trials and the final training come after:
#   lstm-tune run {_comment(file)}

name: {_word(guess.name)}
task:
  kind: forecast
  horizon: {guess.horizon}  # {notes["horizon"]}
  season: {guess.season}  # {notes["season"]}
data:
  path: {_word(path)}
  time: {_word(columns.time) if columns.time else "null"}  # {notes["time"]}
  target: {_word(columns.targets[0])}  # {notes["target"]}
  series: {_words(columns.series) if columns.series else "null"}  # {notes["series"]}{unused}
  # Columns that help: past (known up to the present), known (also for the forecast steps), static.
  covariates: {{past: [], known: [], static: []}}
  missing: {guess.missing}  # {notes["missing"]}
  frequency: {frequency}  # {notes["frequency"]}
validation:
  test: {guess.test}  # {notes["test"]}
  folds: {guess.folds}  # {notes["folds"]}
search:
  trials: 64
  time_limit: 10m
  seed: 0
# The search space follows from the number of independent windows in the data. To set it yourself:
# space:
#   units: {{low: 8, high: 64, log: true}}
#   depth: [1, 2]
#   dropout: {{low: 0.0, high: 0.5}}
#   window: [{", ".join(str(window) for window in _windows(guess))}]
"""


def _windows(guess: Guess) -> list[int]:
    base = max(guess.season, guess.horizon, 2)
    return [base, 2 * base]


def _word(text: str) -> str:
    """Text as a YAML value, quoted where it would read as something else."""
    if _PLAIN_YAML.match(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)


def _comment(text: str) -> str:
    return " ".join(text.split())


def _words(texts: Sequence[str]) -> str:
    return f"[{', '.join(_word(text) for text in texts)}]"
