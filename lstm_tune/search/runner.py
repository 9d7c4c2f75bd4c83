"""A run on disk: made, opened again, and set going."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from lstm_tune.search.final import Outcome
from lstm_tune.search.manifest import build_manifest, check_same_data
from lstm_tune.search.process import work
from lstm_tune.search.proposals import grid
from lstm_tune.search.recorder import Listener, Recorder
from lstm_tune.search.schedulers import build_schedule
from lstm_tune.search.session import Session
from lstm_tune.selection.records import trial_records
from lstm_tune.selection.tables import write_table
from lstm_tune.spec.errors import Fault, InputError
from lstm_tune.spec.events import RunEnded, SearchEnded, Stamped, TestScored, read_events
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.loading import dump_experiment, load_experiment
from lstm_tune.spec.paths import RunPaths, create_run, open_run, write_atomically, write_json
from lstm_tune.spec.space import Space, as_raw
from lstm_tune.tasks.assembly import Prepared, assemble
from lstm_tune.tasks.newer import known_steps

WARM_STARTS = 8
"""Configurations taken over from an earlier run."""


@dataclass(frozen=True)
class Run:
    """A run on disk, ready to go (on).

    Attributes:
        experiment: the resolved experiment.
        prepared: its data, folds and space.
        paths: its files.
    """

    experiment: Experiment
    prepared: Prepared
    paths: RunPaths

    @classmethod
    def create(cls, experiment: Experiment, *, folder: Path, command: Sequence[str] = ()) -> "Run":
        """A new run: reads and checks the data, then makes the directory below `output.directory`.

        Args:
            experiment: the checked file.
            folder: what `data.path` is relative to.
            command: the command line, for the manifest.

        Raises:
            InputError: the data or the space is wrong, or the directory cannot be written; nothing was started.
        """
        prepared = assemble(experiment, folder=folder)
        _check_search(experiment, prepared.space)
        paths = create_run(Path(experiment.output.directory), experiment.name, now=datetime.now())
        return cls._begin(experiment, prepared, paths, folder=folder, command=command)

    @classmethod
    def _begin(
        cls, experiment: Experiment, prepared: Prepared, paths: RunPaths, *, folder: Path, command: Sequence[str]
    ) -> "Run":
        """A new run in a folder that is there."""
        resolved = _resolved(experiment, prepared, None if folder == paths.root else folder)
        is_derived = experiment.space is None
        manifest = build_manifest(resolved, prepared, folder=folder, command=list(command), is_space_derived=is_derived)
        write_atomically(paths.experiment, dump_experiment(resolved))
        write_json(paths.manifest, manifest)
        write_table(known_steps(prepared.panel), paths.series)
        return cls(resolved, prepared, paths)

    @classmethod
    def reopen(cls, root: Path | str, *, overrides: Sequence[str] = ()) -> "Run":
        """A run that was stopped.

        Args:
            root: its directory.
            overrides: `key.path=value` texts; only budgets, resources and the output may change.

        Raises:
            InputError: there is no run, it is complete, or its data changed.
        """
        paths = open_run(root)
        _check_overrides(overrides)
        experiment = load_experiment(paths.experiment, overrides)
        check_same_data(json.loads(paths.manifest.read_text()), experiment, folder=paths.root)
        _check_incomplete(paths, list(read_events(paths.events)), experiment, is_changed=bool(overrides))
        prepared = assemble(experiment, folder=paths.root)
        return cls(experiment, prepared, paths)

    def go(self, listeners: Sequence[Listener] = (), *, warm_start: RunPaths | None = None) -> Outcome:
        """Searches, chooses, refits, tests and writes the bundle; what earlier processes finished stays as it is.

        Args:
            listeners: called with each event, those of earlier processes first.
            warm_start: a run whose best configurations are tried first.

        Raises:
            SearchFailedError: no trial reached a score.
        """
        with Recorder(self.paths, listeners) as record:
            if record.history:
                write_atomically(self.paths.experiment, dump_experiment(self.experiment))
                record.replay()
            session = Session(self.experiment, self.prepared, self.paths, record)
            return work(session, _best_configurations(warm_start), self._run_fold)

    @classmethod
    def _run_fold(cls, experiment: Experiment, paths: RunPaths) -> float | None:
        """Does what is left of an outer fold's run; its test score."""
        if not paths.events.is_file():
            prepared = assemble(experiment, folder=paths.root)
            run = cls._begin(experiment, prepared, paths, folder=paths.root, command=())
        elif (score := _final_score(experiment, paths)) is not None:
            return score
        else:
            run = cls.reopen(paths.root, overrides=_other_budgets(experiment, paths))
        outcome = run.go()
        if outcome.interrupted:
            raise KeyboardInterrupt
        return outcome.test_score


