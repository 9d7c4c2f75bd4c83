"""From the start of a process to the end of its run. The order of this page is the order of events."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

from lstm_tune.search.checkpoints import CheckpointStore
from lstm_tune.search.cluster import PrivateRay, running_ray
from lstm_tune.search.final import Outcome, conclude
from lstm_tune.search.importances import write_importances
from lstm_tune.search.nested import FoldRun, announcement, nested_scores
from lstm_tune.search.placement import Placement, is_this_machine
from lstm_tune.search.proposals import defaults, portfolio, searched
from lstm_tune.search.resources import choose_resources
from lstm_tune.search.schedulers import Schedule, build_schedule
from lstm_tune.search.session import Session
from lstm_tune.search.sharing import remove_scratch, shared_place
from lstm_tune.search.stopping import StopRule, interruptible
from lstm_tune.search.study import Study
from lstm_tune.search.tuning import Search, tune_trials
from lstm_tune.search.worker import TrialSettings
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.errors import LstmTuneError, is_disk_full
from lstm_tune.spec.events import BaselineScored, Event, RunEnded, RunStarted, SearchEnded, Warned
from lstm_tune.spec.hyperparameters import HYPERPARAMETERS, Hyperparameters, Value, completed
from lstm_tune.spec.paths import inside, write_atomically
from lstm_tune.tasks.baselines import offer_statistical, quick_names

STATISTICAL_S, STATISTICAL_SHARE = 60.0, 0.1
"""Seconds for all statistical baselines together, and the share of the time limit that they may take at most."""

CHECKPOINT_INTERVAL_S = 60.0
"""A trial whose process dies loses about this much training at most."""

REPORT_INTERVAL_S = 1.0
"""A worker reports of its trial at rungs and about this often."""

RACERS = 8
"""How many trials take turns where one takes long: the first configurations, and as many proposals of the sampler. The
default configuration ends after the better ones of them; it should not wait for more."""

LIGHT = 3e9
"""Multiplications of an epoch, forwards through every window, up to which this process may train while workers start:
about two seconds on a slow core."""


def work(
    session: Session,
    first: list[dict[str, Value]],
    run_fold: FoldRun,
    *,
    address: str | None = None,
    private: PrivateRay | None = None,
) -> Outcome:
    """Everything, in order; an error or an interruption is recorded before it leaves.

    Args:
        session: the run.
        first: configurations to try before others.
        run_fold: runs an outer fold of the nested estimate.
        address: a Ray cluster to join; None for a private Ray on this machine.
        private: one that starts already.
    """
    paths, record = session.paths, session.record
    outcome = Outcome(paths.root, interrupted=True)  # until it has come to its end
    try:
        remove_scratch(paths, session.remote)  # what a killed process left
        with interruptible(), running_ray(paths.logs, address, private):
            try:
                outcome = _search_and_conclude(session, first, run_fold)
            finally:
                session.crew.end()
    except KeyboardInterrupt:
        pass  # what has been done stays so
    except Exception as error:
        if not is_disk_full(error):
            session.write_tables()
            what = "" if isinstance(error, LstmTuneError) else f"{type(error).__name__}: "
            record(RunEnded("failed", f"{what}{error}"))
        raise
    finally:
        remove_scratch(paths, session.remote)
    if outcome.interrupted:
        session.write_tables()
        record(RunEnded("interrupted", f"Go on with: lstm-tune resume {paths.root}"))
    return outcome


def _search_and_conclude(session: Session, first: list[dict[str, Value]], run_fold: FoldRun) -> Outcome:
    placement, remarks = choose_resources(session.experiment, session.prepared, session.paths)
    _announce(session, placement, remarks)
    is_interrupted = _search(session, placement, first)
    _weigh_hyperparameters(session)
    if is_interrupted:
        return Outcome(session.paths.root, interrupted=True)
    _score_statistical(session)
    nested: Sequence[float] = ()
    if session.experiment.validation.nested:
        session.crew.end()  # the searches before each fold need the room
        nested = nested_scores(session, run_fold)
    return conclude(session, placement.main, nested)


def _announce(session: Session, placement: Placement, remarks: Sequence[Event]) -> None:
    experiment, resumed = session.experiment, bool(session.record.history)
    session.record(
        RunStarted(
            name=experiment.name,
            metric=experiment.search.metric,
            direction=experiment.direction,
            trials=experiment.search.trials,
            time_limit_s=experiment.search.time_limit,
            slots=placement.slots,
            max_epochs=experiment.training.max_epochs,
            searched=searched(session.prepared.space),
            series=session.prepared.panel.size,
            rows=session.prepared.panel.rows,
            started_at=datetime.now(UTC).isoformat(timespec="seconds"),
            resumed=resumed,
            directory=str(session.paths.root),
        )
    )
    for event in remarks:
        session.record(event)
    if not resumed:
        for warning in session.prepared.warnings:
            session.record(Warned(warning))
        if experiment.validation.nested:
            session.record(Warned(announcement(experiment)))
    _score_baselines(session, quick_names(session.task.design.season))


def _score_statistical(session: Session) -> None:
    """The baselines that fit a model for each forecast; after the search, whose processors they would take."""
    limit_s = session.experiment.search.time_limit
    budget_s = STATISTICAL_S if limit_s is None else min(STATISTICAL_S, STATISTICAL_SHARE * limit_s)
    offer = offer_statistical(session.task, budget_s=budget_s)
    for reason in offer.reasons:
        session.record(Warned(reason))
    _score_baselines(session, offer.names)


def _score_baselines(session: Session, names: Sequence[str]) -> None:
    """Scores the baselines that no earlier process of this run has scored."""
    already = session.baselines()
    for name in names:
        if name not in already:
            scored = session.score_baseline(name)
            session.record(BaselineScored(name, scored.score, scored.standard_error))
            if scored.remark:
                session.record(Warned(scored.remark))


def _search(session: Session, placement: Placement, first: list[dict[str, Value]]) -> bool:
    """Runs what is left of the budget; whether the user interrupted it."""
    search, training = session.experiment.search, session.experiment.training
    records = session.records()
    ended = sum(record.end is not None for record in records.values())
    if ended >= search.trials:
        return False
    stop = StopRule.going_on(search, session.record.history)
    if stop.reason:
        session.record(SearchEnded(stop.reason, interrupted=False))
        return False
    schedule = build_schedule(
        search.scheduler, max_epochs=training.max_epochs, space=session.prepared.space, seed=search.seed
    )
    schedule.remember(record for record in records.values() if record.end)
    constraints, paths = session.experiment.constraints, session.paths
    gap_at_most = constraints.gap.at_most if constraints.gap else None
    place = shared_place(paths, session.remote, is_needed=schedule.needs_checkpoints)
    checkpoints = None
    if place and not schedule.needs_checkpoints:
        checkpoints = CheckpointStore(inside(place, paths.checkpoints.name))
    initial = [defaults(session.prepared.space), *first, *_portfolio(session)]
    turns = racers(session, schedule)
    tune_trials(
        Search(
            task=session.task,
            settings=_settings(session, schedule, checkpoints),
            space=session.prepared.space,
            study=_study(session, initial, records, gap_at_most=gap_at_most),
            schedule=schedule,
            placement=placement,
            shared=max(len(initial), turns),
            begins_here=begins_here(session, placement),
            is_race=turns > 0,
            largest_live=_largest_live(session, schedule, placement),
            budget=search.trials - ended,
            gap_at_most=gap_at_most,
            scratch=inside(place, paths.scratch.name) if place and schedule.needs_checkpoints else str(paths.scratch),
            keep_losses=session.losses.keep,
            forget=checkpoints.remove if checkpoints else lambda trial: None,
            log_failure=lambda trial, text: write_atomically(paths.trial_log(trial), text),
            crew=session.crew,
        ),
        session.record,
        stop,
    )
    return stop.interrupted


def _weigh_hyperparameters(session: Session) -> None:
    """Keeps what each hyperparameter mattered; the run needs it for nothing, so nothing here may end it."""
    try:
        write_importances(session.paths, session.prepared.space, session.records().values())
    except Exception as error:
        session.record(Warned(f"The hyperparameters' importances are not known: {type(error).__name__}: {error}"))


def _study(
    session: Session, initial: list[dict[str, Value]], records: dict[int, TrialRecord], *, gap_at_most: float | None
) -> Study:
    search, parameters = session.experiment.search, session.experiment.constraints.parameters
    kind, counted = session.experiment.task.kind, dict[tuple[Value, ...], int]()

    def count_parameters(hyperparameters: Hyperparameters) -> int:
        whole = completed(hyperparameters, task=kind)
        shape = tuple(whole[name] for name, one in HYPERPARAMETERS[kind].items() if one.shapes_network)
        if shape not in counted:
            counted[shape] = session.task.parameters(whole)
        return counted[shape]

    return Study(
        session.paths.study,
        name=session.experiment.name,
        space=session.prepared.space,
        sampler=search.sampler,
        seed=search.seed,
        count_parameters=count_parameters,
        parameters_at_most=parameters.at_most if parameters else None,
        gap_at_most=gap_at_most,
        records=records,
        first=initial,
    )


def _portfolio(session: Session) -> list[dict[str, Value]]:
    """What is tried before the sampler's own proposals; nothing where chance or a grid is to propose."""
    return [] if session.experiment.search.sampler in {"random", "grid"} else portfolio(session.prepared.space)


