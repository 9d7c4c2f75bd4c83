import math
from typing import Any

import pytest

from lstm_tune.spec.space import Choice, Condition, Fixed, Range, active, as_raw, parse_space


def faults(raw: dict[str, Any]) -> list[tuple[str, str]]:
    return parse_space(raw, task="forecast")[1]


def space_of(raw: dict[str, Any]) -> dict[str, Fixed | Choice | Range]:
    space, found = parse_space(raw, task="forecast")
    assert found == []
    return space


@pytest.mark.parametrize(
    ("name", "entry", "expected"),
    [
        ("units", 32, Fixed(32)),
        ("units", [8, 16], Choice((8, 16))),
        ("units", {"low": 8, "high": 128, "log": True}, Range(8, 128, log=True)),
        ("units", {"low": 8, "high": 32, "step": 8}, Range(8, 32, step=8)),
        ("dropout", {"low": 0, "high": 0.5}, Range(0.0, 0.5)),
        ("loss", ["mae", "mse"], Choice(("mae", "mse"))),
        ("highway", {"value": True}, Fixed(True)),
        ("window", {"choices": [12, 24]}, Choice((12, 24))),
    ],
)
def test_every_form_of_a_dimension_is_read(name: str, entry: Any, expected: object) -> None:
    assert space_of({name: entry}) == {name: expected}


def test_range_of_a_whole_number_is_integer_and_of_another_is_not() -> None:
    space = space_of({"units": {"low": 1, "high": 3}, "dropout": {"low": 0, "high": 0}})
    assert [space[name].is_integer for name in ("units", "dropout")] == [True, False]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("entry", "path", "problem"),
    [
        (None, "units", "must be a number, found None"),
        ([], "units", "must be a list of at least one value"),
        ([8, 8], "units", "names a value twice: [8, 8]"),
        ([8, "x", 0], "units[1]", "must be a number, found 'x'"),
        ([[8]], "units[0]", "must be a number, found [8]"),
        ({"low": 9, "high": 8}, "units", "low end above its high end: low 9, high 8"),
        ({"low": 8}, "units", "is a range without high"),
        ({"high": 8}, "units", "is a range without low"),
        ({"low": 8, "hihg": 9}, "units.hihg", "is not a key of a range. Did you mean 'high'?"),
        ({"low": 8, "high": 9, "choices": [1]}, "units", "found the keys low, high, choices"),
        ({"low": 0, "high": 9}, "units.low", "must be at least 1, found 0"),
        ({"low": 1.5, "high": 9}, "units.low", "must be a whole number"),
        ({"low": 1, "high": 9, "log": "yes"}, "units.log", "must be true or false, found 'yes'"),
        ({"low": 1, "high": 9, "step": 0}, "units.step", "must be a number above 0, found 0"),
        ({"low": 1, "high": 9, "step": math.nan}, "units.step", "must be a number above 0, found nan"),
        ({"low": 1, "high": 9, "step": 0.5}, "units.step", "must be a whole number, as both ends are, found 0.5"),
        ({"low": 1, "high": 9, "step": 2, "log": True}, "units.step", "cannot be combined with log"),
        ({"when": {"depth": 1}}, "units", "found the keys when"),
        ({"value": 0}, "units", "must be at least 1"),
    ],
)
def test_faulty_dimension_is_told_with_its_place(entry: Any, path: str, problem: str) -> None:
    (place, message), *_ = faults({"units": entry, "depth": 1})
    assert place == path
    assert problem in message


def test_logarithmic_range_starts_above_zero() -> None:
    assert faults({"dropout": {"low": 0.0, "high": 0.5, "log": True}})[0][0] == "dropout.low"


@pytest.mark.parametrize("name", ["loss", "highway"])
def test_words_and_flags_take_no_range(name: str) -> None:
    assert faults({name: {"low": 0, "high": 1}}) == [(name, "takes no range; write a list of values")]


def test_every_fault_is_found_at_once() -> None:
    found = faults({"unit": 3, "depth": [0], "dropout": {"low": 2, "high": 3}})
    assert [path for path, _ in found] == ["unit", "depth[0]", "dropout.low", "dropout.high"]
    assert found[0][1] == "is not a hyperparameter of task 'forecast'. Did you mean 'units'?"


CONDITIONS = [
    ({"units": {"above": 16}}, 17, 16),
    ({"units": {"at_least": 16}}, 16, 15),
    ({"units": {"below": 16}}, 15, 16),
    ({"units": {"at_most": 16}}, 16, 17),
    ({"units": {"equals": 16}}, 16, 17),
    ({"units": 16}, 16, 17),
    ({"units": [8, 16]}, 8, 9),
    ({"units": {"above": 8, "below": 12}}, 10, 12),
]