CHANGEABLE = ("search.trials", "search.time_limit", "search.stop_when_stale", "resources.", "output.")
"""What a resumed run may change: budgets and places, never what makes its trials comparable."""


def _check_overrides(overrides: Sequence[str]) -> None:
    faults = [
        Fault(
            f"--set {override}",
            f"would make the run's trials incomparable; a resumed run may change {', '.join(CHANGEABLE)}",
        )
        for override in overrides
        if not override.startswith(CHANGEABLE)
    ]
    if faults:
        raise InputError(faults)


def _check_incomplete(paths: RunPaths, events: list[Stamped], experiment: Experiment, *, is_changed: bool) -> None:
    """Refuses a run that has nothing left to do; one that a limit ended goes on when a budget is changed."""
    if not events or not isinstance(events[-1].event, RunEnded) or events[-1].event.state != "done":
        return
    ended = sum(record.end is not None for record in trial_records(events).values())
    if is_changed and ended < experiment.search.trials:
        return
    reasons = [stamped.event.reason for stamped in events if isinstance(stamped.event, SearchEnded)]
    found = (
        f"{ended} of {experiment.search.trials} trials ended ({reasons[-1]})" if reasons else f"{ended} trials ended"
    )
    problem = f"is complete: {found} and the model is in {paths.bundle}. For more trials raise a budget, such as"
    raise InputError.at(str(paths.root), f"{problem} --set search.trials={2 * max(ended, experiment.search.trials)}")


def _check_search(experiment: Experiment, space: Space) -> None:
    """Finds what the sampler or the scheduler cannot work with before anything is started."""
    search = experiment.search
    build_schedule(search.scheduler, max_epochs=experiment.training.max_epochs, space=space, seed=search.seed)
    if search.sampler == "grid":
        grid(space)


def _final_score(experiment: Experiment, paths: RunPaths) -> float | None:
    """The test score of an outer fold that has nothing left to do, whatever the budget is now; None of any other."""
    events = list(read_events(paths.events))
    if not events or not isinstance(events[-1].event, RunEnded) or events[-1].event.state != "done":
        return None
    ended = sum(record.end is not None for record in trial_records(events).values())
    if ended < experiment.search.trials and _other_budgets(experiment, paths):
        return None
    return [stamped.event.score for stamped in events if isinstance(stamped.event, TestScored)][-1]


def _other_budgets(experiment: Experiment, paths: RunPaths) -> list[str]:
    """Overrides that give a run the budgets of an experiment; none where it has them."""
    kept = load_experiment(paths.experiment).search
    wanted = {name: getattr(experiment.search, name) for name in ("trials", "time_limit", "stop_when_stale")}
    return [f"search.{name}={json.dumps(value)}" for name, value in wanted.items() if value != getattr(kept, name)]


def _resolved(experiment: Experiment, prepared: Prepared, folder: Path | None) -> Experiment:
    """The experiment with nothing left open: where its data is, and the space that was derived from it.

    Data in the run's own folder (`folder` is None) goes where the run goes; the path to all other is absolute.
    """
    path = experiment.data.path
    absolute = path if "://" in path or folder is None else str((folder / path).absolute())
    data = experiment.data.model_copy(update={"path": absolute})
    return experiment.model_copy(update={"data": data, "space": as_raw(prepared.space)})


def _best_configurations(run: RunPaths | None) -> list[dict[str, Value]]:
    """The best complete configurations of an earlier run, best first."""
    if run is None:
        return []
    ends = [record.end for record in trial_records(read_events(run.events)).values() if record.end]
    complete: list[Any] = [end for end in ends if end.state == "complete" and end.score is not None]
    return [end.hyperparameters for end in sorted(complete, key=lambda end: end.score)[:WARM_STARTS]]
