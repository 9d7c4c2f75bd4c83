"""Training one network on one fold: a step, an epoch, an average of weights."""

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from lstm_tune.models.problem import Part, Problem, Tally
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.adamw import FusedAdamW, clip

SHUFFLED_EXAMPLES = 2**20
"""Examples at most that are taken in shuffled passes. A pass over more never ends, so each is drawn by itself."""

AUTO_STEPS = 50
"""Steps of an automatic epoch at most: a pass over a large panel is too long to wait for between two reports."""

AUTO_PATIENCE, LONGEST_PATIENCE = 20, 60
"""Epochs of an automatic patience, at least and at most: as long as a pass over the examples takes, so that no training
is given up before it has seen them all since its best epoch."""

LONG_SERIES_PATIENCE = 40
"""Epochs of it for a single series that takes more than one epoch to pass over. Its validation score rests on one
series, so it jumps about, and a lucky epoch early would end what gets better later."""

SHORT_SERIES_PATIENCE, PATIENCE_GROWTH = 10, 1.5
"""Epochs of it for a single series that one epoch passes over: at least, and for each epoch up to the best.

On the validation folds of twenty such series, judged by networks of another seed, training ended where it did with a
fixed patience of twenty, after a third fewer epochs."""


@dataclass(frozen=True)
class Patience:
    """How long a training goes on without a better fold mean.

    Attributes:
        least: epochs, at least.
        growth: epochs for each one that it took to the best: what got better late may do so again.

    Source: Bengio (2012), "Practical recommendations for gradient-based training of deep architectures", on early
        stopping.
    """

    least: int
    growth: float = 0.0

    def epochs(self, best_epoch: int) -> int:
        """Epochs without a better fold mean after which training ends."""
        return max(self.least, round(self.growth * best_epoch))


