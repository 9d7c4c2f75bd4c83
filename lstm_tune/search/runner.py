"""A run on disk: made, opened again, and set going."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lstm_tune.data.reading import copy_data
from lstm_tune.search.cluster import PrivateRay
from lstm_tune.search.copying import RunCopy
from lstm_tune.search.final import Outcome
from lstm_tune.search.manifest import build_manifest, check_same_data
from lstm_tune.search.mirror import Mirror
from lstm_tune.search.process import work
from lstm_tune.search.proposals import grid
from lstm_tune.search.recorder import Listener, Recorder
from lstm_tune.search.schedulers import build_schedule
from lstm_tune.search.session import Session
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.storage import RemoteFolder, probe
from lstm_tune.selection.records import trial_records
from lstm_tune.selection.tables import write_table
from lstm_tune.spec.clock import searched_s
from lstm_tune.spec.errors import DiskFullError, Fault, InputError, is_disk_full
from lstm_tune.spec.events import RunEnded, SearchEnded, Stamped, TestScored, read_events
from lstm_tune.spec.experiment import Experiment, SearchSpec
from lstm_tune.spec.hyperparameters import Value
from lstm_tune.spec.loading import dump_experiment, load_experiment
from lstm_tune.spec.paths import (
    LOCAL_RUNS,
    RunPaths,
    below,
    create_run,
    is_remote,
    open_run,
    remote_address,
    write_atomically,
    write_json,
)
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
    def create(
        cls, experiment: Experiment, *, folder: Path, command: Sequence[str] = (), keep_data: bool = False
    ) -> "Run":
        """A new run: reads and checks the data, then makes the directory below `output.directory`.

        Args:
            experiment: the checked file.
            folder: what `data.path` is relative to.
            command: the command line, for the manifest.
            keep_data: copy local data into the run, which then works wherever it is moved to.

        Raises:
            InputError: the data or the space is wrong, or the directory cannot be written; nothing was started.
        """
        prepared = assemble(experiment, folder=folder)
        _check_search(experiment, prepared.space)
        paths = _create(experiment)
        with explained_full_disk(paths):
            if keep_data and not is_remote(experiment.data.path):
                copied = copy_data(experiment.data.path, folder=folder, into=paths.data)
                experiment, folder = experiment.with_data(copied), paths.root
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
        is_changed = any(not override.startswith("output.directory=") for override in overrides)
        _check_incomplete(paths, list(read_events(paths.events)), experiment, is_changed=is_changed)
        if is_remote(experiment.output.directory):
            probe(experiment.output.directory)
        prepared = assemble(experiment, folder=paths.root)
        return cls(experiment, prepared, paths)

    def go(
        self,
        listeners: Sequence[Listener] = (),
        *,
        warm_start: RunPaths | None = None,
        address: str | None = None,
        private: PrivateRay | None = None,
        closing: Callable[[], None] = lambda: None,
    ) -> Outcome:
        """Searches, chooses, refits, tests and writes the bundle; what earlier processes finished stays as it is.

        Args:
            listeners: called with each event, those of earlier processes first.
            warm_start: a run whose best configurations are tried first.
            address: a Ray cluster to join, as `auto` or host:port; None for a private Ray on this machine.
            private: one that starts already.
            closing: called at the end, however it comes; what it writes into the run's folder is copied with the rest.

        Raises:
            SearchFailedError: no trial reached a score.
            StorageError: the run's copy at a remote `output.directory` cannot be read.
            DiskFullError: there is no room for what the run writes; it can be resumed when there is.
        """
        with explained_full_disk(self.paths), Recorder(self.paths, listeners) as record, self._mirror(record) as mirror:
            if record.history:
                write_atomically(self.paths.experiment, dump_experiment(self.experiment))
                record.replay()
            session = Session(self.experiment, self.prepared, self.paths, record)
            try:
                first = _best_configurations(warm_start)
                outcome = work(session, first, self._run_fold, address=address, private=private)
            finally:
                closing()
        return replace(outcome, is_copied=mirror is None or mirror.is_whole)

    def _mirror(self, record: Recorder) -> AbstractContextManager[Mirror | None]:
        """What keeps the run's copy up to date; nothing where it has none."""
        remote = remote_address(self.experiment.output.directory, self.paths)
        if remote is None:
            return nullcontext()
        copy = RunCopy(self.paths.root, RemoteFolder.open(remote))
        return Mirror(copy, root=self.paths.root, address=remote, record=record, tell=record.tell)

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


