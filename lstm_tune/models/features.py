"""Covariates become numbers a network can use: standardised where numeric, one-hot where categorical."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class FeatureStatistics:
    """What an encoder learned from training rows.

    Attributes:
        categories: number of categories of each column, 0 for a numeric one; length K.
        mean: [K] of the numeric columns, 0 elsewhere.
        scale: [K] standard deviation of the numeric columns, 1 elsewhere; above zero.
        seen: for each column the categories that training rows hold, bool [categories]; empty for a numeric one.
    """

    categories: tuple[int, ...]
    mean: Tensor
    scale: Tensor
    seen: tuple[Tensor, ...]

    @classmethod
    def blank(cls, categories: Sequence[int]) -> "FeatureStatistics":
        """Statistics of no rows, for a network whose weights and buffers are loaded later or only counted."""
        seen = tuple(torch.zeros(count, dtype=torch.bool) for count in categories)
        return cls(tuple(categories), torch.zeros(len(categories)), torch.ones(len(categories)), seen)


class FeatureEncoder(nn.Module):
    """Encodes covariate columns; a missing value and an unseen category become zeros.

    Args:
        statistics: of the training rows; they are buffers, so they travel with the weights.
    """

    def __init__(self, statistics: FeatureStatistics) -> None:
        super().__init__()
        self._categories = statistics.categories
        self.output_size = sum(max(count, 1) for count in statistics.categories)
        self.register_buffer("mean", statistics.mean.clone())
        self.register_buffer("scale", statistics.scale.clone())
        nothing = statistics.mean.new_zeros(0)
        self.register_buffer("seen", torch.cat([nothing, *(seen.float() for seen in statistics.seen)]))

    def forward(self, x: Tensor) -> Tensor:
        """Encoded columns.

        Args:
            x: [..., K] raw values, category codes for categorical columns, NaN where missing.

        Returns:
            [..., E], E the sum of category counts and numeric columns.
        """
        mean, scale, seen = self.get_buffer("mean"), self.get_buffer("scale"), self.get_buffer("seen")
        parts: list[Tensor] = []
        first = 0
        for column, count in enumerate(self._categories):
            values = x[..., column : column + 1]
            if count:
                codes = torch.arange(count, device=x.device, dtype=x.dtype)
                parts.append((values == codes).to(x.dtype) * seen[first : first + count])
                first += count
            else:
                scaled = (values - mean[column]) / scale[column]
                parts.append(torch.where(scaled.isnan(), torch.zeros_like(scaled), scaled))
        return torch.cat(parts, dim=-1) if parts else x[..., :0]
