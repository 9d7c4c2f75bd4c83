import pytest
import torch

from lstm_tune.tasks.losses import POINT_LOSSES, pinball


def test_pinball_weighs_errors_on_both_sides_by_the_level() -> None:
    levels = torch.tensor([0.1, 0.5, 0.9])
    found = pinball(torch.full((2, 3), 10.0), torch.tensor([14.0, 6.0]), levels)
    assert found[0].tolist() == pytest.approx([0.4, 2.0, 3.6])
    assert found[1].tolist() == pytest.approx([3.6, 2.0, 0.4])


@pytest.mark.parametrize(("name", "expected"), [("mae", [0.5, 3.0]), ("mse", [0.25, 9.0]), ("huber", [0.125, 2.5])])
def test_point_loss_of_a_small_and_a_large_error(name: str, expected: list[float]) -> None:
    found = POINT_LOSSES[name](torch.tensor([1.0, 1.0]), torch.tensor([1.5, -2.0]))
    assert found.tolist() == pytest.approx(expected)