def is_light(session: Session, hyperparameters: Hyperparameters) -> bool:
    """Whether an epoch of all folds is so short that this process may train it while it has workers to listen to."""
    whole, portions = completed(hyperparameters, task=session.experiment.task.kind), session.portions
    windows = len(session.task.split.folds) * portions.batch_size * portions.steps(session.prepared.panel.rows)
    return windows * int(whole["window"]) * session.task.parameters(whole) <= LIGHT


def begins_here(session: Session, placement: Placement) -> Callable[[Hyperparameters], bool]:
    """Tells of a configuration whether this process may train it: none on a GPU, nor where workers are elsewhere."""
    if any(slot.gpus for slot, _ in placement.kinds) or not is_this_machine():
        return lambda hyperparameters: False
    return partial(is_light, session)


def _settings(session: Session, schedule: Schedule, checkpoints: CheckpointStore | None) -> TrialSettings:
    training = session.experiment.training
    return TrialSettings(
        kind=session.experiment.task.kind,
        portions=session.portions,
        max_epochs=training.max_epochs,
        patience=session.patience,
        seed=session.experiment.search.seed,
        rungs=schedule.rungs,
        checkpoints=checkpoints,
        checkpoint_interval_s=CHECKPOINT_INTERVAL_S,
        report_interval_s=REPORT_INTERVAL_S,
    )


def racers(session: Session, schedule: Schedule) -> int:
    """How many of the first trials take turns.

    None where an epoch sees all examples, so that a trial takes seconds, nor where no trial is stopped early.
    """
    is_long = session.portions.epochs_of_pass(session.examples) > 1
    return RACERS if is_long and schedule.rungs else 0


def _largest_live(session: Session, schedule: Schedule, placement: Placement) -> int:
    """Trials under way at once: as many as run, or a whole population, whose trials take turns.

    Tune gives a population all GPUs that there are, so where not all may be taken it is no larger than what runs.
    """
    resources = session.experiment.resources
    if schedule.needs_checkpoints and not resources.max_gpus:
        return resources.max_concurrent or session.experiment.search.trials
    return placement.slots
