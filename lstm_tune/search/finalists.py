"""Which configuration wins: the best trials are repeated with fresh seeds, then a rule chooses among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from operator import mul
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lstm_tune.search.helping import share_folds
from lstm_tune.search.jobs import Job, run_jobs
from lstm_tune.search.placement import Slot
from lstm_tune.search.session import Session
from lstm_tune.search.together import find_mixture
from lstm_tune.selection.choice import Choice, choose
from lstm_tune.selection.ensemble import Mixture, mixed
from lstm_tune.selection.out_of_fold import OutOfFold
from lstm_tune.selection.rules import DefaultTrial
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.events import FinalistsReported, TrialEnded, Warned, WinnerChosen
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.training.lockstep import Lockstep
from lstm_tune.training.rescore import Rescored, rescore

FINALISTS_SHARE = 0.5
"""Share of the search's epochs that repeating the finalists may take; fewer are repeated where it would take more."""


@dataclass(frozen=True)
class Finalists:
    """The winner and what was repeated to find it.

    Attributes:
        choice: the winner.
        repeated: the repetition of each finalist that did not diverge, by trial; the winner's is among them unless it
            diverged.
        ends: how the trial of each of them ended, and the winner's, by trial.
        mixture: the ensemble that takes the winner's place; None where none is proven better.
    """

    choice: Choice
    repeated: Mapping[int, Rescored]
    ends: Mapping[int, TrialEnded]
    mixture: Mixture | None = None

    @property
    def weights(self) -> Mapping[int, float]:
        """Share of each trial's configuration in the final model, the largest first."""
        return self.mixture.weights if self.mixture else {self.choice.end.trial: 1.0}

    @property
    def forecasts(self) -> tuple[Tensor, ...]:
        """What the chosen configurations forecast out of fold, float32 [E, ...] a fold; empty where one diverged."""
        if not self.weights.keys() <= self.repeated.keys():
            return ()
        return mixed({trial: self.repeated[trial].forecasts for trial in self.weights}, self.weights)

    @property
    def gap(self) -> float | None:
        """Generalisation gap of the chosen trials, weighted; None where one has none."""
        gaps = [self.ends[trial].gap for trial in self.weights]
        known = [gap for gap in gaps if gap is not None]
        return sum(map(mul, known, self.weights.values())) if len(known) == len(gaps) else None

    @property
    def chosen(self) -> WinnerChosen:
        """What becomes the final model."""
        end, mixture = self.choice.end, self.mixture
        assert end.score is not None, "a candidate has a score"
        if mixture is None:
            return WinnerChosen(end.trial, end.score, self.choice.reason)
        reason = (
            f"together better than a single configuration in {1 - mixture.worse:.0%} of the resamples, out of bag, by"
            f" {mixture.gain:.2g} on average; alone trial {end.trial} would have won: {self.choice.reason}"
        )
        members = {str(trial): weight for trial, weight in mixture.weights.items()}
        return WinnerChosen(next(iter(mixture.weights)), mixture.score, reason, members)

    def epochs(self, trial: int) -> int:
        """The epochs that a trial and its repetition found best on average, at least 1."""
        found = [self.ends[trial].best_epoch]
        if trial in self.repeated:
            found.append(self.repeated[trial].best.epoch)
        return max(1, round(fmean(found)))


def choose_winner(
    session: Session,
    ends: Sequence[TrialEnded],
    losses: OutOfFold,
    slot: Slot,
    *,
    defaults: DefaultTrial | None,
    spent: int,
) -> Finalists:
    """Repeats as many finalists as can be afforded, chooses one, and makes sure that the winner was repeated.

    Args:
        session: the run.
        ends: candidates, the best first.
        losses: their out-of-fold losses, of those that have any.
        slot: what one training occupies.
        defaults: the one with the default configuration, if it is a candidate.
        spent: epochs that the search trained.
    """
    with_losses = set(losses.trials.tolist())
    wanted = [end for end in ends if end.trial in with_losses][: session.experiment.output.finalists]
    finalists = _affordable(_with_defaults(wanted, ends, defaults), spent=spent)
    repeated = _repeat(session, finalists, slot) if len(finalists) > 1 else {}
    choice = _choose(session, ends, losses, repeated, defaults)
    if choice.end.trial not in repeated:
        repeated |= _repeat(session, [choice.end], slot)
    if choice.end.trial not in repeated:
        problem = f"Trial {choice.end.trial} diverged when it was repeated with a fresh seed"
        session.record(Warned(f"{problem}: there are no out-of-fold forecasts of it, and so no intervals."))
    known = {end.trial: end for end in ends}
    chosen = {trial: known[trial] for trial in {choice.end.trial, *repeated}}
    return Finalists(choice, repeated, chosen, find_mixture(session, repeated, chosen, defaults))


