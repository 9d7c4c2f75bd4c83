"""A whole run: search, choice, refit, test, bundle. The order of this page is the order of events."""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import ray
import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle, Preprocessing, build_network, write_bundle
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.search.cluster import Slot, choose_slot, count_slots, local_ray
from lstm_tune.search.manifest import build_manifest, check_same_data
from lstm_tune.search.proposals import grid, searched
from lstm_tune.search.recorder import Listener, Recorder
from lstm_tune.search.schedulers import Schedule, build_schedule
from lstm_tune.search.stopping import StopRule, interruptible
from lstm_tune.search.study import Study
from lstm_tune.search.trainable import TrialSettings
from lstm_tune.search.tuning import Search, tune_trials
from lstm_tune.selection.choice import Choice, choose
from lstm_tune.selection.losses import Blocks, LossStore
from lstm_tune.selection.records import TrialRecord, trial_records
from lstm_tune.selection.tables import write_tables
from lstm_tune.spec.errors import DivergedError, Fault, InputError, LstmTuneError
from lstm_tune.spec.events import (
    BaselineScored,
    BundleWritten,
    RefitReported,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TestScored,
    TrialEnded,
    Warned,
    WinnerChosen,
    read_events,
)
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameters, Value, completed
from lstm_tune.spec.loading import dump_experiment, load_experiment
from lstm_tune.spec.paths import RunPaths, create_run, open_run, write_atomically, write_json
from lstm_tune.spec.space import Space, as_raw
from lstm_tune.tasks.assembly import Prepared, assemble
from lstm_tune.tasks.baselines import offer_statistical, quick_names, score_baseline, score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.metrics import applicable
from lstm_tune.training.fold import Portions
from lstm_tune.training.refit import refit, refit_steps

WARM_STARTS = 8
"""Configurations taken over from an earlier run."""

SHORT_REFIT_S = 20.0
"""Training below this is done by the driving process; a Ray worker needs four seconds and more to import torch."""

STATISTICAL_S, STATISTICAL_SHARE = 60.0, 0.1
"""Seconds for all statistical baselines together, and the share of the time limit that they may take at most."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its directory.
        interrupted: whether it was stopped and can be resumed.
        winner: number of the chosen trial, or None.
        score: the winner's validation score, or None.
        test_score: the final model's metric on the locked test part; None without one.
        baselines: each baseline's metric on the test part.
        bundle: directory of the exported model, or None.
    """

    run: Path
    interrupted: bool
    winner: int | None = None
    score: float | None = None
    test_score: float | None = None
    baselines: Mapping[str, float] | None = None
    bundle: Path | None = None


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
        resolved = _resolved(experiment, prepared, folder)
        write_atomically(paths.experiment, dump_experiment(resolved))
        write_json(paths.manifest, build_manifest(resolved, prepared, folder=folder, command=list(command)))
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
            return _Process(self, record).go(_best_configurations(warm_start))


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


