"""Figures of the search: its history, what mattered, and what the size of a network bought."""

from collections.abc import Sequence

import altair as alt
import polars as pl

from lstm_tune.report.axes import Axis, axis_of, spoken
from lstm_tune.report.facts import RunFacts
from lstm_tune.report.figures import HEIGHT, Chart, Figure, colours, highest, layered, legible
from lstm_tune.report.theme import role
from lstm_tune.spec.events import TrialEnded

MOST_LINES = 150
"""Trials in the parallel coordinates."""

MOST_TRIALS = 1_500
"""Trials in a scatter: the best."""

SHOWN_SHARE = 0.9
"""Share of the complete trials inside the axis; worse ones lie on its edge, or they would flatten the rest."""

STATES = {"complete": "lstm", "stopped early": "faint", "breaks a constraint": "baseline", "chosen": "chosen"}
"""How a trial ended to its colour."""


def search_figures(facts: RunFacts) -> dict[str, Figure]:
    """The figures of a search with at least one score."""
    if not facts.scored:
        return {}
    table = trials_table(facts)
    found = {"history": _history(table, facts)}
    if facts.complete:
        found["size"] = _size(table, facts)
    if facts.importances:
        found["importances"] = _importances(facts)
    if facts.searched:
        found["slices"] = _slices(table, facts)
    if len(facts.searched) > 1 and len(facts.complete) > 1:
        found["parallel"] = _parallel(facts)
    return found


def trials_table(facts: RunFacts) -> pl.DataFrame:
    """One row a scored trial, the chosen one last, so that nothing covers it; `hp_<name>` for each hyperparameter."""
    winner = facts.story.winner.trial if facts.story.winner else None
    ends = sorted(facts.ranked[:MOST_TRIALS], key=lambda end: (end.trial == winner, end.state == "complete", end.trial))
    schema = {"trial": pl.Int64, "state": pl.String, "score": pl.Float64, "error": pl.Float64, "parameters": pl.Int64}
    rows = [
        (
            end.trial,
            _state(end, winner),
            end.score,
            end.standard_error,
            end.parameters,
        )
        for end in ends
    ]
    table = pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("score", "error").round_sig_figs(5))
    return table.with_columns(_values(ends, name, _axis(facts, name)) for name in facts.searched)


def _state(end: TrialEnded, winner: int | None) -> str:
    if end.trial == winner:
        return "chosen"
    if end.violations:
        return "breaks a constraint"
    return "complete" if end.state == "complete" else "stopped early"


def _values(ends: Sequence[TrialEnded], name: str, axis: Axis) -> pl.Series:
    """A list's values as text, a range's as numbers."""
    values = [end.hyperparameters.get(name) for end in ends]
    if axis.values:
        return pl.Series(f"hp_{name}", [None if value is None else spoken(value) for value in values], pl.String)
    numbers = [None if value is None else float(value) for value in values]
    return pl.Series(f"hp_{name}", numbers, pl.Float64).round_sig_figs(5)


def _axis(facts: RunFacts, name: str) -> Axis:
    return axis_of(name, facts.space.get(name), (end.hyperparameters.get(name) for end in facts.scored))


def _score_axis(table: pl.DataFrame, metric: str, *more: float) -> alt.Y:
    """The range of what matters: the complete trials and the better half of all."""
    complete = table.filter(pl.col("state").is_in(["complete", "chosen"]))
    high = max(highest(table["score"], share=0.5), highest(complete["score"], share=SHOWN_SHARE), *more, 0.0)
    low = highest(table["score"], share=0.0)
    margin = 0.06 * (high - low) or 0.1 * abs(low) or 1.0
    scale = alt.Scale(domain=[low - margin, high + margin], clamp=True, nice=False)
    return alt.Y("score:Q", title=metric, scale=scale)


LEGEND = alt.Legend(title=None, symbolType="circle", symbolOpacity=1)


def _states(table: pl.DataFrame, legend: alt.Legend | None = LEGEND) -> alt.Color:
    present = set(table["state"])
    roles = {name: colour for name, colour in STATES.items() if name in present}
    return alt.Color("state:N", scale=colours(roles), legend=legend)


def _trial_tooltip(facts: RunFacts, table: pl.DataFrame) -> list[alt.Tooltip]:
    names = [name for name in facts.searched if f"hp_{name}" in table.columns]
    return [
        alt.Tooltip("trial:Q"),
        alt.Tooltip("state:N"),
        alt.Tooltip("score:Q", title=facts.metric, format=".4~g"),
        alt.Tooltip("parameters:Q", format=","),
        *(alt.Tooltip(f"hp_{name}", title=name) for name in names),
    ]


