"""After the search: finalists, choice, refit, test, verdict, bundle."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import accumulate
from pathlib import Path
from statistics import fmean

import numpy as np
import torch
from torch import Tensor

from lstm_tune.bundle.files import Bundle, Preprocessing, build_network, write_bundle
from lstm_tune.models.forecaster import Ensemble
from lstm_tune.models.problem import Tally
from lstm_tune.search.cluster import Slot
from lstm_tune.search.jobs import Job, run_jobs
from lstm_tune.search.session import Session
from lstm_tune.selection.choice import RULES, Choice, candidates, choose, parameters_of
from lstm_tune.selection.estimates import bias_corrected
from lstm_tune.selection.out_of_fold import Finish, Floats, OutOfFold
from lstm_tune.selection.overfitting import backtest_overfitting
from lstm_tune.selection.verdict import Findings, TestPart, compare_on_test, reach_verdict
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.events import (
    BundleWritten,
    FinalistsReported,
    RefitReported,
    RunEnded,
    TestScored,
    TrialEnded,
    VerdictReached,
    WinnerChosen,
)
from lstm_tune.spec.hyperparameters import Hyperparameters, completed
from lstm_tune.spec.paths import write_json
from lstm_tune.tasks.baselines import BaselineScore, score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.metrics import FORECAST_METRICS, applicable
from lstm_tune.training.fold import Portions
from lstm_tune.training.refit import refit, refit_steps
from lstm_tune.training.rescore import Rescored, rescore

FINALISTS_SHARE = 0.5
"""Share of the search's epochs that repeating the finalists may take; fewer are repeated where it would take more."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its directory.
        interrupted: whether it was stopped and can be resumed.
        winner: number of the chosen trial, or None.
        score: the winner's validation score, or None.
        expected: the error to expect on new data; None where it could not be estimated.
        test_score: the final model's metric on the locked test part; None without one.
        baselines: each baseline's metric on the test part.
        advice: what the verdict says, or None.
        bundle: directory of the exported model, or None.
    """

    run: Path
    interrupted: bool
    winner: int | None = None
    score: float | None = None
    expected: float | None = None
    test_score: float | None = None
    baselines: Mapping[str, float] | None = None
    advice: str | None = None
    bundle: Path | None = None


@dataclass(frozen=True)
class Opened:
    """The locked test part after the one look at it.

    Attributes:
        scored: the scores.
        own: the final model's sums and counts, one pair a forecast.
        baselines: each baseline's likewise.
    """

    scored: TestScored
    own: Tally
    baselines: Mapping[str, BaselineScore]


def conclude(session: Session, slot: Slot) -> Outcome:
    """Chooses a winner, makes the final model of it, and says what to think of it.

    Args:
        session: the run, its search over.
        slot: what one training occupies.

    Raises:
        SearchFailedError: no trial has a score, or none keeps the constraints.
        DivergedError: the final training diverged.
    """
    records = session.records()
    ends = candidates(records.values())
    losses = session.losses.collect(end.trial for end in ends)
    spent = sum(record.end.epochs for record in records.values() if record.end)
    choice, epochs = _choose(session, ends, losses, slot, spent=spent)
    assert choice.end.score is not None
    session.record(WinnerChosen(choice.end.trial, choice.end.score, choice.reason))
    hyperparameters = completed(choice.end.hyperparameters, task=session.experiment.task.kind)
    members = _refit(session, hyperparameters, choice.end, slot, epochs=epochs)
    network = build_network(session.task.design, _preprocessing(session), hyperparameters, members)
    test = _open_test(session, hyperparameters, network) if session.experiment.test_steps else None
    verdict = _verdict(session, ends, losses, choice, test)
    bundle = _bundle(session, hyperparameters, network, choice, test)
    write_bundle(bundle, session.paths.bundle)
    session.record(BundleWritten(session.paths.bundle.name))
    session.write_tables()
    data = _short(Path(session.experiment.data.path))
    command = f"lstm-tune predict {_short(session.paths.bundle)} {data} -o forecast.parquet"
    session.record(RunEnded("done", f"Forecast with: {command}"))
    return Outcome(
        run=session.paths.root,
        interrupted=False,
        winner=choice.end.trial,
        score=choice.end.score,
        expected=verdict.expected,
        test_score=test.scored.score if test else None,
        baselines=test.scored.baselines if test else None,
        advice=verdict.advice,
        bundle=session.paths.bundle,
    )


def _choose(
    session: Session, ends: list[TrialEnded], losses: OutOfFold, slot: Slot, *, spent: int
) -> tuple[Choice, int]:
    """The winner, and the epochs that its trial and its repetition found best on average."""
    output = session.experiment.output
    with_losses = set(losses.trials.tolist())
    finalists = _affordable([end for end in ends if end.trial in with_losses][: output.finalists], spent=spent)
    rescored = _rescore(session, finalists, slot) if len(finalists) > 1 else {}
    if rescored:
        losses = _averaged(losses.of(rescored), rescored)
        ends = [end for end in ends if end.trial in rescored]
    choice = choose(ends, losses, rule=output.choice, finish=_finish(session.task))
    epochs = [choice.end.best_epoch]
    if choice.end.trial in rescored:
        epochs.append(rescored[choice.end.trial].best.epoch)
        choice = replace(choice, reason=f"{choice.reason}; {len(rescored)} finalists were repeated with fresh seeds")
    return choice, max(1, round(fmean(epochs)))


def _affordable(finalists: list[TrialEnded], *, spent: int) -> list[TrialEnded]:
    """As many finalists as can be repeated in a part of the epochs spent; no two runs take the same time."""
    costs = accumulate(end.epochs for end in finalists)
    return finalists[: sum(cost <= FINALISTS_SHARE * spent for cost in costs)]


def _rescore(session: Session, finalists: Sequence[TrialEnded], slot: Slot) -> dict[int, Rescored]:
    def report(done: int) -> None:
        session.record(FinalistsReported(done, len(finalists)))

    jobs = [_repetition(session, end) for end in finalists]
    expected_s = sum(end.seconds for end in finalists)
    results = run_jobs(session.task, jobs, slot=slot, expected_s=expected_s, report=report)
    pairs = zip(finalists, results, strict=True)
    return {end.trial: result for end, result in pairs if result is not None}


def _repetition(session: Session, end: TrialEnded) -> Job[Rescored | None]:
    """A job for a repetition, or None where another seed makes the configuration diverge: it is no finalist then."""
    hyperparameters = completed(end.hyperparameters, task=session.experiment.task.kind)
    training, portions, seed = session.experiment.training, session.portions, session.experiment.search.seed
    max_epochs, patience_epochs = training.max_epochs, training.patience_epochs

    def job(task: ForecastTask, device: torch.device) -> Rescored | None:
        try:
            return rescore(
                task,
                hyperparameters,
                portions,
                max_epochs=max_epochs,
                patience_epochs=patience_epochs,
                seed=seed,
                device=device,
            )
        except DivergedError:
            return None

    return job


def _averaged(losses: OutOfFold, rescored: Mapping[int, Rescored]) -> OutOfFold:
    """Each finalist's losses, averaged over its trial and the repetition."""
    fresh = [rescored[trial].tallies for trial in losses.trials.tolist()]
    sums = np.stack([torch.cat([tally.sums for tally in tallies]).numpy() for tallies in fresh])
    return replace(losses, sums=(losses.sums + sums) / 2)


