from typing import Any

import pytest

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.experiment import Experiment, seconds
from lstm_tune.spec.loading import parse_experiment


def experiment(**sections: Any) -> Experiment:
    raw: dict[str, Any] = {
        "name": "a",
        "task": {"kind": "forecast", "horizon": 3},
        "data": {"path": "x.csv", "target": "y"},
    }
    for name, section in sections.items():
        raw[name] = {**raw.get(name, {}), **section} if isinstance(section, dict) else section
    return parse_experiment(raw)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (90, 90),
        (0.5, 0.5),
        ("30s", 30),
        ("1.5s", 1.5),
        ("10m", 600),
        ("1h30m", 5400),
        ("2d", 172_800),
        ("1d1h1m1s", 90_061),
    ],
)
def test_duration_in_seconds(text: object, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize(
    "text", ["", "90", "5x", "30m1h", "0s", 0, -1, True, None, float("nan"), float("inf"), "1h 30m"]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"must be (a duration such as|longer than nothing)"):
        seconds(text)


@pytest.mark.parametrize("quantiles", [[0.5], [0.1, 0.5, 0.9]])
def test_quantiles_rise_and_hold_the_median(quantiles: list[float]) -> None:
    assert experiment(task={"quantiles": quantiles}).task.quantiles == quantiles


@pytest.mark.parametrize("quantiles", [[0.1, 0.9], [0.9, 0.5], [0.5, 0.5], []])
def test_other_quantiles_are_refused(quantiles: list[float]) -> None:
    with pytest.raises(InputError, match=r"quantiles must rise and contain 0\.5"):
        experiment(task={"quantiles": quantiles})


@pytest.mark.parametrize("level", [0, 1, 1.5])
def test_quantile_levels_lie_between_zero_and_one(level: float) -> None:
    with pytest.raises(InputError, match=r"task\.quantiles\[1\] must be"):
        experiment(task={"quantiles": [0.5, level]})


def test_quantile_loss_needs_quantiles() -> None:
    with pytest.raises(InputError, match=r"add task\.quantiles"):
        experiment(search={"metric": "wql"})
    assert experiment(search={"metric": "wql"}, task={"quantiles": [0.5]}).search.metric == "wql"


def test_column_has_one_role() -> None:
    with pytest.raises(InputError, match=r"column 'y' is named as target and as covariates\.past"):
        experiment(data={"covariates": {"past": ["y"]}})


def test_groups_are_refused_for_forecasts() -> None:
    with pytest.raises(InputError, match="groups does not apply to forecasting"):
        experiment(validation={"groups": "subject"})


@pytest.mark.parametrize("name", ["", "-a", "a/b", "a b", "x" * 81])
def test_name_can_be_that_of_a_folder(name: str) -> None:
    with pytest.raises(InputError, match="name must"):
        experiment(name=name)


@pytest.mark.parametrize(
    ("frequency", "valid"), [("1h", True), ("15m", True), ("1b", True), ("rows", True), ("h", False), ("0d", False)]
)
def test_frequency_is_a_count_and_a_unit(frequency: str, valid: bool) -> None:
    if valid:
        assert experiment(data={"frequency": frequency}).data.frequency == frequency
    else:
        with pytest.raises(InputError, match=r"data\.frequency must be auto, rows, or a count and a unit"):
            experiment(data={"frequency": frequency})


@pytest.mark.parametrize(("test", "steps"), [("auto", 3), (0, 0), (7, 7)])
def test_test_part_is_the_horizon_unless_told_otherwise(test: object, steps: int) -> None:
    assert experiment(validation={"test": test}).test_steps == steps


def test_single_names_become_lists() -> None:
    found = experiment(data={"series": "s", "covariates": {"known": "holiday"}}).data
    assert (found.target, found.series, found.covariates.known) == (["y"], ["s"], ["holiday"])


@pytest.mark.parametrize("gpus", ["auto", 0, 1, 2, 0.5, 0.33, 0.3333, 0.25, 0.17, 0.125])
def test_whole_gpus_and_shares_that_fill_one_are_accepted(gpus: float | str) -> None:
    assert experiment(resources={"gpus_per_trial": gpus}).resources.gpus_per_trial == gpus


@pytest.mark.parametrize(
    ("gpus", "advice"),
    [
        (0.4, r"would leave 0\.2 of each GPU unused\. The nearest is 0\.5 \(1/2\)"),
        (0.3, r"would leave 0\.1 of each GPU unused\. The nearest is 0\.3333 \(1/3\)"),
        (0.9, r"would leave 0\.1 of each GPU unused\. The nearest is 1 \(1/1\)"),
        (1.5, r"found 1\.5\. The nearest is a whole number"),
        (-1, r"gpus_per_trial must be greater than or equal to 0"),
        ("all", r"gpus_per_trial must be a number or 'auto'"),
    ],
)
def test_share_that_wastes_a_part_of_each_gpu_is_refused_with_the_nearest(gpus: float | str, advice: str) -> None:
    with pytest.raises(InputError, match=advice):
        experiment(resources={"gpus_per_trial": gpus})


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"custom": {"GPU": 1}}, r"custom names resources of your own, found GPU"),
        ({"custom": {"license": 0}}, r"resources\.custom\.license must be greater than 0"),
        ({"accelerator_type": "T4", "gpus_per_trial": 0}, r"accelerator_type asks for T4, but gpus_per_trial is 0"),
        ({"max_gpus": 1, "gpus_per_trial": 2}, r"max_gpus 1 is less than a trial's gpus_per_trial 2"),
        ({"wait": True, "gpus_per_trial": 1}, r"wait needs numbers in gpus_per_trial and max_concurrent"),
    ],
)
def test_requests_that_contradict_each_other_are_refused(resources: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        experiment(resources=resources)