def _history(table: pl.DataFrame, facts: RunFacts) -> Figure:
    baseline = facts.best_baseline
    y = _score_axis(table, facts.metric, *([baseline.score] if baseline else []))
    complete = table.filter(pl.col("state").is_in(["complete", "chosen"])).sort("trial")
    best = complete.select("trial", score=pl.col("score").cum_min())
    x = alt.X("trial:Q", title="trial", axis=alt.Axis(tickMinStep=1, format="d"))
    points = alt.Chart(table).mark_circle(size=60, opacity=0.9)
    points = points.encode(x, y, _states(table), tooltip=_trial_tooltip(facts, table))
    line = alt.Chart(best).mark_line(interpolate="step-after", color=role("lstm"), strokeWidth=1.5).encode(x, y)
    level = _level(baseline.score, f"best baseline: {baseline.name}", y) if baseline else []
    caption = (
        "The line is the best complete trial so far. A trial stopped early shows the best fold mean it had reached."
        " Much worse scores lie on the upper edge."
    )
    return Figure(
        "history", "The course of the search", caption, (layered(line, *level, points).properties(height=HEIGHT),)
    )


def _level(score: float, words: str, y: alt.Y) -> list[alt.Chart]:
    """A horizontal line with its name."""
    base = alt.Chart(pl.DataFrame({"score": [score], "words": [words]})).encode(y)
    rule = base.mark_rule(color=role("baseline"), strokeDash=[5, 4], strokeWidth=1.5)
    text = base.mark_text(align="right", dy=-7, color=role("baseline")).encode(text="words:N", x=alt.value("width"))
    return [rule, *legible(text)]


def _size(table: pl.DataFrame, facts: RunFacts) -> Figure:
    complete = table.filter(pl.col("state").is_in(["complete", "chosen"]))
    complete = complete.with_columns(low=pl.col("score") - pl.col("error"), high=pl.col("score") + pl.col("error"))
    best, chosen = facts.complete[0], facts.story.winner
    assert best.score is not None, "a complete trial has a score"
    limit = best.score + (best.standard_error or 0.0)
    low = min(highest(complete["low"], share=0.0), best.score) if complete["low"].count() else best.score
    high = max(highest(complete["score"], share=SHOWN_SHARE), limit)
    margin = 0.06 * (high - low) or 0.1 * abs(low) or 1.0
    y_scale = alt.Scale(domain=[low - margin, high + margin], clamp=True, nice=False)
    x = alt.X(
        "parameters:Q",
        title="parameters of the network",
        scale=alt.Scale(type="log", nice=False, padding=14),
        axis=alt.Axis(format="~s", tickCount=5, labelOverlap=True),
    )
    limits = pl.DataFrame({"low": [best.score], "high": [limit]})
    band = alt.Chart(limits).mark_rect(color=role("lstm"), opacity=0.12)
    band = band.encode(alt.Y("low:Q", scale=y_scale), alt.Y2("high:Q"), x=alt.value(0), x2=alt.value("width"))
    base = alt.Chart(complete)
    bars = base.transform_filter("isValid(datum.low)").mark_rule(opacity=0.4, clip=True)
    bars = bars.encode(x, alt.Y("low:Q", scale=y_scale, title=facts.metric), alt.Y2("high:Q"), _states(complete))
    points = base.mark_circle(size=90, opacity=0.95)
    points = points.encode(
        x,
        alt.Y("score:Q", scale=y_scale, title=facts.metric),
        _states(complete),
        tooltip=_trial_tooltip(facts, complete),
    )
    caption = (
        "Complete trials with their standard errors over the folds. The band reaches one standard error above the best"
        f" score ({best.score:.4g})." + (f" Trial {chosen.trial} was chosen: {chosen.reason}." if chosen else "")
    )
    return Figure("size", "What size buys", caption, (layered(band, bars, points).properties(height=HEIGHT),))


def _importances(facts: RunFacts) -> Figure:
    table = pl.DataFrame(list(facts.importances.items()), schema=["name", "share"], orient="row")
    table = table.sort("share", descending=True)
    base = alt.Chart(table).encode(alt.Y("name:N", scale=alt.Scale(domain=list(table["name"])), title=None))
    bare = alt.Axis(labels=False, ticks=False, domain=False, titleAnchor="start")
    x = alt.X("share:Q", title="share of what separates the best trials from the rest", axis=bare)
    bars = base.mark_bar(color=role("lstm"), cornerRadiusEnd=3, height=alt.RelativeBandSize(0.62))
    bars = bars.encode(x, tooltip=[alt.Tooltip("name:N", title="hyperparameter"), alt.Tooltip("share:Q", format=".1%")])
    text = base.mark_text(align="left", dx=5).encode(alt.X("share:Q"), alt.Text("share:Q", format=".0%"))
    caption = (
        f"PED-ANOVA over the {len(facts.complete):,} complete trials. With few trials the order is rough; a"
        " hyperparameter that every good and bad trial shares counts as unimportant."
    )
    chart = layered(bars, text).properties(height=28 * table.height)
    return Figure("importances", "Which hyperparameters mattered", caption, (chart,))


