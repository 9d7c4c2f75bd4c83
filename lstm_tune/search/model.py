"""What a sampler learns from: an Optuna study in memory, which forgets where remembering would cost too much."""

import heapq
import math
from collections.abc import Mapping
from copy import copy
from typing import final

import optuna
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.search.journal import STATES
from lstm_tune.search.proposals import distributions, drawn_from, is_conditional
from lstm_tune.search.samplers import FORGETFUL, build_sampler
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.space import Space

BEST, LATEST = 40, 80
"""Ended trials that are kept when the others are forgotten. A fit takes longer with each trial, 10 ms at a hundred and
80 at five thousand; TPE calls a tenth of the trials good, 25 at most, for which the best ones suffice."""

MOST = 2 * (BEST + LATEST)
"""Ended trials at which that happens."""


@final
class Model:
    """Asks a sampler for configurations and tells it what became of them.

    Args:
        space: what is searched.
        sampler: a key of `SAMPLERS`.
        seed: of the sampler.
    """

    def __init__(self, space: Space, sampler: str, *, seed: int) -> None:
        self._space = space
        self._sampler = sampler
        self._seed = seed
        self._live: dict[int, optuna.Trial] = {}
        self._outcomes: dict[int, tuple[TrialState, float | None]] = {}
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = self._new_study()
        self._ended = 0

    def ask(self, wanted: Mapping[str, Value] | None) -> optuna.Trial:
        """A trial that draws the wanted values, or the sampler's own where none are."""
        if wanted is not None:
            self._study.enqueue_trial(dict(wanted))
        return self._study.ask()

    def begin(self, number: int, trial: optuna.Trial) -> None:
        """The trial runs, under the run's number."""
        self._live[number] = trial

    def report(self, number: int, epoch: int, score: float) -> None:
        """An intermediate value of a running trial."""
        self._live[number].report(score, epoch)

    def tell(self, end: TrialEnded, excesses: Mapping[str, float]) -> None:
        """How a running trial ended."""
        value = end.score if end.state == "complete" else None
        self._outcomes[end.trial] = STATES[end.state], value
        self._settle(self._live.pop(end.trial), STATES[end.state], value, excesses)

    def settle_twin(self, trial: optuna.Trial, number: int) -> None:
        """The trial never runs, for it is one of the run's again: it ends as that did, if that is complete."""
        state, value = self._outcomes.get(number, (TrialState.FAIL, None))
        is_complete = state == TrialState.COMPLETE
        self._settle(trial, state if is_complete else TrialState.FAIL, value if is_complete else None, {})

    def settle_infeasible(self, trial: optuna.Trial, excesses: Mapping[str, float]) -> None:
        """The trial never runs, for it breaks a constraint."""
        self._settle(trial, TrialState.PRUNED, None, excesses)

    def add(self, number: int, trial: FrozenTrial) -> None:
        """A trial of an earlier process, in the journal's terms."""
        self._outcomes[number] = trial.state, trial.value
        seen = copy(trial)
        seen.distributions = distributions(self._space, trial.params, drawn_from)
        self._study.add_trial(seen)
        self._count()

    def _settle(
        self, trial: optuna.Trial, state: TrialState, value: float | None, excesses: Mapping[str, float]
    ) -> None:
        if trial.study is self._study:
            for name, excess in excesses.items():
                trial.set_constraint(name, excess)
            self._study.tell(trial, value, state)
        else:  # it began before the others were forgotten
            frozen = trial.storage.get_trial(trial._trial_id)
            self._study.add_trial(
                create_trial(
                    state=state,
                    value=value,
                    params=frozen.params,
                    distributions=frozen.distributions,
                    intermediate_values=frozen.intermediate_values,
                    constraints=dict(excesses),
                )
            )
        self._count()

    def _count(self) -> None:
        self._ended += 1
        if self._ended >= MOST and self._sampler in FORGETFUL:
            self._forget()

    def _forget(self) -> None:
        """Keeps the best and the latest trials in a new study; those that run are added as they end."""
        ended = [trial for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()]
        best = heapq.nsmallest(BEST, ended[:-LATEST], key=_merit)
        self._seed += 1
        self._study = self._new_study()
        self._study.add_trials([*best, *ended[-LATEST:]])
        self._ended = BEST + LATEST

    def _new_study(self) -> optuna.Study:
        sampler = build_sampler(self._sampler, seed=self._seed, conditional=is_conditional(self._space))
        return optuna.create_study(sampler=sampler, direction="minimize", pruner=optuna.pruners.NopPruner())


def _merit(trial: FrozenTrial) -> tuple[int, float]:
    """Sorts feasible complete trials first and low scores before high ones; a pruned one counts by its last report."""
    if any(excess > 0 for excess in trial.constraints.values()):
        return (2, 0.0)
    if trial.state == TrialState.COMPLETE and trial.value is not None:
        return (0, trial.value)
    reports = trial.intermediate_values
    return (1, reports[max(reports)] if reports else math.inf)
