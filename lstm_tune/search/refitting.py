"""The final networks: the chosen configurations on all development rows, from seeds that no trial used."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lstm_tune.bundle.files import Member, build_network
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.search.finalists import Finalists
from lstm_tune.search.jobs import Job, run_jobs
from lstm_tune.search.placement import Slot
from lstm_tune.search.session import Session
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.events import RefitReported
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.fold import Portions
from lstm_tune.training.refit import refit, refit_steps

Weights = Mapping[str, Tensor]


def train_final(session: Session, finalists: Finalists, slot: Slot) -> tuple[tuple[Member, ...], Ensemble]:
    """The final model and where each of its networks comes from.

    An ensemble and a single configuration have as many networks, `output.seeds`, and more only where an ensemble has
    more members: the weights decide how many each member gets, one at least.

    Raises:
        DivergedError: a training diverged.
    """
    counts = networks_of(finalists.weights, session.experiment.output.seeds)
    members: list[Member] = []
    shares: list[float] = []
    for trial, count in counts.items():
        hyperparameters = completed(finalists.ends[trial].hyperparameters, task=session.experiment.task.kind)
        members += [Member(trial, hyperparameters)] * count
        shares += [finalists.weights[trial] / count] * count
    states = _train(session, finalists, members, slot)
    return tuple(members), build_network(session.task.design, session.preprocessing, members, states, shares)


def networks_of(weights: Mapping[int, float], seeds: int) -> dict[int, int]:
    """How many networks each trial gets, by largest remainders: one at least, and `seeds` or one each in all."""
    counts = dict.fromkeys(weights, 1)
    for _ in range(seeds - len(counts)):
        counts[max(weights, key=lambda trial: weights[trial] / (counts[trial] + 1))] += 1
    return counts


def _train(session: Session, finalists: Finalists, members: Sequence[Member], slot: Slot) -> list[Weights]:
    """The weights of every member's network."""
    trials = sorted({member.trial for member in members})
    of_trial = {member.trial: member.hyperparameters for member in members}
    steps = {
        trial: refit_steps(session.task, of_trial[trial], session.portions, epochs=finalists.epochs(trial))
        for trial in trials
    }
    jobs = [
        _network(
            member, session.portions, steps=steps[member.trial], seed=_seed(session.experiment.search.seed, number)
        )
        for number, member in enumerate(members)
    ]

    def report(done: int) -> None:
        session.record(RefitReported(done, len(jobs)))

    expected_s = sum(finalists.ends[member.trial].seconds for member in members)
    try:
        return run_jobs(session.task, jobs, crew=session.crew, slot=slot, expected_s=expected_s, report=report)
    except DivergedError as error:
        named = f"trial {trials[0]}" if len(trials) == 1 else f"trials {', '.join(map(str, trials))}"
        problem = f"The final training of {named} failed: {error}"
        raise DivergedError(f"{problem}. Search smaller values of learning_rate") from None


def _network(member: Member, portions: Portions, *, steps: int, seed: int) -> Job[Weights]:
    """A job for one final network's weights."""
    hyperparameters = member.hyperparameters

    def job(task: ForecastTask, device: torch.device, helpers: Sequence[Any]) -> Weights:
        return refit(task, hyperparameters, portions, steps=steps, seed=seed, device=device)[0]

    return job


def _seed(seed: int, member: int) -> int:
    """Seeds of the final networks, apart from those of any fold."""
    return 1_000_003 + seed * 10_007 + member
