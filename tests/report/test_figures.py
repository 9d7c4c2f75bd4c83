import json
from pathlib import Path

import polars as pl
import pytest
import vl_convert
from run_files import START, finished_run, forecasts_of, trial, write_run

from lstm_tune.report.axes import INACTIVE, axis_of
from lstm_tune.report.facts import read_facts
from lstm_tune.report.figures import Figure
from lstm_tune.report.forecasts import MOST_ROWS, MOST_SERIES, shown_forecasts
from lstm_tune.report.page import SECTIONS, specification
from lstm_tune.report.search_figures import trials_table
from lstm_tune.report.theme import DARK, LIGHT, themed
from lstm_tune.report.vega import VEGA_LITE
from lstm_tune.report.writing import figures_of, picture
from lstm_tune.spec.events import Event
from lstm_tune.spec.paths import RunPaths
from lstm_tune.spec.space import Range

PANEL = [f"shop {number}" for number in range(8)]


def figures(paths: RunPaths) -> dict[str, Figure]:
    return dict(figures_of(read_facts(paths)))


@pytest.mark.parametrize("times", ["date", "zoned", "step"])
def test_every_chart_draws_in_both_themes(tmp_path: Path, times: str) -> None:
    found = figures(finished_run(tmp_path / "run", series=PANEL, times=times))
    assert set(found) == {name for names in SECTIONS.values() for name in names} | {"timeline"}
    for figure in found.values():
        for chart in figure.charts:
            for theme in (LIGHT, DARK):
                spec = {**themed(specification(chart), theme), "width": 300}
                assert "<path" in vl_convert.vegalite_to_svg(json.dumps(spec), vl_version=VEGA_LITE)


def test_every_chart_keeps_to_vega_lites_schema(tmp_path: Path) -> None:
    for figure in figures(finished_run(tmp_path / "run", series=PANEL)).values():
        for chart in figure.charts:
            chart.to_dict(validate=True)  # raises where it does not


def test_a_picture_is_a_png(tmp_path: Path) -> None:
    found = figures(finished_run(tmp_path / "run"))
    assert picture(found["slices"]).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([], {"timeline"}),
        ([START], {"timeline"}),
        ([START, *trial(0)[:2]], {"timeline", "curves"}),
        ([START, *trial(0, state="failed")], {"timeline", "curves"}),
        ([START, *trial(0, state="pruned")], {"timeline", "curves", "history", "slices"}),
        ([START, *trial(0)], {"timeline", "curves", "history", "slices", "size"}),
    ],
)
def test_a_run_shows_what_it_has(tmp_path: Path, events: list[Event], expected: set[str]) -> None:
    assert set(figures(write_run(tmp_path / "run", events))) == expected


def test_a_large_panel_shows_the_best_the_worst_and_some_between(tmp_path: Path) -> None:
    names = [f"s{number:03d}" for number in range(200)]
    facts = read_facts(finished_run(tmp_path / "run", series=names))
    assert facts.forecasts is not None
    shown = shown_forecasts(facts.forecasts, facts)
    assert (len(shown.series), shown.series[0], shown.series[-1], shown.known) == (MOST_SERIES, "s000", "s199", 200)
    caption = figures(finished_run(tmp_path / "again", series=names))["test"].caption
    assert "50 of 200 series" in caption


def test_the_rows_on_the_page_are_bounded(tmp_path: Path) -> None:
    long = pl.concat([forecasts_of(["a", "b"], times="step")] * 1_000)
    facts = read_facts(write_run(tmp_path / "run", [START]))
    shown = shown_forecasts(long, facts)
    assert shown.series == ["a"]
    assert shown.table.height <= MOST_ROWS


def test_the_caption_counts_true_values_inside_the_interval(tmp_path: Path) -> None:
    assert "The 80 % interval holds 3 of 3 true values" in figures(finished_run(tmp_path / "run"))["test"].caption


def test_the_chosen_trial_is_drawn_last(tmp_path: Path) -> None:
    table = trials_table(read_facts(finished_run(tmp_path / "run")))
    assert table.row(-1, named=True)["state"] == "chosen"
    assert table["hp_highway"].to_list().count("yes") == 4
    assert table["hp_recurrent_dropout"].null_count() == 6


def test_an_axis_places_values_as_the_space_does() -> None:
    axis = axis_of("units", Range(4, 64, log=True), [])
    assert [axis.place(value) for value in (4, 16, 64, None)] == [0.0, 0.5, 1.0, INACTIVE]
    choices = axis_of("window", None, [24, 12, None, 36])
    assert choices.labels() == [(0.0, "12"), (0.5, "24"), (1.0, "36")]
    assert axis_of("loss", None, ["huber"]).place("huber") == 0.5
