"""Figures of the winner's forecasts beside the truth."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl

from lstm_tune.report.facts import RunFacts
from lstm_tune.report.figures import HEIGHT, Chart, Figure, Picker, colours, highest, layered, legible
from lstm_tune.report.theme import role

MOST_SERIES = 50
"""Series whose forecasts a page holds."""

MOST_ROWS = 12_000
"""Forecast steps that a page holds, about a megabyte."""

MOST_POINTS = 2_000
"""Series in the scatter of errors."""

HISTORY = 3
"""Lengths of the test part that are shown before it."""

FEWEST_SERIES = 5
"""Series from which on their errors are compared one by one."""

MODEL = "LSTM"
ZOOM = alt.selection_interval(bind="scales", encodings=["x"], zoom="wheel![event.ctrlKey]")
"""A wheel alone scrolls the page."""

ONE_FORECAST = ["part:N", "origin:N"]


@dataclass(frozen=True)
class Shown:
    """The part of a run's forecasts that a page holds.

    Attributes:
        table: the rows; times without a zone, numbers rounded.
        series: the series, from the smallest error to the largest.
        errors: each one's mean absolute error as a share of its mean absolute truth.
        known: number of series there are.
        baseline: name of the baseline.
        level: of the intervals, such as `80 %`; empty where it is unknown.
    """

    table: pl.DataFrame
    series: list[str]
    errors: dict[str, float]
    known: int
    baseline: str
    level: str


def forecast_figures(facts: RunFacts) -> dict[str, Figure]:
    """The test, every fold, the error by step and, in a panel, by series; what the run does not have is left out."""
    if facts.forecasts is None:
        return {}
    shown = shown_forecasts(facts.forecasts, facts)
    parts = shown.table["part"].unique().to_list()
    found = {"steps": _steps_figure(facts.forecasts, shown)}
    if "test" in parts:
        found["test"] = _test_figure(facts.forecasts, shown)
    if any(part != "test" for part in parts):
        found["folds"] = _folds_figure(shown)
    if shown.known >= FEWEST_SERIES:
        found["series"] = _series_figure(facts.forecasts, shown)
    return found


def shown_forecasts(forecasts: pl.DataFrame, facts: RunFacts) -> Shown:
    """At most 50 series and 12,000 rows: the best, the worst, and evenly spread ones between them.

    Args:
        forecasts: the run's table.
        facts: for the names.
    """
    errors = _errors(forecasts, "forecast")
    order = errors.sort("error", "series", nulls_last=True)["series"].to_list()
    most = max(1, min(MOST_SERIES, MOST_ROWS // _longest(forecasts, ["series"]), len(order)))
    ranks = sorted({round(i * (len(order) - 1) / max(1, most - 1)) for i in range(most)})
    series = [order[rank] for rank in ranks]
    level = f"{facts.interval_level:.0%}".replace("%", " %") if facts.interval_level else ""
    baseline = facts.best_baseline.name if facts.best_baseline else "baseline"
    table = _plain(forecasts.filter(pl.col("series").is_in(series)))
    return Shown(table, series, dict(errors.iter_rows()), len(order), baseline, level)


def _errors(forecasts: pl.DataFrame, column: str) -> pl.DataFrame:
    """Mean absolute error of each series over its mean absolute truth, on the test where there is one."""
    test = forecasts.filter(pl.col("part") == "test")
    judged = (test if test.height else forecasts).filter(pl.col("truth").is_not_nan())
    error = (pl.col(column) - pl.col("truth")).abs().mean() / pl.col("truth").abs().mean()
    measured = judged.group_by("series", maintain_order=True).agg(error=error.cast(pl.Float64))
    finite = pl.when(pl.col("error").is_finite()).then("error")
    return forecasts.select(pl.col("series").unique(maintain_order=True)).join(
        measured.select("series", error=finite), on="series", how="left", maintain_order="left"
    )


def _plain(table: pl.DataFrame) -> pl.DataFrame:
    """Values that a browser reads well: rounded numbers, wall-clock times; the newest rows where there are too many."""
    numbers = ("truth", "forecast", "low", "high", "baseline")
    rounded = [pl.col(name).cast(pl.Float64).fill_nan(None).round_sig_figs(5) for name in numbers]
    table = table.sort("time").tail(MOST_ROWS).with_columns(rounded)
    if isinstance(table.schema["time"], pl.Datetime):
        table = table.with_columns(pl.col("time").dt.replace_time_zone(None))
    return table


def _pickers(shown: Shown) -> tuple[Picker, ...]:
    """What is on show: a series of the panel, the one in the middle first, and one of several targets."""
    middle = shown.series[len(shown.series) // 2]
    names = [middle, *(name for name in shown.series if name != middle)]
    series = Picker("series", "Series", tuple((name, _labelled(name, shown)) for name in names))
    targets = Picker(
        "target", "Target", tuple((name, name) for name in shown.table["target"].unique(maintain_order=True))
    )
    return tuple(picker for picker in (series, targets) if len(picker.options) > 1)


def _labelled(name: str, shown: Shown) -> str:
    error = shown.errors.get(name)
    return name if error is None else f"{name} (error {error:.1%})"


def _test_figure(forecasts: pl.DataFrame, shown: Shown) -> Figure:
    table, test = shown.table, shown.table.filter(pl.col("part") == "test")
    most = HISTORY * _longest(test)
    keys = ["series", "target"]
    before = table.filter(pl.col("part") != "test").group_by(keys, maintain_order=True).tail(most)
    history = before.with_columns(
        pl.lit(None, pl.Float64).alias(name) for name in ("forecast", "low", "high", "baseline")
    )
    chart = _timeline(pl.concat([history.select(test.columns), test]), shown, height=HEIGHT + 60)
    caption = (
        f"The last steps of the data, forecast once, after the choice was made. {_coverage(forecasts, shown, 'test')}"
    )
    return Figure(
        "test-forecast", "The test: forecast against truth", caption + _left_out(shown), (chart,), _pickers(shown)
    )


def _folds_figure(shown: Shown) -> Figure:
    table = shown.table.filter(pl.col("part") != "test")
    caption = (
        "What the chosen configuration forecast in each validation fold, with weights that had seen only the steps"
        " before it. Drag to move; pinch, or scroll with Ctrl held, to zoom; double-click for the whole."
    )
    chart = _timeline(table, shown, height=HEIGHT, is_zoomable=True)
    return Figure("fold-forecasts", "Every fold", caption + _left_out(shown), (chart,), _pickers(shown))


def _longest(table: pl.DataFrame, keys: Sequence[str] = ("series", "target")) -> int:
    """Rows of the longest series."""
    sizes: list[int] = table.group_by(keys).len()["len"].to_list()
    return max(sizes)


def _coverage(forecasts: pl.DataFrame, shown: Shown, part: str) -> str:
    """How many true values the intervals hold, over all series; empty without intervals."""
    rows = forecasts.filter(pl.col("part") == part).drop_nulls(["truth", "low", "high"])
    if not rows.height:
        return ""
    inside = rows.filter(pl.col("truth").is_between("low", "high")).height
    name = f"The {shown.level} interval" if shown.level else "The interval"
    return f"{name} holds {inside:,} of {rows.height:,} true values ({inside / rows.height:.0%})."


def _left_out(shown: Shown) -> str:
    if len(shown.series) == shown.known:
        return ""
    return (
        f" {len(shown.series)} of {shown.known:,} series are on this page: the one with the smallest error, the one"
        " with the largest, and others spread evenly between them."
    )


def _timeline(table: pl.DataFrame, shown: Shown, *, height: int, is_zoomable: bool = False) -> Chart:
    """Truth, forecasts with their intervals and the baseline over time, for what is picked."""
    pickers = _pickers(shown)
    base = alt.Chart(table)
    for picker in pickers:
        base = base.transform_filter(f"datum.{picker.signal} === {picker.signal}Picked")
    scale = colours({"truth": "ink", MODEL: "lstm", shown.baseline: "baseline"})
    title = table["target"][0] if table["target"].n_unique() == 1 else "target"
    y = alt.Y("value:Q", title=title, scale=alt.Scale(zero=False))
    colour = alt.Color("who:N", scale=scale, legend=alt.Legend(title=None))
    truth = _valued(base, "truth", "truth").mark_line(strokeWidth=1.75).encode(_time(table), y, colour)
    forecast = _valued(base, "forecast", MODEL).mark_line(strokeWidth=2.5)
    baseline = _valued(base, "baseline", shown.baseline).mark_line(strokeDash=[5, 4], strokeWidth=1.5)
    chart = layered(
        _interval(base, table),
        baseline.encode(_time(table), y, colour, detail=ONE_FORECAST) if _has(table, "baseline") else None,
        truth,
        forecast.encode(_time(table), y, colour, detail=ONE_FORECAST),
        *_part_marks(base, table),
        _pointer(base, table, shown),
    )
    chart = chart.add_params(*(picker.param() for picker in pickers)).properties(height=height)
    return chart.add_params(ZOOM) if is_zoomable else chart


def _valued(base: alt.Chart, column: str, name: str) -> alt.Chart:
    """One column as the value of somebody with a name."""
    present = base.transform_filter(f"isValid(datum.{column})")
    return present.transform_calculate(who=json.dumps(name), value=f"datum.{column}")


def _interval(base: alt.Chart, table: pl.DataFrame) -> alt.Chart | None:
    if not _has(table, "low"):
        return None
    area = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.18, color=role("lstm"))
    band: alt.Chart = area.encode(_time(table), alt.Y("low:Q"), alt.Y2("high:Q"), detail=ONE_FORECAST)
    return band


def _has(table: pl.DataFrame, column: str) -> bool:
    return table[column].null_count() < table.height


def _time(table: pl.DataFrame) -> alt.X:
    """Steps where the data has no times; an integer is a number of one."""
    is_temporal = table.schema["time"].is_temporal()
    return alt.X("time:T", title=None) if is_temporal else alt.X("time:Q", title="step", scale=alt.Scale(zero=False))


def _part_marks(base: alt.Chart, table: pl.DataFrame) -> list[alt.Chart]:
    """A line and a name where each part begins."""
    parts = table.drop_nulls("forecast").group_by("series", "target", "part", maintain_order=True)
    starts = base.properties(data=parts.agg(pl.col("time").min()))
    rule = starts.mark_rule(strokeDash=[2, 3], color=role("faint")).encode(_time(table))
    text = starts.mark_text(align="left", dx=5, dy=6, baseline="top")
    return [rule, *legible(text.encode(_time(table), text="part:N", y=alt.value(0)))]


def _pointer(base: alt.Chart, table: pl.DataFrame, shown: Shown) -> alt.Chart:
    """A line that follows the pointer and tells the numbers there."""
    nearest = alt.selection_point(fields=["time"], nearest=True, on="pointerover", clear="pointerout", empty=False)
    moment = alt.Tooltip("time:T") if table.schema["time"].is_temporal() else alt.Tooltip("time:Q", title="step")
    titles = {"truth": "truth", "forecast": MODEL, "low": "low", "high": "high", "baseline": shown.baseline}
    numbers = [
        alt.Tooltip(f"{name}:Q", title=title, format=",.5~g") for name, title in titles.items() if _has(table, name)
    ]
    rule: alt.Chart = base.mark_rule(color=role("muted"), strokeWidth=1).encode(
        _time(table),
        opacity=alt.condition(nearest, alt.value(0.7), alt.value(0)),
        tooltip=[moment, alt.Tooltip("part:N"), alt.Tooltip("step:Q", title="steps ahead"), *numbers],
    )
    return rule.add_params(nearest)


def _steps_figure(forecasts: pl.DataFrame, shown: Shown) -> Figure:
    scale = (pl.col("truth").abs().mean()).over("series", "target")
    errors = forecasts.with_columns(scale=scale).select(
        "step",
        **{
            name: (pl.col(column) - pl.col("truth")).abs() / pl.col("scale")
            for column, name in (("forecast", MODEL), ("baseline", shown.baseline))
        },
    )
    long = errors.unpivot(index="step", variable_name="who", value_name="error").filter(pl.col("error").is_finite())
    table = long.group_by("step", "who").agg(pl.col("error").mean().cast(pl.Float64)).sort("step")
    roles = {MODEL: "lstm", shown.baseline: "baseline"}
    chart = (
        alt.Chart(table)
        .mark_line(point=True)
        .encode(
            alt.X("step:Q", title="steps ahead", axis=alt.Axis(tickMinStep=1, format="d")),
            alt.Y("error:Q", title="mean absolute error, share of the truth", axis=alt.Axis(format="%")),
            alt.Color("who:N", scale=colours(roles), legend=alt.Legend(title=None)),
            tooltip=[alt.Tooltip("who:N", title="forecast"), "step:Q", alt.Tooltip("error:Q", format=".2%")],
        )
        .properties(height=HEIGHT)
    )
    caption = "Over all folds, the test and all series. The error is measured against the mean size of each series."
    return Figure("error-by-step", "How the error grows with the distance", caption, (chart,))


def _series_figure(forecasts: pl.DataFrame, shown: Shown) -> Figure:
    own, other = _errors(forecasts, "forecast"), _errors(forecasts, "baseline").rename({"error": "baseline"})
    table = own.join(other, on="series").drop_nulls().filter((pl.col("error") > 0) & (pl.col("baseline") > 0))
    better = table.filter(pl.col("error") < pl.col("baseline")).height
    known, table = table.height, table.sort("series").sample(min(table.height, MOST_POINTS), seed=0)
    low = min(_least(table["error"]), _least(table["baseline"]))
    high = max(highest(table["error"], share=1), highest(table["baseline"], share=1))
    scale = alt.Scale(type="log", domain=[low, high], nice=False)
    percent = alt.Axis(format="~%", tickCount=5)
    points = (
        alt.Chart(table)
        .mark_circle(color=role("lstm"), opacity=0.65)
        .encode(
            alt.X("baseline:Q", title=f"error of {shown.baseline}", scale=scale, axis=percent),
            alt.Y("error:Q", title="error of the LSTM", scale=scale, axis=percent),
            tooltip=[
                alt.Tooltip("series:N"),
                alt.Tooltip("error:Q", title=MODEL, format=".1%"),
                alt.Tooltip("baseline:Q", title=shown.baseline, format=".1%"),
            ],
        )
    )
    ends = pl.DataFrame({"baseline": [low, high], "error": [low, high]})
    line = alt.Chart(ends).mark_line(color=role("faint"), strokeWidth=1).encode(alt.X("baseline:Q"), alt.Y("error:Q"))
    caption = f"One point a series; below the line the LSTM is better: {better:,} of {known:,} series." + (
        f" {table.height:,} of them are drawn." if table.height < known else ""
    )
    chart = layered(line, points).properties(height=HEIGHT)
    return Figure("error-by-series", "Where the LSTM is better, series by series", caption, (chart,))


def _least(values: pl.Series) -> float:
    least = values.min()
    return float(least) if isinstance(least, int | float) and math.isfinite(least) else 1e-3
