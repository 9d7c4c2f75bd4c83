"""The run's study as a file that Optuna's tools open: one trial under each of the run's numbers."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from optuna.exceptions import ExperimentalWarning
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from lstm_tune.search.proposals import distributions
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.space import Space

STATES = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}
FACTS = ("standard_error", "train_score", "gap", "best_epoch", "parameters", "hyperparameters")
"""What the study keeps about a trial beside its value."""


@final
class Journal:
    """Writes what happens; nothing is ever read back, as a run's events are its truth.

    Args:
        path: of the file, which is written anew.
        name: of the study.
        space: what is searched.
    """

    def __init__(self, path: Path, name: str, space: Space) -> None:
        path.unlink(missing_ok=True)
        path.with_name(f"{path.name}.lock").unlink(missing_ok=True)  # a killed process of Optuna's leaves it
        self._space = space
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self._storage = JournalStorage(_File(str(path)))
        self._study = self._storage.create_new_study([StudyDirection.MINIMIZE], name)
        self._ids: list[int] = []

    def begin(self, number: int, drawn: Mapping[str, Value]) -> None:
        """A trial runs; one that was interrupted is there already."""
        if number == len(self._ids):
            of = distributions(self._space, drawn)
            self.add(create_trial(state=TrialState.RUNNING, params=dict(drawn), distributions=of))

    def skip(self) -> None:
        """Nobody ran the next number."""
        self.add(create_trial(state=TrialState.FAIL))

    def report(self, number: int, epoch: int, score: float) -> None:
        """An intermediate value of a running trial."""
        self._storage.set_trial_intermediate_value(self._ids[number], epoch, score)

    def tell(self, end: TrialEnded, excesses: Mapping[str, float]) -> None:
        """How a running trial ended."""
        trial = self._ids[end.trial]
        for name in FACTS:
            self._storage.set_trial_user_attr(trial, name, getattr(end, name))
        for name, value in _constraints(excesses).items():
            self._storage.set_trial_system_attr(trial, name, value)
        values = [end.score] if end.state == "complete" and end.score is not None else None
        self._storage.set_trial_state_values(trial, STATES[end.state], values)

    def add(self, trial: FrozenTrial) -> None:
        """A trial under the next number."""
        self._ids.append(self._storage.create_new_trial(self._study, trial))


@final
class _File(JournalFileBackend):
    """A journal with one writer, who needs no lock, and that a crash may cut short, as it is made again from events."""

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(f"{json.dumps(log, separators=(',', ':'))}\n" for log in logs)
        with open(self._file_path, "ab") as file:
            file.write(lines.encode())


def described(
    end: TrialEnded,
    drawn: Mapping[str, Value],
    space: Space,
    reports: Mapping[int, float],
    excesses: Mapping[str, float],
) -> FrozenTrial:
    """A trial that has ended, as Optuna's samplers and tools see one.

    Args:
        end: how.
        drawn: what a sampler drew of its configuration.
        space: what is searched.
        reports: its intermediate values.
        excesses: constraints; above zero is infeasible.
    """
    return create_trial(
        state=STATES[end.state],
        value=end.score if end.state == "complete" else None,
        params=dict(drawn),
        distributions=distributions(space, drawn),
        intermediate_values=dict(reports),
        user_attrs={name: getattr(end, name) for name in FACTS},
        constraints=dict(excesses),
    )


def _constraints(excesses: Mapping[str, float]) -> dict[str, Any]:
    """Constraints in the form in which Optuna keeps them."""
    return create_trial(state=TrialState.FAIL, constraints=dict(excesses)).system_attrs
