"""Forecasts by rule: nothing is fitted, only the shown history counts.

Shape letters: B batch, C context steps, h horizon, Y targets.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Rule = Callable[[Tensor, int, int], Tensor]
"""(history [B, C, Y] with NaN where missing, season, horizon) -> forecast [B, h, Y]."""


def last_value(history: Tensor, season: int, horizon: int) -> Tensor:
    """Repeats the last observed value."""
    return carried(history)[:, -1:].expand(-1, horizon, -1)


def seasonal_naive(history: Tensor, season: int, horizon: int) -> Tensor:
    """Repeats the last season; steps for which the series has none repeat its last value."""
    filled = carried(history)
    steps = [filled.shape[1] - season + step % season for step in range(horizon)]
    return torch.where(history[:, steps].isnan(), filled[:, -1:], history[:, steps])


def drift(history: Tensor, season: int, horizon: int) -> Tensor:
    """Continues the line from the first observed value to the last."""
    observed = ~history.isnan()
    count = history.shape[1]
    first_step = observed.int().argmax(dim=1, keepdim=True)
    last_step = count - 1 - observed.flip(1).int().argmax(dim=1, keepdim=True)
    first, last = (torch.gather(history, 1, step) for step in (first_step, last_step))
    slope = (last - first) / (last_step - first_step).clamp(min=1)
    ahead = torch.arange(1, horizon + 1, dtype=history.dtype).reshape(1, -1, 1)
    return last + slope * (ahead + count - 1 - last_step)


RULES: dict[str, Rule] = {"last value": last_value, "seasonal naive": seasonal_naive, "drift": drift}
"""Name to rule."""


def carried(history: Tensor) -> Tensor:
    """History [B, C, Y] with missing values replaced by the last observed one; leading ones stay NaN."""
    steps = torch.arange(history.shape[1]).reshape(1, -1, 1).expand_as(history)
    last = torch.where(history.isnan(), torch.zeros_like(steps), steps).cummax(dim=1).values
    return torch.gather(history, 1, last)
