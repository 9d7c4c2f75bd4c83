"""Whether a trial trains what it says: our training beside a loop written by hand, loss by loss.

The loop starts from our network's initial weights and draws from the same random numbers; everything else is plain: the
windows are cut here, torch's own optimiser steps, and the layers are called one by one. Both compute in double
precision: in single precision two orders of summation lead training apart within a hundred steps.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lstm_tune.models.forecaster import Forecaster
from lstm_tune.models.lstm import LstmLayer
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import FoldTrainer, Portions


@dataclass(frozen=True)
class Overheard:
    """A fold that keeps the losses it was asked for.

    Attributes:
        problem: the fold.
        losses: in order.
    """

    problem: Any
    losses: list[float] = field(default_factory=list)

    @property
    def examples(self) -> int:
        return int(self.problem.examples)

    def network(self, hyperparameters: Hyperparameters) -> nn.Module:
        network: nn.Module = self.problem.network(hyperparameters)
        return network

    def loss(self, network: nn.Module, chosen: Tensor) -> Tensor:
        loss: Tensor = self.problem.loss(network, chosen)
        self.losses.append(float(loss.detach()))
        return loss


def our_losses(task: ForecastTask, hyperparameters: Hyperparameters, portions: Portions, *, steps: int) -> list[float]:
    """The loss of each step of the first fold's trainer."""
    overheard = Overheard(task.problems(hyperparameters)[0])
    trainer = FoldTrainer(overheard, hyperparameters, portions, seed=0, device=torch.device("cpu"))  # type: ignore[arg-type]
    trainer.train(steps)
    return overheard.losses


def plain_losses(
    task: ForecastTask, hyperparameters: Hyperparameters, *, batch: int, steps: int, first: float
) -> list[float]:
    """The same by hand, for one series without covariates, an unlocked dropout and no normalisation of windows.

    Args:
        task: the question.
        hyperparameters: one value for each of the task's.
        batch: examples of a step.
        steps: to take.
        first: the first loss of ours. It counts in the usual unit of the series, which single precision gives to five
            digits, so all losses by hand are multiplied by what makes the first one equal.
    """
    torch.manual_seed(0)
    network = task.problems(hyperparameters)[0].network(hyperparameters)
    assert isinstance(network, Forecaster)
    end, horizon, window = int(task.split.folds[0].train_ends[0]), task.design.horizon, network.window
    mean, deviation = float(network.get_buffer("mean")), float(network.get_buffer("deviation"))
    history = (torch.from_numpy(task.sequences.target[:end, 0]) - mean) / deviation
    padded = torch.cat([history, torch.full((horizon,), torch.nan)])  # the last windows know part of their future
    cut = padded.unfold(0, window + horizon, 1)[: end - window]
    layers = [layer.lstm for layer in network.lstm.layers if isinstance(layer, LstmLayer)]
    rate, share = float(hyperparameters["learning_rate"]), float(hyperparameters["dropout"])
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.0, fused=True)
    order, losses, unit = torch.empty(0, dtype=torch.int64), [], 0.0
    for _ in range(steps):
        if len(order) < batch:
            order = torch.cat([order, torch.randperm(len(cut))])
        chosen, order = order[:batch], order[batch:]
        x, truth = cut[chosen, :window].unsqueeze(2), cut[chosen, window:]
        for i, layer in enumerate(layers):
            x = layer(F.dropout(x, share) if i else x)[0]
        errors = (network.head(F.dropout(x[:, -1], share)) - truth).abs()
        loss = errors[~truth.isnan()].mean()
        unit = unit or first / float(loss.detach())
        loss = loss * unit
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert abs(unit - 1) < 1e-4, "the units agree to single precision"
    return losses


def largest_difference(task: ForecastTask, hyperparameters: Hyperparameters, *, batch: int, steps: int) -> float:
    """The largest relative difference between a step's loss by hand and ours."""
    values = {name: getattr(task.sequences, name).astype(np.float64) for name in ("target", "inputs")}
    precise = replace(task, sequences=replace(task.sequences, **values))
    with _double_precision():
        ours = our_losses(precise, hyperparameters, Portions(batch, steps), steps=steps)
        plain = plain_losses(precise, hyperparameters, batch=batch, steps=steps, first=ours[0])
    assert len(ours) == len(plain) == steps
    return max(abs(a - b) / abs(b) for a, b in zip(ours, plain, strict=True))


@contextmanager
def _double_precision() -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
