"""Figures of training and of what is compared: learning curves, baselines and the folds on a time line."""

import json
from collections.abc import Sequence

import altair as alt
import polars as pl

from lstm_tune.report.facts import RunFacts
from lstm_tune.report.figures import HEIGHT, Figure, Picker, colours, highest, layered
from lstm_tune.report.theme import role
from lstm_tune.selection.records import TrialRecord

MOST_CURVES = 40
"""Trials whose learning curves a page holds: the best."""

MOST_EPOCHS = 200
"""Epochs of a curve that are drawn."""

SHOWN_SHARE = 0.95
"""Share of the curves' values inside the axis; the first epochs would flatten the rest."""


def training_figures(facts: RunFacts) -> dict[str, Figure]:
    """The learning curves, baselines and folds that the run has."""
    found = {}
    if any(record.curve for record in facts.records.values()):
        found["curves"] = _curves(facts)
    if facts.story.baselines:
        found["baselines"] = _baselines(facts)
    if facts.manifest.get("folds"):
        found["timeline"] = _timeline(facts)
    return found


def _curves(facts: RunFacts) -> Figure:
    records = _curved(facts)
    table = pl.concat([_curve(record) for record in records])
    picker = Picker("trial", "Trial", tuple((str(record.trial), _labelled(record, facts)) for record in records))
    high = highest(pl.concat([table["score"], table["train"]]), share=SHOWN_SHARE)
    y = alt.Y("score:Q", title=facts.metric, scale=alt.Scale(domainMax=high, zero=False, nice=False))
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d"), scale=alt.Scale(nice=False))
    others = alt.Chart(table).mark_line(strokeWidth=1, opacity=0.45, color=role("faint"), clip=True)
    others = others.encode(x, y, detail="trial:N")
    picked = alt.Chart(table).transform_filter("toString(datum.trial) === trialPicked")
    layers = [others, _line(picked, "train", "training", x), _line(picked, "score", "validation", x)]
    layers += [*_best_epoch(records, x), *_pointer(picked, x, facts)]
    caption = (
        "Fold means of the metric, epoch by epoch: where the two lines part, the network learns the training rows by"
        f" heart. Grey: validation of the {f'best {MOST_CURVES}' if len(records) == MOST_CURVES else 'other'} trials."
    )
    chart = layered(*layers).add_params(picker.param()).properties(height=HEIGHT + 20)
    return Figure("learning-curves", "Learning curves", caption, (chart,), (picker,))


def _curved(facts: RunFacts) -> list[TrialRecord]:
    """Trials with a curve: the winner, then the best, then those that run."""
    order = [end.trial for end in facts.ranked] + sorted(facts.records)
    order = [facts.leader, *order] if facts.leader is not None else order
    records = [facts.records[trial] for trial in dict.fromkeys(order)]
    return [record for record in records if record.curve][:MOST_CURVES]


def _labelled(record: TrialRecord, facts: RunFacts) -> str:
    chosen = ", chosen" if facts.story.winner and facts.story.winner.trial == record.trial else ""
    score = f" ({record.end.score:.4g}{chosen})" if record.end and record.end.score is not None else ""
    return f"trial {record.trial}{score}"


