"""The page: words and charts put into the template. What comes from a user's files is escaped here."""

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any

import altair as alt

from lstm_tune import __version__
from lstm_tune.report import words
from lstm_tune.report.facts import RunFacts
from lstm_tune.report.figures import Chart, Figure
from lstm_tune.report.theme import DARK, LIGHT, config
from lstm_tune.report.vega import vega_bundle

SECTIONS = {
    "Test": ("test",),
    "Validation": ("folds", "baselines", "steps", "series"),
    "Search": ("history", "size", "importances", "slices", "parallel"),
    "Training": ("curves",),
}
"""Heading to its figures, in order. The details come after."""

MISSING = {
    "Test": "There is no forecast of the test part: the run has none, or has not come so far.",
    "Validation": "There are no forecasts and no baselines yet.",
    "Search": "No trial has a score yet.",
    "Training": "No trial has reported an epoch yet.",
}
"""What a section says that has no figure."""


def render_page(facts: RunFacts, figures: Mapping[str, Figure]) -> str:
    """One HTML document that needs nothing beside itself.

    Args:
        facts: the run.
        figures: by key; a key of `SECTIONS` that is missing is left out.
    """
    top = words.head(facts)
    data, specs = _embedded(figures)
    return Template(_asset("page.html")).substitute(
        name=escape(facts.name),
        subtitle=escape(words.subtitle(facts)),
        tone=top.tone,
        eyebrow=escape(top.eyebrow),
        headline=escape(top.headline),
        findings="".join(f"<p>{escape(text)}</p>" for text in top.findings if text),
        tiles="".join(_tile(tile) for tile in words.tiles(facts)),
        navigation="".join(f'<a href="#{title.lower()}">{title}</a>' for title in [*SECTIONS, "Details"]),
        sections="".join(_section(title, names, figures) for title, names in SECTIONS.items()),
        details=_details(facts, figures),
        version=escape(__version__),
        style=_asset("page.css"),
        vega=vega_bundle(),
        content=_json({"themes": _themes(), "data": data, "figures": specs}),
        script=_asset("page.js"),
    )


def _asset(name: str) -> str:
    return files("lstm_tune.report").joinpath("assets", name).read_text(encoding="utf-8")


def _themes() -> dict[str, Any]:
    return {
        name: {"colours": colours, "config": config(colours)} for name, colours in (("light", LIGHT), ("dark", DARK))
    }


def _json(value: Any) -> str:
    """JSON that may stand inside a script element: no `<`, so nothing in it ends the element or opens a comment."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    for letter in ("<", ">", "&", "\u2028", "\u2029"):
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return text


def _embedded(figures: Mapping[str, Figure]) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """All data sets by name, column by column and each once; and every figure's specifications without them."""
    data: dict[str, Any] = {}
    specs: dict[str, list[Any]] = {}
    for figure in figures.values():
        for chart in figure.charts:
            spec = specification(chart)
            data |= {name: _columns(rows) for name, rows in spec.pop("datasets", {}).items()}
            specs.setdefault(figure.name, []).append(spec)
    return data, specs


def specification(chart: Chart) -> dict[str, Any]:
    """A chart as Vega-Lite, as wide as the place it is given."""
    with alt.data_transformers.enable("default", max_rows=None):
        spec: dict[str, Any] = chart.properties(width="container").to_dict(validate=False)
    spec.pop("config", None)
    return spec


def _columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def _tile(tile: words.Tile) -> str:
    return f"<div><dt>{escape(tile.label)}</dt><dd>{escape(tile.value)}</dd><dd>{escape(tile.note)}</dd></div>"


def _section(title: str, names: Iterable[str], figures: Mapping[str, Figure]) -> str:
    found = "".join(_figure(figures[name]) for name in names if name in figures)
    body = found or f'<p class="missing">{escape(MISSING[title])}</p>'
    return f'<section id="{title.lower()}"><h2>{title}</h2>{body}</section>'


def _figure(figure: Figure) -> str:
    pickers = "".join(
        f'<label>{escape(picker.label)} <select data-signal="{escape(picker.signal)}">'
        + "".join(f'<option value="{escape(value)}">{escape(text)}</option>' for value, text in picker.options)
        + "</select></label>"
        for picker in figure.pickers
    )
    charts = "".join(
        f'<div class="chart" data-figure="{figure.name}" data-chart="{number}"></div>'
        for number in range(len(figure.charts))
    )
    kind = "charts many" if len(figure.charts) > 1 else "charts"
    width = f' style="min-width:{figure.least_width}px"' if figure.least_width else ""
    return (
        f'<figure id="{figure.name}"><header><h3>{escape(figure.title)}</h3>{pickers}</header>'
        f'<div class="scroll"><div class="{kind}"{width}>{charts}</div></div>'
        f"<figcaption>{escape(figure.caption)}</figcaption></figure>"
    )


def _details(facts: RunFacts, figures: Mapping[str, Figure]) -> str:
    return "".join(
        (
            _figure(figures["timeline"]) if "timeline" in figures else "",
            _folded("The best trials", _table(words.trial_table(facts)), is_open=True),
            _folded("Warnings", _list(facts.story.warnings), is_open=True),
            _folded("Failed trials", _list(words.failures(facts))),
            _folded("Looks at the test part", _list(words.looks(facts))),
            _folded("Configuration", f"<pre>{escape(facts.experiment_text)}</pre>"),
            _folded("Environment", _pairs(words.environment(facts))),
        )
    )


def _folded(title: str, body: str, *, is_open: bool = False) -> str:
    return f"<details{' open' if is_open else ''}><summary>{escape(title)}</summary>{body}</details>" if body else ""


def _list(lines: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>" if lines else ""


def _table(rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def _pairs(rows: Sequence[Sequence[str]]) -> str:
    body = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in rows)
    return f'<div class="scroll"><table class="pairs"><tbody>{body}</tbody></table></div>' if rows else ""
