"""The final networks: the chosen configuration, trained on all development rows for as long as the folds found best."""

from statistics import fmean

import torch
from torch import Tensor

from lstm_tune.models.problem import Tally, Task
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.training.fold import FoldTrainer, Portions

LARGEST_GROWTH = 2.0
"""The refit takes at most this many times the folds' steps, however much longer the development rows are."""


def refit_steps(task: Task, hyperparameters: Hyperparameters, portions: Portions, *, epochs: int) -> int:
    """Optimiser steps of the final training.

    The folds' best epoch counts optimiser steps on fewer examples; the steps grow with the number of examples, so that
    each example is seen as often.

    Args:
        task: gives the folds and the final problem.
        hyperparameters: the chosen configuration.
        portions: epochs and batches.
        epochs: the best epoch of the folds, at least 1.
    """
    examples = [problem.examples for problem in task.problems(hyperparameters)]
    steps = fmean(portions.steps(count) for count in examples)
    growth = task.final_problem(hyperparameters).examples / fmean(examples)
    return max(1, round(epochs * steps * min(growth, LARGEST_GROWTH)))


def refit(
    task: Task,
    hyperparameters: Hyperparameters,
    portions: Portions,
    *,
    steps: int,
    seed: int,
    device: torch.device,
) -> tuple[dict[str, Tensor], Tally]:
    """One final network.

    Args:
        task: gives the final problem.
        hyperparameters: the chosen configuration.
        portions: epochs and batches.
        steps: optimiser steps, from `refit_steps`.
        seed: of weights, order and dropout.
        device: where to train.

    Returns:
        Its weights on the CPU and its tally on the training sample, to see whether it learned.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    trainer = FoldTrainer(task.final_problem(hyperparameters), hyperparameters, portions, seed=seed, device=device)
    trainer.train(steps)
    weights = {name: value.cpu() for name, value in trainer.weights().items()}
    return weights, trainer.tally("training")
