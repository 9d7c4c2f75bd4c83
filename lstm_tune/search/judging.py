"""What the run's numbers add up to: the verdict, written down and told."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean

from lstm_tune.search.finalists import Finalists
from lstm_tune.search.opening import Opened
from lstm_tune.search.session import Session
from lstm_tune.selection.choice import RULES, parameters_of
from lstm_tune.selection.ensemble import claim_together
from lstm_tune.selection.estimates import bias_corrected
from lstm_tune.selection.evaluation import block_losses
from lstm_tune.selection.out_of_fold import OutOfFold
from lstm_tune.selection.overfitting import backtest_overfitting
from lstm_tune.selection.rules import DefaultTrial
from lstm_tune.selection.verdict import Findings, TestPart, compare_on_test, reach_verdict
from lstm_tune.spec.events import TrialEnded, VerdictReached
from lstm_tune.spec.paths import write_json


def judge(
    session: Session,
    ends: Sequence[TrialEnded],
    losses: OutOfFold,
    finalists: Finalists,
    test: Opened | None,
    *,
    defaults: DefaultTrial | None,
    coverage: float | None,
    nested: Sequence[float],
) -> VerdictReached:
    """The verdict of a run.

    Args:
        session: the run.
        ends: the candidates.
        losses: their out-of-fold losses.
        finalists: the winner among them.
        test: the test part; None without one.
        defaults: the candidate with the default configuration, if there is one.
        coverage: share of true values that the intervals held out of fold; None where that could not be tried.
        nested: scores of searches that were repeated before each fold's block.
    """
    task, seed, finish = session.task, session.experiment.search.seed, session.finish
    chosen_by = RULES[session.experiment.output.choice]
    rule = chosen_by.resampled(losses, parameters_of(losses, ends), finish, defaults)
    blocks = len(task.test_blocks()) if test else int((losses.folds == losses.folds.max()).sum())
    has_losses = len(losses.trials) > 0
    claim = bias_corrected(losses, finish=finish, rule=rule, test_blocks=blocks, seed=seed) if has_losses else None
    if claim and finalists.mixture:
        claim = claim_together(claim, finalists.mixture)
    overfitting = backtest_overfitting(losses, finish=finish, rule=rule) if has_losses else None
    best = session.best_baseline
    findings = Findings(
        metric=task.metric,
        baseline=best.name,
        baseline_score=best.score,
        claim=claim,
        overfitting=overfitting,
        gap=finalists.gap,
        test=_test_part(session, test, best.name) if test else None,
        level=session.experiment.output.interval,
        coverage=coverage,
        nested=tuple(nested),
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
        test_low=test.interval.low if test else None,
        test_high=test.interval.high if test else None,
        interval_level=session.experiment.output.interval,
        nested=fmean(nested) if nested else None,
        nested_folds=list(nested),
    )
    write_json(session.paths.verdict, asdict(event))
    session.record(event)
    return event


def _test_part(session: Session, test: Opened, baseline: str) -> TestPart:
    own, other = (block_losses(tally) for tally in (test.own, test.baselines[baseline].tallies[0]))
    series = session.task.test_blocks()
    comparison = compare_on_test(own, other, series, seed=session.experiment.search.seed)
    return TestPart(test.scored.score, test.baselines[baseline].score, comparison, test.interval)