@pytest.mark.parametrize(("when", "inside", "outside"), CONDITIONS)
def test_condition_decides_whether_a_hyperparameter_counts(when: Any, inside: int, outside: int) -> None:
    space = space_of({"units": {"low": 1, "high": 64}, "dropout": {"value": 0.5, "when": when}})
    assert active(space, {"units": inside, "dropout": 0.5}) == {"units": inside, "dropout": 0.5}
    assert active(space, {"units": outside, "dropout": 0.5}) == {"units": outside}


def test_child_of_an_inactive_parent_is_inactive() -> None:
    space = space_of(
        {
            "units": [8, 32],
            "dropout": {"low": 0.0, "high": 0.5, "when": {"units": {"above": 16}}},
            "locked_dropout": {"choices": [True, False], "when": {"dropout": {"at_most": 0.5}}},
        }
    )
    values = {"units": 8, "dropout": 0.1, "locked_dropout": True}
    assert active(space, values) == {"units": 8}
    assert active(space, {**values, "units": 32}) == {**values, "units": 32}


def test_parents_come_before_the_hyperparameters_that_depend_on_them() -> None:
    raw = {
        "locked_dropout": {"choices": [True, False], "when": {"dropout": {"above": 0.1}}},
        "dropout": {"low": 0.0, "high": 0.5, "when": {"units": {"above": 16}}},
        "depth": 1,
        "units": [8, 32],
    }
    assert list(space_of(raw)) == ["units", "dropout", "locked_dropout", "depth"]


@pytest.mark.parametrize(
    ("when", "path", "problem"),
    [
        ([], "dropout.when", "must be a mapping such as {units: {above: 16}}"),
        ({}, "dropout.when", "must be a mapping such as {units: {above: 16}}"),
        ({"units": {"abov": 1}}, "dropout.when.units.abov", "is not a comparison. Did you mean 'above'?"),
        ({"unit": 1}, "dropout.when.unit", "names a hyperparameter that is not in the space. Did you mean 'units'?"),
        ({"units": "big"}, "dropout.when.units", "compares with 'big', which is not of its kind"),
        ({"units": {"above": True}}, "dropout.when.units", "compares with True, which is not of its kind"),
        ({"units": [8, "x"]}, "dropout.when.units", "compares with (8, 'x'), which is not of its kind"),
        ({"units": {"in": 8}}, "dropout.when.units", "compares with 8, which is not of its kind"),
        ({"highway": 1}, "dropout.when.highway", "compares with 1, which is not of its kind"),
        ({"highway": {"above": False}}, "dropout.when.highway", "compares with False, which is not of its kind"),
        ({"loss": {"above": "mae"}}, "dropout.when.loss", "compares with 'mae', which is not of its kind"),
        ({"dropout": {"above": 0}}, "dropout.when", "is a circle of conditions: dropout -> dropout"),
    ],
)
def test_faulty_condition_is_told(when: Any, path: str, problem: str) -> None:
    raw = {"units": [8, 32], "highway": [True, False], "loss": ["mae", "mse"], "dropout": {"value": 0.1, "when": when}}
    assert faults(raw) == [(path, problem)]


def test_circle_of_conditions_is_told_once_with_its_members() -> None:
    raw = {
        "units": {"choices": [8, 32], "when": {"depth": 1}},
        "depth": {"choices": [1, 2], "when": {"window": 12}},
        "window": {"choices": [12, 24], "when": {"units": 8}},
    }
    assert faults(raw) == [("units.when", "is a circle of conditions: units -> depth -> window -> units")]


@pytest.mark.parametrize(
    ("dimension", "corners", "size"),
    [
        (Fixed(3), (3, 3), 1),
        (Choice((3, 1, 2)), (1, 3), 3),
        (Choice(("mae", "mse", "huber")), ("mae", "huber"), 3),
        (Range(8, 128, log=True), (8, 128), 121),
        (Range(0.0, 0.5), (0.0, 0.5), math.inf),
        (Range(0.0, 0.3, step=0.1), (0.0, 0.3), 4),
        (Range(1, 10, step=4), (1, 10), 3),
    ],
)
def test_corners_and_size_of_a_dimension(dimension: Fixed | Choice | Range, corners: object, size: float) -> None:
    assert (dimension.corners, dimension.size) == (corners, size)


def test_condition_on_an_absent_parent_never_holds() -> None:
    assert not Condition("units", "above", 0).holds({"depth": 3})


def test_space_survives_being_written_and_read() -> None:
    raw = {
        "units": {"low": 8, "high": 128, "log": True},
        "depth": [1, 2],
        "window": {"low": 4, "high": 24, "step": 4},
        "loss": {"choices": ["mae", "mse"], "when": {"units": {"above": 8, "below": 64}, "depth": [1, 2]}},
        "dropout": {"low": 0.0, "high": 0.5, "when": {"depth": {"above": 1}}},
        "residual": {"value": True, "when": {"depth": 2}},
        "highway": False,
    }
    space = space_of(raw)
    assert space_of(as_raw(space)) == space
