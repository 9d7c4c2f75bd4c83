"""Colours and type of the report, light and dark. Charts name a colour by its role; a theme says what it looks like."""

from collections.abc import Mapping
from typing import Any

import altair as alt

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"

LIGHT = {
    "ink": "#1b1f24",
    "muted": "#667080",
    "faint": "#c3c9d2",
    "grid": "#e8ebef",
    "surface": "#ffffff",
    "lstm": "#2458d3",
    "train": "#0e8a7d",
    "baseline": "#c25e00",
    "chosen": "#c2185b",
}
"""Role to colour on white. Blue, teal and orange stay apart for every common kind of colour blindness."""

DARK = {
    "ink": "#e9ecf1",
    "muted": "#9aa4b2",
    "faint": "#4b5563",
    "grid": "#2a313b",
    "surface": "#171b21",
    "lstm": "#82a8ff",
    "train": "#45c9b9",
    "baseline": "#ffa94d",
    "chosen": "#ff7eb6",
}
"""The same on near-black."""


def role(name: str) -> alt.ExprRef:
    """A colour that the theme decides when the chart is drawn.

    Args:
        name: a key of the themes.
    """
    assert name in LIGHT
    return alt.ExprRef(name)


def themed(spec: Mapping[str, Any], colours: Mapping[str, str]) -> dict[str, Any]:
    """A Vega-Lite specification with a theme's colours; the page's script does the same in the browser."""
    params = [{"name": name, "value": value} for name, value in colours.items()]
    return {**spec, "params": [*params, *spec.get("params", [])], "config": config(colours)}


def config(colours: Mapping[str, str]) -> dict[str, Any]:
    """Vega-Lite's configuration for a theme."""
    text = {"labelColor": colours["muted"], "titleColor": colours["muted"], "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": "transparent",
        "font": FONT,
        "view": {"stroke": None},
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "titlePadding": 8,
            "gridColor": colours["grid"],
            "domainColor": colours["faint"],
            "tickColor": colours["faint"],
            "labelLimit": 240,
        },
        "axisQuantitative": {"tickCount": 7},
        "axisX": {"grid": False},
        "axisY": {"domain": False, "ticks": False},
        "legend": {
            **text,
            "title": None,
            "orient": "top",
            "direction": "horizontal",
            "symbolStrokeWidth": 3,
            "labelColor": colours["ink"],
            "columnPadding": 18,
        },
        "line": {"strokeWidth": 2},
        "point": {"size": 46, "filled": True},
        "text": {"color": colours["muted"], "fontSize": 12},
        "title": {"color": colours["ink"], "fontSize": 13, "fontWeight": 600, "anchor": "start", "offset": 8},
    }
