from collections.abc import Mapping

import pytest

from lstm_tune.search.refitting import networks_of


@pytest.mark.parametrize(
    ("weights", "seeds", "expected"),
    [
        ({7: 1.0}, 3, {7: 3}),
        ({7: 0.5, 3: 0.5}, 3, {7: 2, 3: 1}),
        ({7: 0.75, 3: 0.25}, 4, {7: 3, 3: 1}),
        ({7: 0.9, 3: 0.05, 1: 0.05}, 5, {7: 3, 3: 1, 1: 1}),
        ({7: 0.4, 3: 0.3, 1: 0.2, 2: 0.1}, 3, {7: 1, 3: 1, 1: 1, 2: 1}),  # more members than seeds
    ],
)
def test_weights_share_the_networks_out(weights: Mapping[int, float], seeds: int, expected: dict[int, int]) -> None:
    assert networks_of(weights, seeds) == expected