class _Process:
    """One process's work on a run."""

    def __init__(self, run: Run, record: Recorder) -> None:
        self._experiment = run.experiment
        self._prepared = run.prepared
        self._task: ForecastTask = run.prepared.task
        self._paths = run.paths
        self._record = record
        self._records: dict[int, TrialRecord] = trial_records(record.history)
        self._portions = _portions(run.experiment)
        self._losses = LossStore(run.paths, Blocks(*self._task.blocks()))

    def go(self, first: list[dict[str, Value]]) -> Outcome:
        """Everything, in order; an error or an interruption is recorded before it leaves."""
        try:
            shutil.rmtree(self._paths.scratch, ignore_errors=True)  # what a killed process left
            with interruptible(), local_ray(self._paths.logs):
                outcome = self._search_and_refit(first)
        except KeyboardInterrupt:
            outcome = Outcome(self._paths.root, interrupted=True)
        except Exception as error:
            self._write_tables()
            what = "" if isinstance(error, LstmTuneError) else f"{type(error).__name__}: "
            self._record(RunEnded("failed", f"{what}{error}"))
            raise
        finally:
            shutil.rmtree(self._paths.scratch, ignore_errors=True)
        if outcome.interrupted:
            self._write_tables()
            self._record(RunEnded("interrupted", f"Go on with: lstm-tune resume {self._paths.root}"))
        return outcome

    def _search_and_refit(self, first: list[dict[str, Value]]) -> Outcome:
        resources = self._experiment.resources
        slot = choose_slot(cpus=resources.cpus_per_trial, gpus=resources.gpus_per_trial)
        self._announce(slot)
        if self._search(slot, first):
            return Outcome(self._paths.root, interrupted=True)
        self._score_statistical()
        choice = choose(self._records.values())
        assert choice.end.score is not None
        self._record(WinnerChosen(choice.end.trial, choice.end.score, choice.reason))
        hyperparameters = completed(choice.end.hyperparameters, task=self._experiment.task.kind)
        members = self._refit(hyperparameters, choice, slot)
        return self._finish(hyperparameters, choice, members)

    def _announce(self, slot: Slot) -> None:
        experiment, resumed = self._experiment, bool(self._record.history)
        self._record(
            RunStarted(
                name=experiment.name,
                metric=experiment.search.metric,
                direction=experiment.direction,
                trials=experiment.search.trials,
                time_limit_s=experiment.search.time_limit,
                slots=count_slots(slot, at_most=experiment.resources.max_concurrent),
                max_epochs=experiment.training.max_epochs,
                searched=searched(self._prepared.space),
                series=self._prepared.panel.size,
                rows=self._prepared.panel.rows,
                started_at=datetime.now(UTC).isoformat(timespec="seconds"),
                resumed=resumed,
            )
        )
        if not resumed:
            for warning in self._prepared.warnings:
                self._record(Warned(warning))
        self._score_baselines(quick_names(self._task.design.season))

    def _score_statistical(self) -> None:
        """The baselines that fit a model for each forecast; after the search, whose processors they would take."""
        limit_s = self._experiment.search.time_limit
        budget_s = STATISTICAL_S if limit_s is None else min(STATISTICAL_S, STATISTICAL_SHARE * limit_s)
        offer = offer_statistical(self._task, budget_s=budget_s)
        for reason in offer.reasons:
            self._record(Warned(reason))
        self._score_baselines(offer.names)

    def _score_baselines(self, names: Sequence[str]) -> None:
        """Scores the baselines that no earlier process of this run has scored."""
        already = self._scored_baselines()
        for name in names:
            if name not in already:
                scored = score_baseline(self._task, name)
                self._record(BaselineScored(name, scored.score, scored.standard_error))
                if scored.remark:
                    self._record(Warned(scored.remark))

    def _scored_baselines(self) -> list[str]:
        events = (stamped.event for stamped in read_events(self._paths.events))
        return list(dict.fromkeys(event.name for event in events if isinstance(event, BaselineScored)))

    def _search(self, slot: Slot, first: list[dict[str, Value]]) -> bool:
        """Runs what is left of the budget; whether the user interrupted it."""
        experiment = self._experiment
        search, training, constraints = experiment.search, experiment.training, experiment.constraints
        ended = sum(record.end is not None for record in self._records.values())
        if ended >= search.trials:
            return False
        schedule = build_schedule(
            search.scheduler, max_epochs=training.max_epochs, space=self._prepared.space, seed=search.seed
        )
        gap_at_most = constraints.gap.at_most if constraints.gap else None
        study = Study(
            self._paths.study,
            name=experiment.name,
            space=self._prepared.space,
            sampler=search.sampler,
            seed=search.seed,
            count_parameters=self._count_parameters,
            parameters_at_most=constraints.parameters.at_most if constraints.parameters else None,
            gap_at_most=gap_at_most,
            records=self._records,
            first=[_defaults(), *first],
        )
        settings = TrialSettings(
            kind=experiment.task.kind,
            portions=self._portions,
            max_epochs=training.max_epochs,
            patience_epochs=training.patience_epochs,
            seed=search.seed,
            rungs=schedule.rungs,
            threads=slot.threads,
        )
        stop = StopRule(
            time_limit_s=None if search.time_limit is None else search.time_limit - self._record.elapsed_s,
            stop_when_stale=search.stop_when_stale,
        )
        stop.resume(stamped.event for stamped in self._record.history if isinstance(stamped.event, TrialEnded))
        if stop.reason:
            self._record(SearchEnded(stop.reason, interrupted=False))
            return False
        tune_trials(
            Search(
                task=self._task,
                settings=settings,
                study=study,
                schedule=schedule,
                slot=slot,
                slots=count_slots(slot, at_most=experiment.resources.max_concurrent),
                largest_live=self._largest_live(schedule, slot),
                budget=search.trials - ended,
                gap_at_most=gap_at_most,
                scratch=self._paths.scratch,
                keep_losses=self._losses.keep,
                log_failure=lambda trial, text: write_atomically(self._paths.trial_log(trial), text),
            ),
            self._record,
            stop,
        )
        self._records = trial_records(read_events(self._paths.events))
        return stop.interrupted

    def _largest_live(self, schedule: Schedule, slot: Slot) -> int:
        """Trials under way at once: as many as run, or a whole population, whose trials take turns."""
        at_most = self._experiment.resources.max_concurrent
        if schedule.needs_checkpoints:
            return at_most or self._experiment.search.trials
        return count_slots(slot, at_most=at_most)

    def _refit(self, hyperparameters: Hyperparameters, choice: Choice, slot: Slot) -> list[dict[str, Tensor]]:
        """The final networks, each from a seed that no trial used."""
        epochs, total = max(choice.end.best_epoch, 1), self._experiment.output.seeds
        steps = refit_steps(self._task, hyperparameters, self._portions, epochs=epochs)
        train = partial(
            _train_member,
            hyperparameters=dict(hyperparameters),
            portions=self._portions,
            steps=steps,
            threads=slot.threads,
        )
        seeds = [_refit_seed(self._experiment.search.seed, member) for member in range(total)]
        is_short = choice.end.seconds * total < SHORT_REFIT_S and not slot.gpus
        try:
            return self._train_here(train, seeds) if is_short else self._train_remotely(train, seeds, slot)
        except DivergedError as error:
            problem = f"The final training of trial {choice.end.trial} failed: {error}"
            raise DivergedError(f"{problem}. Search smaller values of learning_rate") from None

    def _train_here(self, train: Callable[..., dict[str, Tensor]], seeds: list[int]) -> list[dict[str, Tensor]]:
        """One after the other in this process, which has everything loaded."""
        members: list[dict[str, Tensor]] = []
        for done, seed in enumerate(seeds):
            self._record(RefitReported(done, len(seeds)))
            members.append(train(self._task, seed))
        self._record(RefitReported(len(seeds), len(seeds)))
        return members

    def _train_remotely(
        self, train: Callable[..., dict[str, Tensor]], seeds: list[int], slot: Slot
    ) -> list[dict[str, Tensor]]:
        """Side by side in Ray workers."""
        task = ray.put(self._task)
        member = ray.remote(num_cpus=slot.cpus, num_gpus=slot.gpus)(lambda task, seed: train(task, seed))
        pending = [member.remote(task, seed) for seed in seeds]
        waiting = list(pending)
        self._record(RefitReported(0, len(seeds)))
        while waiting:
            _, waiting = ray.wait(waiting)
            self._record(RefitReported(len(seeds) - len(waiting), len(seeds)))
        try:
            return list(ray.get(pending))
        except ray.exceptions.RayTaskError as error:
            raise error.cause if isinstance(error.cause, DivergedError) else error from None

    def _finish(self, hyperparameters: Hyperparameters, choice: Choice, members: list[dict[str, Tensor]]) -> Outcome:
        panel, experiment = self._prepared.panel, self._experiment
        preprocessing = Preprocessing(
            columns=panel.columns,
            frequency=panel.frequency,
            missing=experiment.data.missing,
            past=panel.past_features,
            known=panel.known_features,
            static=panel.static_features,
        )
        network = build_network(self._task.design, preprocessing, hyperparameters, members)
        test = self._open_test(hyperparameters, network)
        facts = {
            "trial": choice.end.trial,
            "metric": experiment.search.metric,
            "validation_score": choice.end.score,
            "test_metrics": dict(test.metrics) if test else {},
            "baselines_on_test": dict(test.baselines) if test else {},
            "parameters": choice.end.parameters,
            "created_at": datetime.now(UTC).isoformat(timespec="seconds"),
            "packages": json.loads(self._paths.manifest.read_text())["packages"],
        }
        write_bundle(Bundle(experiment.name, network, preprocessing, hyperparameters, facts), self._paths.bundle)
        self._record(BundleWritten(self._paths.bundle.name))
        self._write_tables()
        command = (
            f"lstm-tune predict {_short(self._paths.bundle)} {_short(Path(experiment.data.path))} -o forecast.parquet"
        )
        self._record(RunEnded("done", f"Forecast with: {command}"))
        return Outcome(
            run=self._paths.root,
            interrupted=False,
            winner=choice.end.trial,
            score=choice.end.score,
            test_score=test.score if test else None,
            baselines=test.baselines if test else None,
            bundle=self._paths.bundle,
        )

    def _open_test(self, hyperparameters: Hyperparameters, network: Ensemble) -> TestScored | None:
        """Scores the final model and the baselines on the locked part, once, and writes the look down."""
        steps = self._experiment.test_steps
        if not steps:
            return None
        metrics = self._measure(hyperparameters, network)
        score = metrics[self._task.metric]
        names = self._scored_baselines()
        baselines = {name: score_baseline_on_test(self._task, name).score for name in names}
        event = TestScored(self._task.metric, score, baselines, steps, metrics)
        looks = json.loads(self._paths.test_ledger.read_text()) if self._paths.test_ledger.exists() else []
        look = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "look": len(looks) + 1,
            "by": "run",
            "metric": event.metric,
            "metrics": metrics,
            "baselines": baselines,
        }
        write_json(self._paths.test_ledger, [*looks, look])
        self._record(event)
        return event

    def _measure(self, hyperparameters: Hyperparameters, network: Ensemble) -> dict[str, float]:
        """Every metric that applies, on the test part."""
        measured = {}
        for name in applicable(self._task.design.quantiles):
            task = replace(self._task, metric=name)
            with torch.inference_mode():
                measured[name] = task.score(task.final_problem(hyperparameters).tally(network, "validation"))
        return measured

    def _count_parameters(self, hyperparameters: Hyperparameters) -> int:
        return self._task.parameters(completed(hyperparameters, task=self._experiment.task.kind))

    def _write_tables(self) -> None:
        records = trial_records(read_events(self._paths.events))
        write_tables(self._paths, records)
        self._losses.write_table(records)


