import math
from collections import Counter

import optuna
import pytest

from lstm_tune.search.proposals import (
    WIDE,
    changeable,
    clipped,
    defaults,
    grid,
    is_conditional,
    nearest,
    portfolio,
    suggest,
    whole,
)
from lstm_tune.spec.defaults import default_space
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.spec.space import Choice, Condition, Dimension, Fixed, Range

ABOVE_16 = (Condition("units", "above", 16),)


def drawn(space: dict, seed: int = 0, trials: int = 20) -> list[dict]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return [suggest(study.ask(), space) for _ in range(trials)]


def test_suggest_draws_every_dimension_within_its_values() -> None:
    space = {"units": Range(8, 16, step=4), "dropout": Range(0.0, 0.5), "depth": Choice((1, 2)), "window": Fixed(6)}
    for values in drawn(space):
        assert values["units"] in (8, 12, 16)
        assert 0 <= values["dropout"] <= 0.5
        assert values["depth"] in (1, 2)
        assert values["window"] == 6


@pytest.mark.parametrize(
    "dimension",
    [Range(1, WIDE), Range(2, 100, step=8), Range(0.0, 1.2, step=0.1), Range(1, WIDE, log=True)],
)
def test_values_of_a_wide_range_are_rounded_and_the_ends_as_frequent_as_others(dimension: Range) -> None:
    values = grid({"units": dimension})
    seen = Counter(one["units"] for one in drawn({"units": dimension}, trials=1_000))
    assert set(seen) == {point["units"] for point in values}
    first, last = seen[values[0]["units"]], seen[values[-1]["units"]]
    shares = [math.log((value + 0.5) / (value - 0.5)) for value in range(1, WIDE + 1)] if dimension.log else []
    expected = [share / sum(shares) for share in shares] or [1 / len(values)] * len(values)
    assert first / 1_000 == pytest.approx(expected[0], abs=0.03)
    assert last / 1_000 == pytest.approx(expected[-1], abs=0.03)
    assert {type(value) for value in seen} == {int if dimension.is_integer else float}


def test_suggest_leaves_switched_off_hyperparameters_out() -> None:
    space = {"units": Choice((8, 32)), "dropout": Range(0.0, 0.5, when=ABOVE_16)}
    seen = drawn(space)
    assert {("dropout" in values, values["units"]) for values in seen} == {(False, 8), (True, 32)}


def test_only_searched_dimensions_make_a_space_conditional() -> None:
    assert is_conditional({"units": Choice((8, 32)), "dropout": Range(0.0, 0.5, when=ABOVE_16)})
    assert not is_conditional({"units": Choice((8, 32)), "dropout": Fixed(0.1, when=ABOVE_16)})


def test_grid_holds_configurations_that_conditions_make_equal_once() -> None:
    space = {"units": Choice((8, 32)), "dropout": Choice((0.1, 0.2), when=ABOVE_16)}
    assert grid(space) == [{"units": 8}, {"units": 32, "dropout": 0.1}, {"units": 32, "dropout": 0.2}]


def test_grid_takes_both_ends_of_a_stepped_range() -> None:
    assert [point["dropout"] for point in grid({"dropout": Range(0.0, 0.4, step=0.2)})] == pytest.approx(
        [0.0, 0.2, 0.4]
    )
    assert grid({"dropout": Range(0.0, 0.6, step=0.2)})[-1] == {"dropout": 0.6}
    assert [point["units"] for point in grid({"units": Range(4, 6)})] == [4, 5, 6]


def test_grid_names_every_range_it_cannot_enumerate() -> None:
    with pytest.raises(InputError, match=r"space\.dropout.*\n.*space\.ema: .*add step: or write a list"):
        grid({"dropout": Range(0.0, 0.5), "ema": Range(0.1, 0.9)})


def test_grid_refuses_to_be_huge() -> None:
    with pytest.raises(InputError, match=r"has 1,002,001 configurations; a grid may have 10,000"):
        grid({"units": Range(0, 1000), "depth": Range(0, 1000)})


def test_nearest_moves_a_configuration_into_the_space() -> None:
    space = {"units": Range(8, 16), "depth": Choice((1, 2)), "dropout": Range(0.2, 0.6, step=0.2), "window": Fixed(6)}
    wanted = {"units": 64, "depth": 7, "dropout": 0.35, "window": 24}
    assert nearest(space, wanted) == {"units": 16, "depth": 2, "dropout": pytest.approx(0.4)}


def test_nearest_takes_the_nearest_number_of_a_list() -> None:
    space = {"window": Choice((4, 8, 12)), "loss": Choice(("mae", "mse"))}
    assert nearest(space, {"window": 24, "loss": "huber"}) == {"window": 12, "loss": "mae"}


def test_nearest_keeps_conditions() -> None:
    space = {"units": Choice((8, 32)), "dropout": Range(0.0, 0.5, when=ABOVE_16)}
    assert nearest(space, {"units": 8, "dropout": 0.3}) == {"units": 8}
    assert nearest(space, {"units": 32, "dropout": 0.3}) == {"units": 32, "dropout": 0.3}


def test_a_whole_configuration_has_what_the_space_fixes() -> None:
    space = {"units": Range(8, 16), "window": Fixed(6), "dropout": Range(0.0, 0.5, when=ABOVE_16)}
    found = whole(space, {"units": 12, "dropout": 0.4})
    assert found == completed({"units": 12, "window": 6}, task="forecast")


def test_the_portfolio_varies_the_defaults_within_the_space() -> None:
    space = default_space(rows=2000, longest=1500, horizon=12, season=12, positive=True)
    bold = {**defaults(space), "learning_rate": 0.012, "dropout": 0.0}
    assert portfolio(space) == [
        {**bold, "window": 36, "log_transform": True},
        {**defaults(space), "normalization": "mean"},
        bold,
    ]


def test_the_portfolio_changes_nothing_that_is_not_searched() -> None:
    space = {"units": Range(8, 16), "learning_rate": Range(1e-4, 1e-2, log=True), "window": Fixed(12)}
    bold, default = {"units": 16, "learning_rate": 1e-2}, {"units": 16, "learning_rate": 3e-3}
    assert portfolio(space) == [bold, default, bold]


@pytest.mark.parametrize(
    ("dimension", "wanted", "expected"),
    [
        (Range(1e-4, 1e-2, log=True), None, 1e-3),
        (Range(0.0, 1.0), True, 0.5),
        (Range(0.0, 1.0), "adam", 0.5),
        (Range(2, 9, step=3), 100, 8),
        (Range(0.0, 1.0, step=0.4), 1.0, 0.8),
        (Range(0.0, 1.0, step=0.6), 1.0, 0.6),
    ],
)
def test_clipped_stays_on_the_range(dimension: Range, wanted: object, expected: float) -> None:
    assert clipped(dimension, wanted) == pytest.approx(expected)


def test_changeable_leaves_weights_conditions_and_their_parents_alone() -> None:
    space: dict[str, Dimension] = {
        "units": Range(4, 8),
        "learning_rate": Range(1e-3, 1e-1, log=True),
        "weight_decay": Range(0.0, 0.1),
        "dropout": Range(0.0, 0.5),
        "ema": Choice((0.0, 0.9), when=(Condition("weight_decay", "above", 0.05),)),
    }
    assert changeable(space) == ["learning_rate", "dropout"]
