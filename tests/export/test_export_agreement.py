import math

import pytest
import torch
from sample_bundles import everything, univariate

from lstm_tune.export.agreement import check_agreement, largest_difference
from lstm_tune.export.graph import RawForecaster
from lstm_tune.export.inputs import random_inputs
from lstm_tune.spec.errors import ExportError

INFINITE, NAN = math.inf, math.nan


def test_difference_is_relative_to_each_targets_largest_forecast() -> None:
    expected = torch.tensor([[[100.0, 1.0], [50.0, 2.0]]])
    found = torch.tensor([[[100.0, 1.0], [51.0, 2.1]]])
    assert largest_difference(found, expected) == pytest.approx(0.05)
    quantiles = torch.stack([expected, expected], dim=-1)
    assert largest_difference(torch.stack([found, expected], dim=-1), quantiles) == pytest.approx(0.05)


def test_equal_infinities_and_nan_at_the_same_places_do_not_differ() -> None:
    expected = torch.tensor([[[INFINITE], [NAN], [2.0]]])
    assert largest_difference(expected.clone(), expected) == 0.0
    assert math.isnan(largest_difference(torch.tensor([[[INFINITE], [NAN], [NAN]]]), expected))


def test_zero_forecasts_agree_with_zeros() -> None:
    assert largest_difference(torch.zeros(2, 3, 1), torch.zeros(2, 3, 1)) == 0.0


def test_bundle_agrees_with_itself_and_not_with_a_shifted_copy() -> None:
    bundle = everything()
    network = RawForecaster(bundle.network)
    check_agreement(bundle, lambda inputs: network(**inputs), what="graph")
    with pytest.raises(ExportError, match=r"must forecast as the bundle does up to 0\.0001, found"):
        check_agreement(bundle, lambda inputs: network(**inputs) * 1.001, what="graph")


def test_nan_where_the_bundle_has_numbers_disagrees() -> None:
    bundle = univariate()
    with pytest.raises(ExportError, match="found a largest difference of nan"):
        check_agreement(bundle, lambda inputs: torch.full((len(inputs["target"]), 3, 1), NAN), what="graph")


def test_other_shape_disagrees() -> None:
    with pytest.raises(ExportError, match=r"returns \[1, 1\], the bundle \[1, 3, 1\]"):
        check_agreement(univariate(), lambda inputs: torch.zeros(1, 1), what="graph")


def test_random_inputs_hold_each_pattern_of_missing_values() -> None:
    bundle = univariate()
    target = random_inputs(bundle, size=5, generator=torch.Generator().manual_seed(0))["target"]
    missing = target.isnan()[..., 0].tolist()
    assert missing[0] == [False] * 6
    assert missing[1] == [True] * 3 + [False] * 3
    assert missing[3] == [True] * 5 + [False]
    assert missing[4] == [True] * 6


def test_random_inputs_resemble_the_training_rows() -> None:
    bundle = everything()
    inputs = random_inputs(bundle, size=50, generator=torch.Generator().manual_seed(0))
    assert inputs["target"].nanmean().log().item() == pytest.approx(5.0, abs=0.7)
    assert set(inputs["static"][:, 0].tolist()) == {-1.0, 0.0, 1.0}
    assert inputs["known"].shape == (50, 4 * 3 + 4, 2)  # four seasons of three steps, and the horizon
    assert not inputs["known"][:, 12:].isnan().any()
    assert inputs["past"][:, :, 0].nanmean().item() == pytest.approx(2.0, abs=0.5)


def test_same_seed_gives_the_same_inputs() -> None:
    first, second = (random_inputs(everything(), size=2, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert all(torch.equal(first[name].nan_to_num(), second[name].nan_to_num()) for name in first)


def test_absent_covariates_count_as_none() -> None:
    bundle = univariate()
    target = torch.rand(2, 6, 1)
    given = bundle.network(target, torch.zeros(2, 6, 0), torch.zeros(2, 9, 0), torch.zeros(2, 0))
    assert torch.equal(RawForecaster(bundle.network)(target), given)
