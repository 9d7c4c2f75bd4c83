"""Per-window normalisation: location and scale from the input window alone, so nothing can leak from its future.

Shape letters: B batch, T time steps, Y targets.
"""

from collections.abc import Callable

import torch
from torch import Tensor

RELATIVE_FLOOR = 1e-3
"""Smallest scale, as a share of the window's mean magnitude: a constant window must not blow its forecast up."""

Normalizer = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def mean_and_deviation(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the observed steps.

    Args:
        values: [B, T, Y], zero where not observed.
        observed: [B, T, Y] bool.

    Returns:
        Location and scale, both [B, 1, Y]; scale is above zero.
    """
    count = observed.sum(dim=1, keepdim=True).clamp(min=1)
    mean = values.sum(dim=1, keepdim=True) / count
    squares = torch.where(observed, (values - mean).square(), torch.zeros_like(values))
    return mean, _floored((squares.sum(dim=1, keepdim=True) / count).sqrt(), values, count)


def last_and_deviation(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """The window's last observed value and its standard deviation.

    Args:
        values: [B, T, Y], zero where not observed.
        observed: [B, T, Y] bool.

    Returns:
        Location and scale, both [B, 1, Y]; scale is above zero.
    """
    return last_observed(values, observed), mean_and_deviation(values, observed)[1]


def last_observed(values: Tensor, observed: Tensor) -> Tensor:
    """The last observed step of [B, T, Y] values, [B, 1, Y]; their first step where none is observed."""
    steps = torch.arange(values.shape[1], device=values.device).reshape(1, -1, 1)
    last = torch.where(observed, steps, torch.zeros_like(steps)).amax(dim=1, keepdim=True)
    return torch.gather(values, 1, last)


def median_and_quartiles(values: Tensor, observed: Tensor) -> tuple[Tensor, Tensor]:
    """Median and the interquartile range divided by 1.349 (a normal distribution's in standard deviations).

    Args:
        values: [B, T, Y], zero where not observed.
        observed: [B, T, Y] bool.

    Returns:
        Location and scale, both [B, 1, Y]; scale is above zero.
    """
    count = observed.sum(dim=1, keepdim=True).clamp(min=1)
    ordered = torch.where(observed, values, torch.full_like(values, torch.inf)).sort(dim=1).values

    def quantile(share: float) -> Tensor:
        rank = ((count - 1) * share).round().long()
        found = torch.gather(ordered, 1, rank)
        return torch.where(found.isinf(), torch.zeros_like(found), found)

    spread = (quantile(0.75) - quantile(0.25)) / 1.349
    return quantile(0.5), _floored(spread, values, count)


def _floored(scale: Tensor, values: Tensor, count: Tensor) -> Tensor:
    magnitude = values.abs().sum(dim=1, keepdim=True) / count
    return torch.maximum(scale, RELATIVE_FLOOR * magnitude).clamp(min=1e-8)


NORMALIZERS: dict[str, Normalizer] = {
    "mean": mean_and_deviation,
    "last": last_and_deviation,
    "robust": median_and_quartiles,
}
"""Name to normaliser; `none` stands outside: it uses the training rows' mean and deviation for every window."""