def _refit(
    session: Session, hyperparameters: Hyperparameters, end: TrialEnded, slot: Slot, *, epochs: int
) -> list[dict[str, Tensor]]:
    """The final networks, each from a seed that no trial used."""
    total = session.experiment.output.seeds
    steps = refit_steps(session.task, hyperparameters, session.portions, epochs=epochs)
    seeds = [_refit_seed(session.experiment.search.seed, member) for member in range(total)]
    jobs = [_member(hyperparameters, session.portions, steps=steps, seed=seed) for seed in seeds]

    def report(done: int) -> None:
        session.record(RefitReported(done, total))

    try:
        return run_jobs(session.task, jobs, slot=slot, expected_s=end.seconds * total, report=report)
    except DivergedError as error:
        problem = f"The final training of trial {end.trial} failed: {error}"
        raise DivergedError(f"{problem}. Search smaller values of learning_rate") from None


def _member(hyperparameters: Hyperparameters, portions: Portions, *, steps: int, seed: int) -> Job[dict[str, Tensor]]:
    """A job for one final network's weights."""

    def job(task: ForecastTask, device: torch.device) -> dict[str, Tensor]:
        return refit(task, hyperparameters, portions, steps=steps, seed=seed, device=device)[0]

    return job


def _refit_seed(seed: int, member: int) -> int:
    """Seeds of the final networks, apart from those of any fold."""
    return 1_000_003 + seed * 10_007 + member


