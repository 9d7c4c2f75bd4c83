"""The study of a run: proposes configurations, none twice, and is told the truth about what became of them."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import optuna

from lstm_tune.search.journal import Journal, described
from lstm_tune.search.model import Model
from lstm_tune.search.proposals import grid, is_enumerable, nearest, searched, suggest
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import Hyperparameters, Value
from lstm_tune.spec.space import Space

REJECTIONS = 200
"""Proposals in a row that may be known or infeasible before an endless space counts as exhausted."""

PATIENCE = 10
"""Known proposals in a row before what a small space has left is tried in order."""

Key = tuple[tuple[str, Value], ...]


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
        records = dict(sorted((records or {}).items()))
        self._model = Model(space, sampler, seed=seed + len(records))
        self._journal = Journal(journal, name, space)
        self._known: dict[Key, int] = {}
        self._again: deque[TrialRecord] = deque()
        self._next = max(records, default=-1) + 1
        for number in range(self._next):
            self._add(records.get(number))
        self._is_grid = sampler == "grid"
        self._left: dict[Key, dict[str, Value]] | None = None
        if self._is_grid or is_enumerable(space):
            every = {self._key(point): point for point in grid(space)}
            self._left = {key: point for key, point in every.items() if key not in self._known}
        self._queue = deque([] if self._is_grid else [nearest(space, wanted) for wanted in first])

    def propose(self) -> Proposal | None:
        """The next configuration that was not tried and may be tried; None when there seems to be none left."""
        if self._again:
            record = self._again.popleft()
            trial = self._model.ask(self._drawn(record.hyperparameters))
            return self._proposal(record.trial, trial, suggest(trial, self._space))
        for rejections in range(REJECTIONS + len(self._queue) + len(self._left or ())):
            wanted = self._wanted(rejections)
            if wanted is None and self._left is not None and not self._left:
                return None
            trial = self._model.ask(wanted)
            hyperparameters = suggest(trial, self._space)
            if not self._is_rejected(trial, hyperparameters):
                self._next += 1
                return self._proposal(self._next - 1, trial, hyperparameters)
        return None

    def count_parameters(self, hyperparameters: Hyperparameters) -> int:
        """Free parameters of a configuration's network."""
        return self._count_parameters(hyperparameters)

    def report(self, trial: int, epoch: int, score: float) -> None:
        """An intermediate value of a running trial."""
        self._model.report(trial, epoch, score)
        self._journal.report(trial, epoch, score)

    def tell(self, end: TrialEnded) -> None:
        """How a running trial ended: complete with its best fold mean, pruned with its reports, or failed."""
        excesses = self._excesses(end)
        self._model.tell(end, excesses)
        self._journal.tell(end, excesses)

    def _proposal(self, number: int, trial: optuna.Trial, hyperparameters: dict[str, Value]) -> Proposal:
        self._known[self._key(hyperparameters)] = number
        if self._left is not None:
            self._left.pop(self._key(hyperparameters), None)
        self._model.begin(number, trial)
        self._journal.begin(number, self._drawn(hyperparameters))
        return Proposal(number, hyperparameters, self._count_parameters(hyperparameters))

    def _drawn(self, hyperparameters: Hyperparameters) -> dict[str, Value]:
        """The part that a sampler draws."""
        return {name: hyperparameters[name] for name in self._searched if name in hyperparameters}

    def _wanted(self, rejections: int) -> dict[str, Value] | None:
        """What comes before the sampler's own proposals: the queue, then what a small space has left."""
        while self._queue:
            wanted = self._queue.popleft()
            if self._key(wanted) not in self._known:
                return self._drawn(wanted)
        if self._left and (self._is_grid or rejections >= PATIENCE):
            return self._drawn(next(iter(self._left.values())))
        return None

    def _key(self, hyperparameters: Hyperparameters) -> Key:
        """What makes two configurations the same: the searched part, as fixed values follow from it, without noise."""
        present = self._drawn(hyperparameters).items()
        return tuple((name, float(f"{value:.12g}") if isinstance(value, float) else value) for name, value in present)

    def _excesses(self, end: TrialEnded) -> dict[str, float]:
        """Constraints in Optuna's form: above zero is infeasible."""
        if self._gap_at_most is None or end.gap is None:
            return {}
        return {"gap": end.gap - self._gap_at_most}

    def _is_rejected(self, trial: optuna.Trial, hyperparameters: dict[str, Value]) -> bool:
        """Settles a proposal that must not run: a known one like its twin, a too large one as infeasible."""
        key = self._key(hyperparameters)
        if key in self._known:
            self._model.settle_twin(trial, self._known[key])
            return True
        limit = self._parameters_at_most
        if limit is None or (excess := self._count_parameters(hyperparameters) - limit) <= 0:
            return False
        if self._left is not None:
            self._left.pop(key, None)
        self._model.settle_infeasible(trial, {"parameters": excess})
        return True

    def _add(self, record: TrialRecord | None) -> None:
        """Gives the next number to an earlier trial: an ended one, one that begins again, or a number nobody ran."""
        if record is None:
            self._journal.skip()
            return
        drawn = self._drawn(record.hyperparameters)
        self._known[self._key(record.hyperparameters)] = record.trial
        if record.end is None:
            self._again.append(record)
            self._journal.begin(record.trial, drawn)
            return
        trial = described(record.end, drawn, self._space, record.reports, self._excesses(record.end))
        self._model.add(record.trial, trial)
        self._journal.add(trial)
