import random

import pytest

from lstm_tune.search.population import explored
from lstm_tune.spec.space import Choice, Range


@pytest.mark.parametrize(
    "dimension", [Range(1e-3, 1e-1, log=True), Range(0.0, 0.6, step=0.2), Choice(("mae", "mse")), Range(0.0, 1.0)]
)
def test_explored_values_stay_in_the_dimension_and_vary(dimension: Choice | Range) -> None:
    generator = random.Random(0)
    values = [explored(dimension, dimension.corners[1], generator) for _ in range(100)]
    assert len(set(values)) > 1
    if isinstance(dimension, Choice):
        assert set(values) <= set(dimension.values)
    else:
        assert all(dimension.low <= value <= dimension.high for value in values)
        assert not dimension.step or all(
            value / dimension.step == pytest.approx(round(value / 0.2)) for value in values
        )
