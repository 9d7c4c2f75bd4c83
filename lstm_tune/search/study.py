"""The Optuna study of a run: proposes configurations, none twice, and is told the truth about what became of them."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from lstm_tune.search.proposals import distribution, grid, is_conditional, nearest, searched, suggest
from lstm_tune.search.samplers import build_sampler
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import Hyperparameters, Value
from lstm_tune.spec.space import Choice, Range, Space

REJECTIONS = 200
"""Proposals in a row that may be known or infeasible before the space counts as exhausted."""

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        trial: its number, in the study and everywhere else.
        hyperparameters: the active ones, fixed ones included.
        parameters: free parameters of its network.
    """

    trial: int
    hyperparameters: dict[str, Value]
    parameters: int


class Study:
    """Proposals out, outcomes in.

    Args:
        journal: file of the study; it is written anew from `records`, the run's truth.
        name: of the study.
        space: dimensions, parents first.
        sampler: a key of `SAMPLERS`.
        seed: of the sampler.
        count_parameters: free parameters of a configuration's network.
        parameters_at_most: configurations above are told to the sampler as infeasible and never run, or None.
        gap_at_most: the generalisation gap above which a finished trial counts as infeasible, or None.
        records: trials of earlier processes: ended ones are added, interrupted ones come first again.
        first: configurations to begin with; those outside the space are moved into it.
    """

    def __init__(
        self,
        journal: Path,
        *,
        name: str,
        space: Space,
        sampler: str,
        seed: int,
        count_parameters: Callable[[Hyperparameters], int],
        parameters_at_most: float | None = None,
        gap_at_most: float | None = None,
        records: Mapping[int, TrialRecord] | None = None,
        first: Iterable[dict[str, Value]] = (),
    ) -> None:
        self._space = space
        self._searched = searched(space)
        self._count_parameters = count_parameters
        self._parameters_at_most = parameters_at_most
        self._gap_at_most = gap_at_most
        self._live: dict[int, optuna.Trial] = {}
        self._known: dict[tuple[tuple[str, Value], ...], int] = {}
        records = records or {}
        self._study = _new_study(
            journal, name, build_sampler(sampler, seed=seed + len(records), conditional=is_conditional(space))
        )
        for number in range(max(records, default=-1) + 1):
            self._add(records.get(number))
        self._only_queue = sampler == "grid"  # its points are queued here; Optuna's own sampler knows no conditions
        queue = grid(space) if self._only_queue else [nearest(space, wanted) for wanted in first]
        self._queue = deque(queue)

    def propose(self) -> Proposal | None:
        """The next configuration that was not tried and may be tried; None when there seems to be none left."""
        for _ in range(REJECTIONS + len(self._queue)):
            self._enqueue_next()
            if self._only_queue and not self._has_waiting():
                return None
            trial = self._study.ask()
            hyperparameters = suggest(trial, self._space)
            if self._is_rejected(trial, hyperparameters):
                continue
            self._known[self._key(hyperparameters)] = trial.number
            self._live[trial.number] = trial
            return Proposal(trial.number, hyperparameters, self._count_parameters(hyperparameters))
        return None

    def count_parameters(self, hyperparameters: Hyperparameters) -> int:
        """Free parameters of a configuration's network."""
        return self._count_parameters(hyperparameters)

    def report(self, trial: int, epoch: int, score: float) -> None:
        """An intermediate value of a running trial."""
        self._live[trial].report(score, epoch)

    def tell(self, end: TrialEnded) -> None:
        """How a running trial ended: complete with its best fold mean, pruned with its reports, or failed."""
        trial = self._live.pop(end.trial)
        for name, value in _facts(end).items():
            trial.set_user_attr(name, value)
        for name, excess in self._excesses(end).items():
            trial.set_constraint(name, excess)
        self._study.tell(trial, end.score if end.state == "complete" else None, STATES[end.state])

    def _enqueue_next(self) -> None:
        """Puts the next configuration of the queue that was not tried before the sampler's own."""
        while self._queue:
            wanted = self._queue.popleft()
            if self._key(wanted) not in self._known:
                self._study.enqueue_trial(dict(self._key(wanted)))
                return

    def _key(self, hyperparameters: Mapping[str, Value]) -> tuple[tuple[str, Value], ...]:
        """What makes two configurations the same: the searched part, fixed values follow from it."""
        return tuple((name, hyperparameters[name]) for name in self._searched if name in hyperparameters)

    def _excesses(self, end: TrialEnded) -> dict[str, float]:
        """Constraints in Optuna's form: above zero is infeasible."""
        if self._gap_at_most is None or end.gap is None:
            return {}
        return {"gap": end.gap - self._gap_at_most}

    def _has_waiting(self) -> bool:
        return bool(self._study.get_trials(deepcopy=False, states=(TrialState.WAITING,)))

    def _is_rejected(self, trial: optuna.Trial, hyperparameters: dict[str, Value]) -> bool:
        """Settles a proposal that must not run: a known one like its twin, a too large one as infeasible."""
        twin = self._known.get(self._key(hyperparameters))
        if twin is not None:
            frozen = self._study.get_trials(deepcopy=False)[twin]
            is_complete = frozen.state == TrialState.COMPLETE
            trial.set_user_attr("duplicate_of", twin)
            self._study.tell(
                trial, frozen.value if is_complete else None, frozen.state if is_complete else TrialState.FAIL
            )
            return True
        limit = self._parameters_at_most
        if limit is None or (excess := self._count_parameters(hyperparameters) - limit) <= 0:
            return False
        trial.set_constraint("parameters", excess)
        self._study.tell(trial, state=TrialState.PRUNED)
        return True

    def _add(self, record: TrialRecord | None) -> None:
        """Gives the next number to an earlier trial; a number nobody ran stays as failed."""
        if record is None:
            self._study.add_trial(optuna.trial.create_trial(state=TrialState.FAIL))
            return
        drawn = dict(self._key(record.hyperparameters))
        if record.end is None:
            self._study.enqueue_trial(drawn)
            return
        self._known[self._key(record.hyperparameters)] = record.trial
        dimensions = {name: self._space[name] for name in drawn}
        trial = optuna.trial.create_trial(
            state=STATES[record.end.state],
            value=record.end.score if record.end.state == "complete" else None,
            params=drawn,
            distributions={
                name: distribution(entry) for name, entry in dimensions.items() if isinstance(entry, Choice | Range)
            },
            intermediate_values=record.reports,
            user_attrs=_facts(record.end),
        )
        for name, excess in self._excesses(record.end).items():
            trial.set_constraint(name, excess)
        self._study.add_trial(trial)


def _new_study(journal: Path, name: str, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    journal.unlink(missing_ok=True)
    journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)  # a killed process leaves it, and Optuna waits
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        storage = JournalStorage(JournalFileBackend(str(journal)))
    return optuna.create_study(
        study_name=name, storage=storage, sampler=sampler, direction="minimize", pruner=optuna.pruners.NopPruner()
    )


def _facts(end: TrialEnded) -> dict[str, Any]:
    """What the study keeps about a trial beside its value."""
    names = ("standard_error", "train_score", "gap", "best_epoch", "parameters", "hyperparameters")
    return {name: getattr(end, name) for name in names}
