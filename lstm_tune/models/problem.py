"""What training asks of a task: networks, losses and additive scores.

Training and tasks are siblings that never import each other; both know this page. Tasks conform by shape.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor, nn

from lstm_tune.spec.hyperparameters import Hyperparameters

Part = Literal["validation", "training"]


@dataclass(frozen=True)
class Tally:
    """A metric before its ratio is taken: additive over blocks, so that it can be pooled.

    Attributes:
        sums: float64 [blocks], numerators.
        counts: float64 [blocks], denominators; zero for a block without a valid target.
    """

    sums: Tensor
    counts: Tensor


class Problem(Protocol):
    """One fold: a training set to learn from and targets to be judged by."""

    @property
    def examples(self) -> int:
        """Number of training examples."""

    def network(self, hyperparameters: Hyperparameters) -> nn.Module:
        """A new network with everything fitted on this fold's training rows; weights from torch's global generator."""

    def loss(self, network: nn.Module, chosen: Tensor) -> Tensor:
        """Mean training loss of the examples with the numbers `chosen` [B]; a scalar with a gradient."""

    def forecasts(self, network: nn.Module, part: Part) -> Tensor:
        """What the network predicts, one row a block, in the order of the tally; float32 [blocks, ...] on the CPU."""

    def tally(self, network: nn.Module, part: Part) -> Tally:
        """Sums and counts of the metric on the validation targets, or on a fixed sample of training targets."""


class Task(Protocol):
    """An experiment's question, put to data."""

    def problems(self, hyperparameters: Hyperparameters) -> Sequence[Problem]:
        """The folds, for one configuration."""

    def final_problem(self, hyperparameters: Hyperparameters) -> Problem:
        """All development rows to learn from, the locked test part to be judged by."""

    def score(self, tally: Tally) -> float:
        """The metric of pooled sums and counts; NaN where nothing could be judged."""

    def parameters(self, hyperparameters: Hyperparameters) -> int:
        """Free parameters of the network, without building it."""
