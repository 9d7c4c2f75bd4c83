"""The final networks: the chosen configuration on all development rows, from seeds that no trial used."""

from collections.abc import Mapping

import torch
from torch import Tensor

from lstm_tune.search.cluster import Slot
from lstm_tune.search.finalists import Finalists
from lstm_tune.search.jobs import Job, run_jobs
from lstm_tune.search.session import Session
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.events import RefitReported
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Portions
from lstm_tune.training.refit import refit, refit_steps

Weights = Mapping[str, Tensor]


def train_final(session: Session, finalists: Finalists, slot: Slot) -> tuple[Hyperparameters, list[Weights]]:
    """The winner's hyperparameters and its networks' weights.

    Raises:
        DivergedError: a training diverged.
    """
    end, total = finalists.choice.end, session.experiment.output.seeds
    hyperparameters = completed(end.hyperparameters, task=session.experiment.task.kind)
    epochs = finalists.epochs(end.trial)
    steps = refit_steps(session.task, hyperparameters, session.portions, epochs=epochs)
    seeds = [_seed(session.experiment.search.seed, member) for member in range(total)]
    jobs = [_member(hyperparameters, session.portions, steps=steps, seed=seed) for seed in seeds]

    def report(done: int) -> None:
        session.record(RefitReported(done, total))

    try:
        members = run_jobs(session.task, jobs, slot=slot, expected_s=end.seconds * total, report=report)
    except DivergedError as error:
        problem = f"The final training of trial {end.trial} failed: {error}"
        raise DivergedError(f"{problem}. Search smaller values of learning_rate") from None
    return hyperparameters, members


def _member(hyperparameters: Hyperparameters, portions: Portions, *, steps: int, seed: int) -> Job[Weights]:
    """A job for one final network's weights."""

    def job(task: ForecastTask, device: torch.device) -> Weights:
        return refit(task, hyperparameters, portions, steps=steps, seed=seed, device=device)[0]

    return job


def _seed(seed: int, member: int) -> int:
    """Seeds of the final networks, apart from those of any fold."""
    return 1_000_003 + seed * 10_007 + member
