import pytest

from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, completed

KNOBS = HYPERPARAMETERS["forecast"]


@pytest.mark.parametrize("name", KNOBS)
def test_default_is_a_valid_value(name: str) -> None:
    assert KNOBS[name].fault(KNOBS[name].default) is None


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        ("units", 2.5, "must be a whole number, found 2.5"),
        ("units", True, "must be a number, found True"),
        ("units", "8", "must be a number, found '8'"),
        ("units", None, "must be a number, found None"),
        ("units", 0, "must be at least 1, found 0"),
        ("dropout", 1, "must be at most 0.95, found 1"),
        ("dropout", float("nan"), "must be a number, found NaN"),
        ("learning_rate", float("inf"), "must be at most 1, found inf"),
        ("highway", 1, "must be true or false, found 1"),
        ("loss", "l1", "must be one of mae, huber, mse, found 'l1'"),
        ("loss", ["mae"], "must be one of mae, huber, mse, found ['mae']"),
    ],
)
def test_invalid_value_is_named(name: str, value: object, fault: str) -> None:
    assert KNOBS[name].fault(value) == fault


@pytest.mark.parametrize(("name", "value"), [("units", 1), ("dropout", 0), ("learning_rate", 1), ("highway", False)])
def test_ends_of_the_valid_range_are_valid(name: str, value: object) -> None:
    assert KNOBS[name].fault(value) is None


def test_completed_fills_in_defaults_and_keeps_what_is_given() -> None:
    values = completed({"units": 7, "highway": False}, task="forecast")
    assert set(values) == set(KNOBS)
    assert (values["units"], values["highway"], values["window"]) == (7, False, KNOBS["window"].default)