def _curve(record: TrialRecord) -> pl.DataFrame:
    """At most 200 epochs, the last among them."""
    every = -(-len(record.curve) // MOST_EPOCHS)
    rows = [(record.trial, int(epoch), score, train) for epoch, score, train in record.curve[::-1][::every][::-1]]
    schema = {"trial": pl.Int64, "epoch": pl.Int64, "score": pl.Float64, "train": pl.Float64}
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(pl.col("score", "train").round_sig_figs(4))


def _line(picked: alt.Chart, column: str, name: str, x: alt.X) -> alt.Chart:
    scale = colours({"validation": "lstm", "training": "train"})
    dash = [1, 0] if name == "validation" else [6, 3]
    colour = alt.Color("who:N", scale=scale, legend=alt.Legend(title=None))
    named = picked.transform_calculate(who=json.dumps(name))
    line = named.mark_line(clip=True, strokeDash=dash, strokeWidth=2.25)
    encoded: alt.Chart = line.encode(x, alt.Y(f"{column}:Q"), colour)
    return encoded


def _best_epoch(records: Sequence[TrialRecord], x: alt.X) -> list[alt.Chart]:
    """A vertical line where the weights were kept."""
    ends = [record.end for record in records if record.end and record.end.best_epoch]
    rows = [(end.trial, end.best_epoch, f"best epoch {end.best_epoch}") for end in ends]
    table = pl.DataFrame(rows, schema={"trial": pl.Int64, "epoch": pl.Int64, "words": pl.String}, orient="row")
    base = alt.Chart(table).transform_filter("toString(datum.trial) === trialPicked")
    rule = base.mark_rule(color=role("muted"), strokeDash=[2, 3]).encode(x)
    text = base.mark_text(align="left", dx=6, dy=4, baseline="top").encode(x, text="words:N", y=alt.value(0))
    return [rule, text] if rows else []


def _pointer(picked: alt.Chart, x: alt.X, facts: RunFacts) -> list[alt.Chart]:
    nearest = alt.selection_point(fields=["epoch"], nearest=True, on="pointerover", clear="pointerout", empty=False)
    rule = picked.mark_rule(color=role("muted")).encode(
        x,
        opacity=alt.condition(nearest, alt.value(0.7), alt.value(0)),
        tooltip=[
            alt.Tooltip("epoch:Q"),
            alt.Tooltip("score:Q", title=f"validation {facts.metric}", format=".4~g"),
            alt.Tooltip("train:Q", title=f"training {facts.metric}", format=".4~g"),
        ],
    )
    return [rule.add_params(nearest)]


def _baselines(facts: RunFacts) -> Figure:
    table = _compared(facts)
    order = table.group_by("name").agg(pl.col("score").min()).sort("score")["name"].to_list()
    y = alt.Y("name:N", scale=alt.Scale(domain=order), title=None, axis=alt.Axis(grid=True))
    x = alt.X("score:Q", title=facts.metric, scale=alt.Scale(zero=False), axis=alt.Axis(grid=True))
    parts = table["what"].unique(maintain_order=True).to_list()
    shape = alt.Shape(
        "what:N",
        scale=alt.Scale(domain=parts, range=["circle", "diamond"][: len(parts)]),
        legend=alt.Legend(title=None, symbolFillColor=role("muted"), symbolStrokeColor=role("muted")),
    )
    kinds = alt.Color("kind:N", scale=colours({"LSTM": "lstm", "baseline": "baseline"}), legend=None)
    base = alt.Chart(table)
    bars = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2, opacity=0.5)
    bars = bars.encode(alt.X("low:Q", title=facts.metric), alt.X2("high:Q"), y, kinds)
    points = base.mark_point(size=110, filled=True, opacity=1)
    points = points.encode(
        x, y, kinds, shape, tooltip=["name:N", "what:N", alt.Tooltip("score:Q", title=facts.metric, format=".4~g")]
    )
    caption = "The same targets for all, with standard errors over the folds."
    if "LSTM" in order:
        caption += (
            " The search has seen the LSTM's validation score, so it is a little too good; the test score is not."
        )
    chart = layered(bars, points).properties(height=34 * len(order))
    return Figure("baselines", "The LSTM beside simple forecasts", caption, (chart,))


def _compared(facts: RunFacts) -> pl.DataFrame:
    """Scores of the chosen (or best) trial and the baselines, in validation and on the test."""
    story = facts.story
    rows: list[tuple[str, str, str, float, float | None]] = []
    leader = facts.records[facts.leader].end if facts.leader is not None else None
    if leader and leader.score is not None:
        rows.append(("LSTM", "LSTM", "validation", leader.score, leader.standard_error))
    for name, baseline in story.baselines.items():
        rows.append((name, "baseline", "validation", baseline.score, baseline.standard_error))
    if story.test:
        rows.append(("LSTM", "LSTM", "test", story.test.score, None))
        rows += [(name, "baseline", "test", score, None) for name, score in story.test.baselines.items()]
    schema = {"name": pl.String, "kind": pl.String, "what": pl.String, "score": pl.Float64, "error": pl.Float64}
    table = pl.DataFrame(rows, schema=schema, orient="row").drop_nulls("score")
    return table.with_columns(low=pl.col("score") - pl.col("error"), high=pl.col("score") + pl.col("error"))


def _timeline(facts: RunFacts) -> Figure:
    table = pl.DataFrame(_segments(facts), schema=["row", "kind", "start", "end"], orient="row")
    roles = {"training": "faint", "validation": "lstm", "test": "baseline"}
    base = alt.Chart(table)
    bars = base.mark_bar(height=alt.RelativeBandSize(0.6), cornerRadius=2)
    chart = bars.encode(
        alt.X("start:Q", title="step of the longest series", scale=alt.Scale(nice=False)),
        alt.X2("end:Q"),
        alt.Y("row:N", sort=None, title=None),
        alt.Color("kind:N", scale=colours({name: roles[name] for name in roles if name in set(table["kind"])})),
        tooltip=[
            "row:N",
            "kind:N",
            alt.Tooltip("start:Q", title="first step"),
            alt.Tooltip("end:Q", title="up to step"),
        ],
    ).properties(height=30 * table["row"].n_unique())
    caption = (
        "What each fold trains on and is judged on. Nothing is fitted on steps that judge it; the test stays locked."
    )
    return Figure("timeline", "The folds on the time line", caption, (chart,))


def _segments(facts: RunFacts) -> list[tuple[str, str, int, int]]:
    rows: list[tuple[str, str, int, int]] = []
    folds = [fold["longest_series"] for fold in facts.manifest["folds"]]
    for number, fold in enumerate(folds, start=1):
        rows.append((f"fold {number}", "training", 0, fold["train_end"]))
        rows.append((f"fold {number}", "validation", fold["block_start"], fold["block_end"]))
    last, test = folds[-1], int(facts.manifest.get("test_steps", 0))
    if test:
        gap = last["block_start"] - last["train_end"]
        rows.append(("final", "training", 0, last["block_end"] - gap))
        rows.append(("final", "test", last["block_end"], last["block_end"] + test))
    return rows
