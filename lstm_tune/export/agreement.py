"""Whether an exported graph says what its bundle says.

Shape letters: B batch, h horizon, Y targets, Q quantiles.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle
from lstm_tune.export.graph import RawForecaster
from lstm_tune.export.inputs import Inputs, random_inputs
from lstm_tune.spec.errors import ExportError

BATCH_SIZES = (1, 2, 11)
"""Below, beside and above the batch size while exporting; the last holds every pattern of missing values twice."""

TOLERANCE = 1e-4
"""Largest difference, as a share of a target's largest forecast."""


def check_agreement(bundle: Bundle, run: Callable[[Inputs], Tensor], *, what: str) -> None:
    """Compares a graph's forecasts with the bundle's, on random values of several batch sizes.

    Args:
        bundle: the truth.
        run: the graph, from its inputs to [B, h, Y] or [B, h, Y, Q].
        what: how messages call the graph.

    Raises:
        ExportError: the largest difference is above the tolerance, or a shape is another.
    """
    generator = torch.Generator().manual_seed(1)
    network = RawForecaster(bundle.network)
    for size in BATCH_SIZES:
        inputs = random_inputs(bundle, size=size, generator=generator)
        with torch.no_grad():
            expected, found = network(**inputs), run(inputs)
        if found.shape != expected.shape:
            shapes = f"{list(found.shape)}, the bundle {list(expected.shape)}"
            raise ExportError(f"{what}: must forecast as the bundle does, but returns {shapes}. Nothing was written")
        difference = largest_difference(found, expected)
        if not difference <= TOLERANCE:
            found_text = f"a largest difference of {difference:.3g} of the outputs' scale (batch of {size})"
            problem = f"must forecast as the bundle does up to {TOLERANCE:g}, found {found_text}"
            raise ExportError(f"{what}: {problem}. Nothing was written; export another format")


def largest_difference(found: Tensor, expected: Tensor) -> float:
    """The largest absolute difference, each target's as a share of its largest finite expected magnitude.

    Equal infinities and NaN at the same places do not differ; a NaN at one side makes the difference NaN.

    Args:
        found: [B, h, Y] or [B, h, Y, Q].
        expected: likewise.
    """
    found, expected = (values.flatten(3) if values.dim() > 3 else values.unsqueeze(3) for values in (found, expected))
    scale = expected.abs().nan_to_num(0.0, 0.0, 0.0).amax(dim=(0, 1, 3), keepdim=True)  # [1, 1, Y, 1]
    is_same = (found == expected) | (found.isnan() & expected.isnan())
    difference = torch.where(is_same, torch.zeros_like(expected), (found - expected).abs())
    return float((difference / scale.clamp(min=torch.finfo(scale.dtype).tiny)).max())
