import pytest
import torch

from lstm_tune.models.features import FeatureEncoder, FeatureStatistics

NAN = float("nan")


def encoder() -> FeatureEncoder:
    """A numeric column with mean 10 and deviation 2, and a column of three categories of which the second is unseen."""
    seen = (torch.zeros(0, dtype=torch.bool), torch.tensor([True, False, True]))
    return FeatureEncoder(FeatureStatistics((0, 3), torch.tensor([10.0, 0.0]), torch.tensor([2.0, 1.0]), seen))


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ([14.0, 0.0], [2, 1, 0, 0]),
        ([9.0, 2.0], [-0.5, 0, 0, 1]),
        ([10.0, 1.0], [0, 0, 0, 0]),  # a category that no training row held
        ([10.0, -1.0], [0, 0, 0, 0]),  # a category unknown to the data
        ([NAN, NAN], [0, 0, 0, 0]),
    ],
)
def test_numbers_are_standardised_and_categories_become_indicators(row: list[float], expected: list[float]) -> None:
    assert encoder()(torch.tensor([row])).tolist() == [expected]


def test_no_column_gives_no_feature() -> None:
    empty = FeatureEncoder(FeatureStatistics.blank([]))
    assert empty.output_size == 0
    assert empty(torch.zeros(4, 5, 0)).shape == (4, 5, 0)


def test_blank_statistics_have_the_size_of_fitted_ones() -> None:
    blank = FeatureEncoder(FeatureStatistics.blank([0, 3]))
    blank.load_state_dict(encoder().state_dict())
    row = torch.tensor([[14.0, 2.0]])
    assert blank.output_size == 4
    assert torch.equal(blank(row), encoder()(row))
