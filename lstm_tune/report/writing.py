"""The report on disk: one page, or its pictures."""

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import vl_convert
from altair.utils.schemapi import debug_mode

from lstm_tune.report.facts import RunFacts, read_facts
from lstm_tune.report.figures import Figure
from lstm_tune.report.forecasts import forecast_figures
from lstm_tune.report.page import render_page
from lstm_tune.report.search_figures import search_figures
from lstm_tune.report.theme import LIGHT, themed
from lstm_tune.report.training_figures import training_figures
from lstm_tune.report.vega import VEGA_LITE
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import RunPaths, write_atomically

PICTURE_WIDTH, SMALL_WIDTH, COLUMNS = 820, 250, 3
"""Pixels of a picture's chart, of one among several, and how many stand side by side."""

SCALE = 2.0
"""Pixels of the file for a pixel of the chart, for sharp text."""


def write_page(paths: RunPaths, output: Path | None = None) -> Path:
    """Writes the report as one HTML file and tells where.

    Args:
        paths: the run, finished or not.
        output: the file; None for `report.html` in the run.

    Raises:
        InputError: the run's files are damaged, or the output cannot be written.
    """
    facts = read_facts(paths)
    return _write(output or paths.report, render_page(facts, figures_of(facts)))


def write_pictures(paths: RunPaths, output: Path | None = None) -> Path:
    """Writes each figure as a PNG file and tells in which folder.

    Args:
        paths: the run, finished or not.
        output: the folder; None for `report` in the run.

    Raises:
        InputError: the run's files are damaged, or the output cannot be written.
    """
    folder = output or paths.report.with_suffix("")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    for figure in figures_of(read_facts(paths)).values():
        _write(folder / f"{figure.name}.png", picture(figure))
    return folder


def figures_of(facts: RunFacts) -> Mapping[str, Figure]:
    """Every figure that the run has the numbers for."""
    with debug_mode(False):  # does not check each part of a chart again; that takes a third of the time
        return {**forecast_figures(facts), **search_figures(facts), **training_figures(facts)}


def picture(figure: Figure) -> bytes:
    """A figure as PNG on white, as it looks before anything is picked."""
    with alt.data_transformers.enable("default", max_rows=None):
        if len(figure.charts) == 1:
            width = max(PICTURE_WIDTH, figure.least_width)
            spec = figure.charts[0].properties(width=width, title=figure.title).to_dict()
        else:
            charts = (chart.properties(width=SMALL_WIDTH) for chart in figure.charts)
            spec = alt.concat(*charts, columns=COLUMNS).properties(title=figure.title).to_dict()
    spec = themed(spec, LIGHT)
    spec |= {"background": LIGHT["surface"], "padding": 16}
    return vl_convert.vegalite_to_png(spec, vl_version=VEGA_LITE, scale=SCALE)


def _write(path: Path, content: str | bytes) -> Path:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _unwritable(path, error) from None
    return path


def _unwritable(path: Path, error: OSError) -> InputError:
    problem = f"cannot be written: {error.strerror or error}. Name another place with -o"
    return InputError.at(str(path), problem)