def _choose(
    session: Session,
    ends: Sequence[TrialEnded],
    losses: OutOfFold,
    repeated: Mapping[int, Rescored],
    defaults: DefaultTrial | None,
) -> Choice:
    """The winner among the repeated finalists, or among all candidates where none was repeated."""
    rule, finish = session.experiment.output.choice, session.finish
    if not repeated:
        return choose(ends, losses, rule=rule, finish=finish, defaults=defaults)
    among = [end for end in ends if end.trial in repeated]
    choice = choose(among, _averaged(losses.of(repeated), repeated), rule=rule, finish=finish, defaults=defaults)
    return replace(choice, reason=f"{choice.reason}; {len(repeated)} finalists were repeated with fresh seeds")


def _with_defaults(
    finalists: list[TrialEnded], ends: Sequence[TrialEnded], defaults: DefaultTrial | None
) -> list[TrialEnded]:
    """The finalists, the default configuration first: what may stay must be judged as the others are."""
    if defaults is None or len(finalists) < 2:
        return finalists
    chosen = [end for end in ends if end.trial == defaults.trial]
    return chosen + [end for end in finalists if end.trial != defaults.trial][: len(finalists) - 1]


def _affordable(finalists: list[TrialEnded], *, spent: int) -> list[TrialEnded]:
    """As many finalists as can be repeated in a part of the epochs spent; no two runs take the same time."""
    costs = accumulate(end.epochs for end in finalists)
    return finalists[: sum(cost <= FINALISTS_SHARE * spent for cost in costs)]


def _repeat(session: Session, finalists: Sequence[TrialEnded], slot: Slot) -> dict[int, Rescored]:
    """The repetitions by trial, without those that diverged."""

    def report(done: int) -> None:
        session.record(FinalistsReported(done, len(finalists)))

    longest_first = sorted(finalists, key=lambda end: -end.seconds)  # or the last one would keep the others waiting
    jobs = [repetition(session, end) for end in longest_first]
    expected_s = sum(end.seconds for end in finalists)
    results = run_jobs(session.task, jobs, crew=session.crew, slot=slot, expected_s=expected_s, report=report)
    found = {end.trial: result for end, result in zip(longest_first, results, strict=True) if result is not None}
    return {end.trial: found[end.trial] for end in finalists if end.trial in found}


def repetition(session: Session, end: TrialEnded) -> Job[Rescored | None]:
    """A job for a repetition, or None where another seed makes the configuration diverge: it is no finalist then.

    It trains until patience ends it, but a trial that was stopped before that is not outlasted.
    """
    hyperparameters = completed(end.hyperparameters, task=session.experiment.task.kind)
    portions, seed = session.portions, session.experiment.search.seed
    patience = session.patience
    ran_out = end.epochs - end.best_epoch >= patience.epochs(end.best_epoch)
    max_epochs = session.experiment.training.max_epochs if ran_out else end.epochs

    def job(task: ForecastTask, device: torch.device, helpers: Sequence[Any]) -> Rescored | None:
        def share(lockstep: Lockstep) -> None:
            share_folds(lockstep, helpers, end.hyperparameters, threads=torch.get_num_threads())

        try:
            return rescore(
                task,
                hyperparameters,
                portions,
                max_epochs=max_epochs,
                patience=patience,
                seed=seed,
                device=device,
                share=share,
            )
        except DivergedError:
            return None

    return job


def _averaged(losses: OutOfFold, repeated: Mapping[int, Rescored]) -> OutOfFold:
    """Each finalist's losses, averaged over its trial and the repetition."""
    fresh = [repeated[trial].tallies for trial in losses.trials.tolist()]
    sums = np.stack([torch.cat([tally.sums for tally in tallies]).numpy() for tallies in fresh])
    return replace(losses, sums=(losses.sums + sums) / 2)
