import math

import pytest
import torch
from torch import Tensor

from lstm_tune.spec.experiment import METRICS
from lstm_tune.tasks.forecast import judged
from lstm_tune.tasks.metrics import FORECAST_METRICS, Judged, ratio

NAN = float("nan")


def scored(name: str, forecasts: Judged) -> float:
    metric = FORECAST_METRICS[name]
    return ratio(metric, *metric.sums(forecasts))


def two_series(scale: float = 0.5) -> Judged:
    """Errors -1, 0 and a missing truth in one series; 2, -4 and 0 in another, which is constant in training."""
    point = torch.tensor([[1.0, 2.0, 3.0], [10.0, 10.0, 10.0]]).unsqueeze(-1)
    truth = torch.tensor([[2.0, 2.0, NAN], [8.0, 14.0, 10.0]]).unsqueeze(-1)
    scales = torch.tensor([scale, NAN], dtype=torch.float64).reshape(2, 1, 1)
    return judged(point, truth, scales, torch.tensor([0.5]))


def intervals() -> Judged:
    """One forecast of two steps with quantiles 0.1, 0.5 and 0.9; the second truth lies above all of them."""
    quantiles = torch.tensor([[8.0, 10.0, 12.0], [1.0, 2.0, 3.0]]).reshape(1, 2, 1, 3)
    truth = torch.tensor([11.0, 5.0]).reshape(1, 2, 1)
    return judged(quantiles, truth, torch.ones(1, 1, 1), torch.tensor([0.1, 0.5, 0.9]))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mae", 7 / 5),
        ("rmse", math.sqrt(21 / 5)),
        ("smape", 100 * (2 / 3 + 4 / 18 + 8 / 24) / 5),
        ("mase", (1 / 0.5 + 0) / 2),  # the constant series does not count
        ("rmsse", math.sqrt((1 / 0.5 + 0) / 2)),
        ("wql", 7 / 36),  # of the median alone: absolute errors over absolute values
        ("coverage", 2 / 5),  # two forecasts hit exactly
    ],
)
def test_metric_pools_the_errors_of_all_series(name: str, expected: float) -> None:
    assert scored(name, two_series()) == pytest.approx(expected, rel=1e-6)


def test_weighted_quantile_loss_by_hand() -> None:
    # pinball of 11 and 5 at 0.1, 0.5, 0.9
    first, second = 0.1 * 3 + 0.5 * 1 + 0.1 * 1, 0.1 * 4 + 0.5 * 3 + 0.9 * 2
    assert scored("wql", intervals()) == pytest.approx(2 * (first + second) / 3 / 16, rel=1e-6)


def test_coverage_is_the_share_between_the_outer_quantiles() -> None:
    assert scored("coverage", intervals()) == 0.5


def test_point_metrics_of_quantile_forecasts_judge_the_median() -> None:
    assert scored("mae", intervals()) == pytest.approx((1 + 3) / 2)


def test_score_is_the_ratio_of_pooled_sums_and_not_a_mean_of_ratios() -> None:
    metric = FORECAST_METRICS["mae"]
    sums, counts = torch.tensor([10.0, 1.0]), torch.tensor([1.0, 9.0])
    assert ratio(metric, sums, counts) == pytest.approx(11 / 10)


def test_sums_are_kept_for_each_forecast() -> None:
    sums, counts = FORECAST_METRICS["mae"].sums(two_series())
    assert sums.tolist() == [1, 6]
    assert counts.tolist() == [2, 3]


@pytest.mark.parametrize("name", FORECAST_METRICS)
def test_nothing_to_judge_is_not_a_number(name: str) -> None:
    missing = two_series()
    nothing = Judged(
        missing.point, torch.full_like(missing.truth, NAN), missing.scale, missing.quantiles, missing.levels
    )
    assert math.isnan(scored(name, nothing))


def with_forecast(values: Judged, point: Tensor) -> Judged:
    return judged(point, values.truth, values.scale, torch.tensor([0.5]))


@pytest.mark.parametrize("name", METRICS)
def test_forecast_that_is_not_a_number_spoils_the_score(name: str) -> None:
    values = two_series()
    point = values.point.clone()
    point[0, 0] = NAN
    assert math.isnan(scored(name, with_forecast(values, point)))


@pytest.mark.parametrize("name", METRICS)
def test_forecast_of_a_missing_truth_does_not_matter(name: str) -> None:
    values = two_series()
    point = values.point.clone()
    point[0, 2] = NAN
    assert scored(name, with_forecast(values, point)) == scored(name, values)


def test_zero_forecast_of_a_zero_has_no_percentage_error() -> None:
    zero = torch.zeros(1, 2, 1)
    assert scored("smape", judged(zero, zero, torch.ones(1, 1, 1), torch.tensor([0.5]))) == 0


def test_squares_of_large_errors_do_not_overflow() -> None:
    zero, scale = torch.zeros(1, 1, 1), torch.ones(1, 1, 1, dtype=torch.float64)
    assert scored("rmse", judged(zero, zero + 1e25, scale, torch.tensor([0.5]))) == pytest.approx(1e25)


def test_searchable_metrics_are_known_to_the_task() -> None:
    assert set(METRICS) == set(FORECAST_METRICS) - {"coverage"}
    assert set(METRICS.values()) == {"minimize"}
