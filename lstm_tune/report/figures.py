"""A figure of the report: charts under one title, with what a reader may pick."""

from collections.abc import Mapping
from dataclasses import dataclass

import altair as alt
import polars as pl

from lstm_tune.report.theme import role

Chart = alt.Chart | alt.LayerChart

HEIGHT = 280
"""Pixels of an ordinary chart."""


@dataclass(frozen=True)
class Picker:
    """A choice above a figure.

    Attributes:
        signal: the charts' parameter that it sets; figures that share one follow each other.
        label: what is picked.
        options: value and text of each; the first is picked at the start.
    """

    signal: str
    label: str
    options: tuple[tuple[str, str], ...]

    def param(self) -> alt.Parameter:
        """The charts' side of it."""
        return alt.param(name=f"{self.signal}Picked", value=self.options[0][0])


@dataclass(frozen=True)
class Figure:
    """Charts that belong together.

    Attributes:
        name: its anchor and its picture's file name.
        title: what it shows.
        caption: how to read it, and what was left out.
        charts: without a width; several stand side by side where there is room.
        pickers: what a reader may choose.
        least_width: pixels below which the figure scrolls.
    """

    name: str
    title: str
    caption: str
    charts: tuple[Chart, ...]
    pickers: tuple[Picker, ...] = ()
    least_width: int = 0


def colours(roles: Mapping[str, str]) -> alt.Scale:
    """A scale of named things to roles of the theme, such as `{"truth": "ink"}`."""
    return alt.Scale(domain=list(roles), range=[role(name) for name in roles.values()])


def layered(*charts: alt.Chart | None) -> alt.LayerChart:
    """The charts over each other, without those that are None."""
    return alt.LayerChart(layer=[chart for chart in charts if chart is not None])


def legible(text: alt.Chart) -> list[alt.Chart]:
    """A text chart over a copy of itself in the colour of the page, so that lines do not cross its letters."""
    halo = text.copy()
    halo.mark = text.mark.copy()
    halo.mark.stroke, halo.mark.strokeWidth, halo.mark.strokeJoin = role("surface"), 4, "round"
    return [halo, text]


def highest(values: pl.Series, *, share: float) -> float:
    """The value that a share of them does not exceed; a scale that ends there is not flattened by outliers."""
    found = values.drop_nulls().drop_nans().quantile(share)
    return 0.0 if found is None else float(found)