def _slices(table: pl.DataFrame, facts: RunFacts) -> Figure:
    charts = tuple(
        _slice(table, name, facts) for name in facts.searched if table[f"hp_{name}"].null_count() < table.height
    )
    caption = "Every scored trial at its value of one hyperparameter. Much worse scores lie on the upper edge."
    return Figure("slices", "Score against each hyperparameter", caption, charts)


def _slice(table: pl.DataFrame, name: str, facts: RunFacts) -> Chart:
    column = f"hp_{name}"
    active = table.filter(pl.col(column).is_not_null())
    points = alt.Chart(active).mark_circle(size=44, opacity=0.85).properties(height=170)
    chart: alt.Chart = points.encode(
        _value_axis(_axis(facts, name)),
        _score_axis(table, facts.metric),
        _states(table, legend=None),
        tooltip=_trial_tooltip(facts, table),
    )
    return chart


def _value_axis(axis: Axis) -> alt.X:
    """A list's values side by side; a range on its own scale."""
    if axis.values:
        order = [spoken(value) for value in axis.values]
        return alt.X(f"hp_{axis.name}:O", title=axis.name, sort=order, axis=alt.Axis(labelAngle=0))
    return alt.X(
        f"hp_{axis.name}:Q",
        title=axis.name,
        scale=_range(axis),
        axis=alt.Axis(format="~g", tickCount=4, labelOverlap=True),
    )


def _range(axis: Axis) -> alt.Scale:
    return alt.Scale(type="log" if axis.is_log else "linear", domain=[axis.low, axis.high], nice=False, padding=8)


def _parallel(facts: RunFacts) -> Figure:
    ends = facts.complete[:MOST_LINES]
    table = pl.concat([_crossings(ends, _axis(facts, name)) for name in facts.searched])
    scores = pl.DataFrame([(end.trial, end.score) for end in ends], schema=["trial", "score"], orient="row")
    table = table.join(scores.with_columns(pl.col("score").round_sig_figs(5)), on="trial").sort(
        "score", descending=True
    )
    x = alt.X(
        "name:N",
        title=None,
        axis=alt.Axis(labelExpr="split(datum.label, '_')", labelAngle=0, domain=False, ticks=False, labelPadding=16),
        scale=alt.Scale(domain=facts.searched, padding=0.3),
    )
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[-0.14, 1.04], nice=False))
    reach = alt.Scale(
        range=[role("lstm"), role("faint")],
        domain=[highest(scores["score"], share=0.0), highest(scores["score"], share=SHOWN_SHARE)],
        clamp=True,
    )
    near = alt.selection_point(fields=["trial"], on="pointerover", clear="pointerout", empty=False)
    base = alt.Chart(table)
    lines = base.mark_line(strokeWidth=1.6).encode(
        x,
        y,
        alt.Color("score:Q", scale=reach, legend=alt.Legend(title=facts.metric, gradientLength=160, format=".3~g")),
        detail="trial:N",
        opacity=alt.condition(near, alt.value(1), alt.value(0.55)),
        strokeWidth=alt.condition(near, alt.value(4), alt.value(1.4)),
        tooltip=[alt.Tooltip("trial:Q"), alt.Tooltip("score:Q", title=facts.metric), *_line_tooltip(facts)],
    )
    marks = pl.concat([_labels(_axis(facts, name)) for name in facts.searched])
    labels = alt.Chart(marks).mark_text(align="left", dx=6, fontSize=11).encode(x, y, text="label:N")
    rules = alt.Chart(marks).mark_line(color=role("faint"), strokeWidth=1).encode(x, y, detail="name:N")
    caption = f"One line a complete trial{_most(len(facts.complete))}; the bluer, the better. At the foot: not active."
    chart = layered(rules, lines.add_params(near), *legible(labels)).properties(height=320)
    return Figure("parallel", "Configurations side by side", caption, (chart,), least_width=86 * len(facts.searched))


def _line_tooltip(facts: RunFacts) -> list[alt.Tooltip]:
    return [alt.Tooltip("name:N", title="hyperparameter"), alt.Tooltip("value:N")]


def _most(known: int) -> str:
    return f", the best {MOST_LINES} of {known:,}" if known > MOST_LINES else ""


def _crossings(ends: Sequence[TrialEnded], axis: Axis) -> pl.DataFrame:
    """Where each trial's line crosses an axis, and its value there."""
    values = [end.hyperparameters.get(axis.name) for end in ends]
    rows = [
        (end.trial, axis.name, axis.place(value), "not active" if value is None else spoken(value))
        for end, value in zip(ends, values, strict=True)
    ]
    return pl.DataFrame(rows, schema=["trial", "name", "place", "value"], orient="row")


def _labels(axis: Axis) -> pl.DataFrame:
    rows = [(axis.name, place, label) for place, label in axis.labels()]
    return pl.DataFrame(rows, schema=["name", "place", "label"], orient="row")