def _train_member(
    task: ForecastTask,
    seed: int,
    *,
    hyperparameters: dict[str, Value],
    portions: Portions,
    steps: int,
    threads: int,
) -> dict[str, Tensor]:
    """One final network, on the device of the process it runs in; the number of threads is put back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    device = torch.device("cuda" if ray.get_runtime_context().get_accelerator_ids().get("GPU") else "cpu")
    try:
        return refit(task, hyperparameters, portions, steps=steps, seed=seed, device=device)[0]
    finally:
        torch.set_num_threads(before)


def _refit_seed(seed: int, member: int) -> int:
    """Seeds of the final networks, apart from those of any fold."""
    return 1_000_003 + seed * 10_007 + member


def _portions(experiment: Experiment) -> Portions:
    steps = experiment.training.steps_per_epoch
    return Portions(experiment.training.batch_size, None if steps == "auto" else steps)


def _defaults() -> dict[str, Value]:
    """The first configuration of every search: the defaults, moved into its space."""
    return {name: knob.default for name, knob in HYPERPARAMETERS["forecast"].items()}


def _resolved(experiment: Experiment, prepared: Prepared, folder: Path) -> Experiment:
    """The experiment with nothing left open: an absolute data path, and the space that was derived from the data."""
    path = experiment.data.path
    absolute = path if "://" in path else str((folder / path).absolute())
    data = experiment.data.model_copy(update={"path": absolute})
    return experiment.model_copy(update={"data": data, "space": as_raw(prepared.space)})


def _best_configurations(run: RunPaths | None) -> list[dict[str, Value]]:
    """The best complete configurations of an earlier run, best first."""
    if run is None:
        return []
    ends = [record.end for record in trial_records(read_events(run.events)).values() if record.end]
    complete: list[Any] = [end for end in ends if end.state == "complete" and end.score is not None]
    return [end.hyperparameters for end in sorted(complete, key=lambda end: end.score)[:WARM_STARTS]]


def _short(path: Path) -> str:
    """A path as a user would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