@dataclass(frozen=True)
class Portions:
    """How training is cut into epochs and batches.

    Attributes:
        batch_size: examples of one step.
        steps_per_epoch: optimiser steps of one epoch; None for one pass over the examples, 50 at most.
    """

    batch_size: int
    steps_per_epoch: int | None = None

    def steps(self, examples: int) -> int:
        """Steps of one epoch."""
        return self.steps_per_epoch or min(-(-examples // self.batch_size), AUTO_STEPS)

    def epochs_of_pass(self, examples: int) -> int:
        """Epochs until all examples have been seen once."""
        return -(-examples // (self.batch_size * self.steps(examples)))

    def auto_patience(self, examples: int, *, series: int) -> Patience:
        """The epochs of one pass over the examples of so many series, within bounds; that of a short series grows."""
        one_pass = self.epochs_of_pass(examples)
        if series == 1 and one_pass == 1:
            return Patience(SHORT_SERIES_PATIENCE, PATIENCE_GROWTH)
        least = LONG_SERIES_PATIENCE if series == 1 else AUTO_PATIENCE
        return Patience(min(max(one_pass, least), LONGEST_PATIENCE))


class FoldTrainer:
    """A network on its way: weights, their average, optimiser and random state.

    Two trainers made from the same arguments give the same numbers on the same machine, whatever runs in between: each
    keeps its own random state.

    Args:
        problem: the fold.
        hyperparameters: one value for each of the task's.
        portions: epochs and batches.
        seed: of the initial weights, the order of examples and dropout.
        device: where to train.
    """

    def __init__(
        self, problem: Problem, hyperparameters: Hyperparameters, portions: Portions, *, seed: int, device: torch.device
    ) -> None:
        self._problem = problem
        self._device = device
        self._batch_size = min(portions.batch_size, problem.examples)
        self.steps_per_epoch = portions.steps(problem.examples)
        self.steps = 0
        self._order = torch.empty(0, dtype=torch.int64)
        self._random: dict[str, Tensor] = {}
        with self._own_randomness():
            torch.manual_seed(seed)
            self._network = problem.network(hyperparameters).to(device)
        self._parameters: list[Tensor] = list(self._network.parameters())
        self._ema = float(hyperparameters["ema"])
        self.averaged = copy.deepcopy(self._network).requires_grad_(False) if self._ema else self._network
        self._average: list[Tensor] = list(self.averaged.parameters())
        self._clip = float(hyperparameters["gradient_clip"])
        self._optimizer = FusedAdamW(
            self._parameters,
            learning_rate=float(hyperparameters["learning_rate"]),
            weight_decay=float(hyperparameters["weight_decay"]),
        )

    def train(self, steps: int) -> None:
        """Takes optimiser steps.

        Raises:
            DivergedError: the loss became NaN or infinite.
        """
        self._network.train()
        with self._own_randomness():
            total = torch.zeros((), device=self._device)
            for _ in range(steps):
                total += self._step()
                self.steps += 1
        if not torch.isfinite(total):
            raise DivergedError(f"the training loss became {float(total)} within step {self.steps}")

    def tally(self, part: Part) -> Tally:
        """The metric of the averaged weights, as sums and counts."""
        self.averaged.eval()
        with torch.inference_mode():
            return self._problem.tally(self.averaged, part)

    def weights(self) -> dict[str, Tensor]:
        """A copy of the averaged weights and buffers."""
        return {name: value.detach().clone() for name, value in self.averaged.state_dict().items()}

    def forecasts(self, weights: dict[str, Tensor]) -> Tensor:
        """What the network predicts for the validation blocks with weights that `weights` returned earlier."""
        network = copy.deepcopy(self.averaged)
        network.load_state_dict(weights)
        with torch.inference_mode():
            return self._problem.forecasts(network.eval(), "validation")

    def state(self) -> dict[str, Tensor]:
        """Everything needed to go on later, as named tensors."""
        state = {f"network.{name}": value for name, value in self._network.state_dict().items()}
        state |= {f"averaged.{name}": value for name, value in self.averaged.state_dict().items()}
        state |= {f"optimizer.{name}": value for name, value in self._optimizer.state().items()}
        state |= {f"random.{generator}": value for generator, value in self._random.items()}
        state |= {"order": self._order, "steps": torch.tensor(self.steps)}
        return {name: value.detach().clone() for name, value in state.items()}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Goes back to what `state` returned."""
        self._network.load_state_dict(below("network.", state))
        self.averaged.load_state_dict(below("averaged.", state))
        self._optimizer.load_state(below("optimizer.", state))
        self._random = below("random.", state)
        self._order, self.steps = state["order"], int(state["steps"])

    @contextmanager
    def _own_randomness(self) -> Iterator[None]:
        """Draws from this trainer's generators inside, from the process's again afterwards."""
        on_gpu = self._device.type == "cuda"
        with torch.random.fork_rng(devices=[self._device] if on_gpu else []):
            if self._random:
                torch.set_rng_state(self._random["cpu"])
            if on_gpu and "cuda" in self._random:
                torch.cuda.set_rng_state(self._random["cuda"], self._device)
            yield
            self._random = {"cpu": torch.get_rng_state()}
            if on_gpu:
                self._random["cuda"] = torch.cuda.get_rng_state(self._device)

    def _step(self) -> Tensor:
        loss = self._problem.loss(self._network, self._next_batch())
        gradients = torch.autograd.grad(loss, self._parameters, allow_unused=True)
        if self._clip:
            clip(gradients, self._clip)
        self._optimizer.step(gradients)
        if self._ema:
            taken = self.steps + 1
            decay = min(self._ema, taken / (taken + 9))  # young averages forget their random start quickly
            with torch.no_grad():
                torch._foreach_lerp_(self._average, self._parameters, 1 - decay)
        return loss.detach()

    def _next_batch(self) -> Tensor:
        """Example numbers from one shuffled pass after the other, none left out at the seam; of very many, any."""
        if self._problem.examples > SHUFFLED_EXAMPLES:
            return torch.randint(self._problem.examples, (self._batch_size,))
        if len(self._order) < self._batch_size:
            self._order = torch.cat([self._order, torch.randperm(self._problem.examples)])
        batch, self._order = self._order[: self._batch_size], self._order[self._batch_size :]
        return batch


def below(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