def _preprocessing(session: Session) -> Preprocessing:
    panel = session.prepared.panel
    return Preprocessing(
        columns=panel.columns,
        frequency=panel.frequency,
        missing=session.experiment.data.missing,
        past=panel.past_features,
        known=panel.known_features,
        static=panel.static_features,
    )


def _open_test(session: Session, hyperparameters: Hyperparameters, network: Ensemble) -> Opened:
    """Scores the final model and the baselines on the locked part, once, and writes the look down."""
    task, tallies = session.task, {}
    for name in applicable(task.design.quantiles):
        with torch.inference_mode():
            problem = replace(task, metric=name).final_problem(hyperparameters)
            tallies[name] = problem.tally(network, "validation")
    metrics = {name: replace(task, metric=name).score(tally) for name, tally in tallies.items()}
    baselines = {name: score_baseline_on_test(task, name) for name in session.baselines()}
    scores = {name: baseline.score for name, baseline in baselines.items()}
    event = TestScored(task.metric, metrics[task.metric], scores, session.experiment.test_steps, metrics)
    ledger = session.paths.test_ledger
    looks = json.loads(ledger.read_text()) if ledger.exists() else []
    look = {"at": _now(), "look": len(looks) + 1, "by": "run", "metric": task.metric}
    write_json(ledger, [*looks, {**look, "metrics": metrics, "baselines": scores}])
    session.record(event)
    return Opened(event, tallies[task.metric], baselines)


def _verdict(
    session: Session, ends: Sequence[TrialEnded], losses: OutOfFold, choice: Choice, test: Opened | None
) -> VerdictReached:
    """What the numbers add up to, written down and told."""
    task, seed = session.task, session.experiment.search.seed
    finish, scored = _finish(task), session.baselines()
    rule = RULES[session.experiment.output.choice].resampled(losses, parameters_of(losses, ends), finish)
    blocks = len(task.test_blocks()) if test else int((losses.folds == losses.folds.max()).sum())
    has_losses = len(losses.trials) > 0
    claim = bias_corrected(losses, finish=finish, rule=rule, test_blocks=blocks, seed=seed) if has_losses else None
    overfitting = backtest_overfitting(losses, finish=finish, rule=rule) if has_losses else None
    best = min(scored.values(), key=lambda event: event.score)
    findings = Findings(
        metric=task.metric,
        baseline=best.name,
        baseline_score=best.score,
        claim=claim,
        overfitting=overfitting,
        gap=choice.end.gap,
        test=_test_part(session, test, best.name) if test else None,
    )
    verdict = reach_verdict(findings)
    event = VerdictReached(
        advice=verdict.advice,
        sentences=list(verdict.sentences),
        baseline=best.name,
        expected=claim.corrected if claim else None,
        low=claim.low if claim else None,
        high=claim.high if claim else None,
        naive=claim.naive if claim else None,
        overfitting=overfitting.probability if overfitting else None,
        p_value=findings.test.comparison.p_value if findings.test else None,
    )
    write_json(session.paths.verdict, asdict(event))
    session.record(event)
    return event


def _test_part(session: Session, test: Opened, baseline: str) -> TestPart:
    own, other = (_block_losses(tally) for tally in (test.own, test.baselines[baseline].tallies[0]))
    series = session.task.test_blocks()
    comparison = compare_on_test(own, other, series, seed=session.experiment.search.seed)
    return TestPart(test.scored.score, test.baselines[baseline].score, comparison)


def _block_losses(tally: Tally) -> Floats:
    """Mean loss of each block; NaN where nothing counts."""
    sums, counts = tally.sums.numpy(), tally.counts.numpy()
    losses: Floats = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=losses, where=counts > 0)
    return losses


def _bundle(
    session: Session, hyperparameters: Hyperparameters, network: Ensemble, choice: Choice, test: Opened | None
) -> Bundle:
    facts = {
        "trial": choice.end.trial,
        "metric": session.task.metric,
        "validation_score": choice.end.score,
        "test_metrics": dict(test.scored.metrics) if test else {},
        "baselines_on_test": dict(test.scored.baselines) if test else {},
        "parameters": choice.end.parameters,
        "created_at": _now(),
        "packages": json.loads(session.paths.manifest.read_text())["packages"],
    }
    return Bundle(session.experiment.name, network, _preprocessing(session), hyperparameters, facts)


def _finish(task: ForecastTask) -> Finish:
    return FORECAST_METRICS[task.metric].finish


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _short(path: Path) -> str:
    """A path as a user would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
