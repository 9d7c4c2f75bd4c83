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

from lstm_tune.search.proposals import distribution, grid, is_conditional, is_enumerable, nearest, searched, suggest
from lstm_tune.search.samplers import build_sampler
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import Hyperparameters, Value
from lstm_tune.spec.space import Choice, Range, Space

REJECTIONS = 200
"""Proposals in a row that may be known or infeasible before an endless space counts as exhausted."""

PATIENCE = 10
"""Known proposals in a row before what a small space has left is tried in order."""

Key = tuple[tuple[str, Value], ...]
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
        self._waiting = 0
        self._left: dict[Key, dict[str, Value]] | None = None
        self._searched = searched(space)
        self._count_parameters = count_parameters
        self._parameters_at_most = parameters_at_most
        self._gap_at_most = gap_at_most
        self._live: dict[int, optuna.Trial] = {}
        self._known: dict[Key, int] = {}
        records = records or {}
        self._study = _new_study(
            journal, name, build_sampler(sampler, seed=seed + len(records), conditional=is_conditional(space))
        )
        for number in range(max(records, default=-1) + 1):
            self._add(records.get(number))
        self._is_grid = sampler == "grid"
        if self._is_grid or is_enumerable(space):
            every = {self._key(point): point for point in grid(space)}
            self._left = {key: point for key, point in every.items() if key not in self._known}
        self._queue = deque([] if self._is_grid else [nearest(space, wanted) for wanted in first])

    def propose(self) -> Proposal | None:
        """The next configuration that was not tried and may be tried; None when there seems to be none left."""
        for rejections in range(REJECTIONS + len(self._queue) + len(self._left or ())):
            self._enqueue_next(rejections)
            if not self._waiting and self._left is not None and not self._left:
                return None
            trial = self._ask()
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

    def _enqueue_next(self, rejections: int) -> None:
        """Puts a wanted configuration before the sampler's own: of the queue, or one that a small space has left."""
        if self._waiting:
            return
        while self._queue:
            wanted = self._queue.popleft()
            if self._key(wanted) not in self._known:
                self._enqueue(wanted)
                return
        if self._left and (self._is_grid or rejections >= PATIENCE):
            self._enqueue(next(iter(self._left.values())))

    def _enqueue(self, wanted: Mapping[str, Value]) -> None:
        self._study.enqueue_trial({name: wanted[name] for name in self._searched if name in wanted})
        self._waiting += 1

    def _ask(self) -> optuna.Trial:
        """The next enqueued configuration, else the sampler's."""
        self._waiting = max(0, self._waiting - 1)
        return self._study.ask()

    def _key(self, hyperparameters: Mapping[str, Value]) -> Key:
        """What makes two configurations the same: the searched part, as fixed values follow from it, without noise."""
        present = ((name, hyperparameters[name]) for name in self._searched if name in hyperparameters)
        return tuple((name, float(f"{value:.12g}") if isinstance(value, float) else value) for name, value in present)

    def _excesses(self, end: TrialEnded) -> dict[str, float]:
        """Constraints in Optuna's form: above zero is infeasible."""
        if self._gap_at_most is None or end.gap is None:
            return {}
        return {"gap": end.gap - self._gap_at_most}

    def _is_rejected(self, trial: optuna.Trial, hyperparameters: dict[str, Value]) -> bool:
        """Settles a proposal that must not run: a known one like its twin, a too large one as infeasible."""
        key = self._key(hyperparameters)
        twin = self._known.get(key)
        if self._left is not None:
            self._left.pop(key, None)
        if twin not in (None, trial.number):
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
        drawn = {name: record.hyperparameters[name] for name in self._searched if name in record.hyperparameters}
        self._known[self._key(record.hyperparameters)] = record.trial
        if record.end is None:
            self._enqueue(drawn)
            return
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