def _create(experiment: Experiment) -> RunPaths:
    """A new run's folder: below `output.directory`, or below `runs` where that is remote and a copy goes there."""
    directory, now = experiment.output.directory, datetime.now()
    if not is_remote(directory):
        return create_run(Path(directory), experiment.name, now=now)
    probe(directory)
    return create_run(
        LOCAL_RUNS, experiment.name, now=now, is_taken=lambda name: RemoteFolder.open(below(directory, name)).is_there()
    )


@contextmanager
def explained_full_disk(paths: RunPaths) -> Iterator[None]:
    """Turns whatever a full disk leads to into one error that says where, and how to go on."""
    try:
        yield
    except Exception as error:
        if not is_disk_full(error):
            raise
        how = f"lstm-tune resume {paths.root}" if paths.events.is_file() else "start the run again"
        problem = f"the disk is full, so the run stopped. What it finished is safe. Free space there, then: {how}"
        raise DiskFullError(f"{paths.root}: {problem}") from None


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
    """Refuses a run that has nothing left to do; one that a limit ended goes on when that budget is raised."""
    if not _is_done(events):
        return
    short = _short_budgets(experiment.search, events)
    if is_changed and not short:
        return
    ended = _ended(events)
    reasons = [stamped.event.reason for stamped in events if isinstance(stamped.event, SearchEnded)]
    found = (
        f"{ended} of {experiment.search.trials} trials ended ({reasons[-1]})" if reasons else f"{ended} trials ended"
    )
    problem = f"is complete: {found} and the model is in {paths.bundle}. For more trials raise what limits it, such as"
    larger = short or [f"search.trials={2 * experiment.search.trials}"]
    raise InputError.at(str(paths.root), f"{problem} {' '.join(f'--set {override}' for override in larger)}")


def _is_done(events: Sequence[Stamped]) -> bool:
    return bool(events) and isinstance(events[-1].event, RunEnded) and events[-1].event.state == "done"


def _ended(events: Sequence[Stamped]) -> int:
    return sum(record.end is not None for record in trial_records(events).values())


def _short_budgets(search: SearchSpec, events: Sequence[Stamped]) -> list[str]:
    """The budgets that keep a run from further trials, each as an override that would do; none where it can go on."""
    stop, ended, found = StopRule.going_on(search, events), _ended(events), []
    if ended >= search.trials:
        found.append(f"search.trials={2 * ended}")
    if stop.is_out_of_time and search.time_limit is not None:
        found.append(f"search.time_limit={2 * searched_s(events):.0f}s")
    if stop.is_stale:
        found.append("search.stop_when_stale=null")
    return found


def _check_search(experiment: Experiment, space: Space) -> None:
    """Finds what the sampler or the scheduler cannot work with before anything is started."""
    search = experiment.search
    build_schedule(search.scheduler, max_epochs=experiment.training.max_epochs, space=space, seed=search.seed)
    if search.sampler == "grid":
        grid(space)


def _final_score(experiment: Experiment, paths: RunPaths) -> float | None:
    """The test score of an outer fold that has nothing left to do, whatever the budget is now; None of any other."""
    events = list(read_events(paths.events))
    if not _is_done(events) or (_other_budgets(experiment, paths) and not _short_budgets(experiment.search, events)):
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
    return experiment.with_data(absolute).model_copy(update={"space": as_raw(prepared.space)})


def _best_configurations(run: RunPaths | None) -> list[dict[str, Value]]:
    """The best complete configurations of an earlier run, best first."""
    if run is None:
        return []
    ends = [record.end for record in trial_records(read_events(run.events)).values() if record.end]
    complete: list[Any] = [end for end in ends if end.state == "complete" and end.score is not None]
    return [end.hyperparameters for end in sorted(complete, key=lambda end: end.score)[:WARM_STARTS]]
