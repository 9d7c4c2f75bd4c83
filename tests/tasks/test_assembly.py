from pathlib import Path
from typing import Any

import polars as pl
import pytest

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.loading import parse_experiment
from lstm_tune.tasks.assembly import Prepared, assemble, corner


def prepared(folder: Path, frame: pl.DataFrame, **sections: dict[str, Any]) -> Prepared:
    """An experiment on a table with the columns t and y, and perhaps s."""
    frame.write_csv(folder / "data.csv")
    raw: dict[str, Any] = {
        "name": "a",
        "task": {"kind": "forecast", "horizon": 2, "season": 1},
        "data": {"path": "data.csv", "time": "t", "target": "y", "series": "s" if "s" in frame.columns else None},
        "validation": {"test": 2, "folds": 2, "block": 2},
        "space": {"window": [4]},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if section else None
    return assemble(parse_experiment(raw), folder=folder)


def table(*values: float, series: str | None = None) -> pl.DataFrame:
    frame = pl.DataFrame({"t": range(len(values)), "y": [float(value) for value in values]})
    return frame if series is None else frame.with_columns(pl.lit(series).alias("s"))


def test_folds_and_season_follow_the_file(tmp_path: Path) -> None:
    found = prepared(tmp_path, table(*range(1, 41)), task={"season": 5})
    assert found.task.design.season == 5
    assert [fold.train_ends.tolist() for fold in found.task.split.folds] == [[34], [36]]
    assert found.task.split.test.starts.tolist() == [38]
    assert not found.task.design.indicator


def test_season_longer_than_the_history_is_none(tmp_path: Path) -> None:
    assert prepared(tmp_path, table(*range(1, 41)), task={"season": 38}).task.design.season == 1
    assert prepared(tmp_path, table(*range(1, 41)), task={"season": 37}).task.design.season == 37


def test_network_is_told_of_padding_where_a_window_may_reach_before_the_start(tmp_path: Path) -> None:
    roomy = prepared(tmp_path, table(*range(1, 41)), space={"window": [4, 17]})
    tight = prepared(tmp_path, table(*range(1, 41)), space={"window": [4, 18]})
    assert (roomy.task.design.indicator, tight.task.design.indicator) == (False, True)


@pytest.mark.parametrize(
    ("values", "offered"),
    [
        ([*range(1, 41)], True),
        ([*range(1, 39), 0, -4], True),
        ([0] + [3, 4] * 60, True),
        ([0] + [3, 4] * 20, False),
    ],
)
def test_logarithm_is_offered_where_nearly_all_training_rows_are_positive(
    tmp_path: Path, values: list[float], offered: bool
) -> None:
    assert ("log_transform" in prepared(tmp_path, table(*values), space={}).space) is offered


def test_logarithm_of_a_target_that_is_often_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"space\.log_transform: .* 99% .* must be above zero, but 2\.\d% are not"):
        prepared(tmp_path, table(*range(40)), space={"log_transform": [True, False]})


def test_windows_that_no_series_can_fill_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"space\.window: every window is longer than the 34 training steps .* is 35"):
        prepared(tmp_path, table(*range(1, 41)), space={"window": [35, 90]})


def test_short_series_and_short_blocks_are_warned_of(tmp_path: Path) -> None:
    panel = pl.concat([table(*range(1, 41), series="a"), table(*range(1, 9), series="b"), table(1, 2, 3, series="c")])
    found = prepared(tmp_path, panel, task={"horizon": 3}, space={"window": [4, 35], "units": 8})
    warnings = "\n".join(found.warnings)
    assert "The largest window (35 steps) is longer than any training part of the first fold (34)." in warnings
    assert (
        "The horizon (3 steps) is longer than a validation block (2); the last forecast steps are never judged."
        in warnings
    )
    assert "The test part (2 steps) is shorter than the horizon (3)." in warnings
    assert "1 of 3 series are too short for the first fold" in warnings


def test_corners_of_a_space_hold_every_hyperparameter(tmp_path: Path) -> None:
    space = prepared(
        tmp_path, table(*range(1, 41)), space={"units": {"low": 4, "high": 9}, "highway": [True, False]}
    ).space
    small, large = corner(space, largest=False), corner(space, largest=True)
    assert (small["units"], large["units"], small["highway"], large["highway"]) == (4, 9, False, True)
    assert small["depth"] == large["depth"] == 1


@pytest.mark.parametrize(
    ("role", "shift", "message"),
    [
        ("known", 0, r"data\.csv: column 'x' \(known\) must be known 2 steps ahead, but its changes are those of the"),
        (
            "known",
            1,
            r"target 'y' 1 step earlier \(correlation 1\.0000\)\. Name it in covariates\.past, or leave it out",
        ),
        (
            "past",
            -2,
            r"'x' \(past\) must know nothing of the future, .* 'y' 2 steps later .* Correct it, or leave it out",
        ),
    ],
)
def test_covariate_that_is_the_target_is_refused(tmp_path: Path, role: str, shift: int, message: str) -> None:
    frame = table(*(i * 7 % 40 + 1 for i in range(42))).with_columns(
        pl.col("y").shift(shift).backward_fill().alias("x")
    )
    with pytest.raises(InputError, match=message):
        prepared(tmp_path, frame.head(40), data={"covariates": {role: "x"}, "missing": "mask"})
