"""Training losses of forecasts, in normalised units; a missing target weighs nothing.

Shape letters: B batch, h horizon, Y targets, Q quantiles.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

PointLoss = Callable[[Tensor, Tensor], Tensor]

POINT_LOSSES: dict[str, PointLoss] = {
    "mae": lambda forecast, truth: (forecast - truth).abs(),
    "mse": lambda forecast, truth: (forecast - truth).square(),
    "huber": lambda forecast, truth: F.huber_loss(forecast, truth, reduction="none"),
}
"""Name to elementwise loss [B, h, Y]."""


def pinball(forecast: Tensor, truth: Tensor, levels: Tensor) -> Tensor:
    """Pinball loss of each quantile.

    Args:
        forecast: [..., Q].
        truth: [...].
        levels: [Q], each between 0 and 1.

    Returns:
        [..., Q].

    Source:
        Koenker and Bassett 1978.
    """
    error = truth.unsqueeze(-1) - forecast
    return torch.maximum(levels * error, (levels - 1) * error)
