"""What the numbers say, in words: the expected error, the test, the best baseline, and whether an LSTM is worth it."""

from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from lstm_tune.selection.comparison import Comparison, diebold_mariano, paired_bootstrap
from lstm_tune.selection.estimates import Estimate, Interval
from lstm_tune.selection.out_of_fold import Floats, Integers
from lstm_tune.selection.overfitting import Overfitting

Advice = Literal["use the LSTM", "prefer the baseline", "not proven"]

LARGE_GAP = 0.3
"""A generalisation gap above which the network counts as overfitting visibly."""

LIKELY_OVERFIT = 0.5
"""A probability of backtest overfitting from which on the search tells nothing."""


@dataclass(frozen=True)
class TestPart:
    """The final model and the best baseline on the same locked blocks.

    Attributes:
        score: the final model's metric.
        baseline_score: the baseline's.
        comparison: the paired test of the two.
        interval: of the final model's metric.
    """

    __test__ = False  # pytest: this is no test class

    score: float
    baseline_score: float
    comparison: Comparison
    interval: Interval


@dataclass(frozen=True)
class Findings:
    """Everything the verdict rests on.

    Attributes:
        metric: its name; smaller is better.
        baseline: the baseline that did best on the validation blocks.
        baseline_score: its validation score.
        claim: what to expect of the chosen trial; None where no losses were kept.
        overfitting: the probability that the choice overfitted the validation blocks; None likewise.
        gap: generalisation gap of the chosen trial; None where it is unknown.
        test: the locked part; None where there is none.
        level: share of true values that the interval around a single forecast should hold.
        coverage: share that it held in each fold when calibrated on the others; None where that could not be tried.
        nested: scores of searches that were repeated before each fold's block, and judged there.
    """

    metric: str
    baseline: str
    baseline_score: float
    claim: Estimate | None
    overfitting: Overfitting | None
    gap: float | None
    test: TestPart | None
    level: float
    coverage: float | None
    nested: tuple[float, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """The end of a run in words.

    Attributes:
        advice: what to do.
        sentences: why, one finding each, the advice first.
    """

    advice: Advice
    sentences: tuple[str, ...]


def compare_on_test(own: Floats, other: Floats, series: Integers, *, seed: int) -> Comparison:
    """Whether two models differ on the blocks of a test part.

    Args:
        own: mean loss of each block, float64 [B]; NaN where nothing counts.
        other: the same of the other model.
        series: index of each block's series, int64 [B]; blocks of one series are in the order of time.
        seed: of the resampling.

    Returns:
        Over series where there are several; over the blocks of a single one, which do not overlap.
    """
    if len(np.unique(series)) > 1:
        return paired_bootstrap(own, other, series, seed=seed)
    return diebold_mariano(own, other, horizon=1)


def reach_verdict(findings: Findings) -> Verdict:
    """What the findings add up to."""
    advice = _advice(findings)
    sentences = [
        _headline(findings, advice),
        *_claim(findings),
        *_nested(findings),
        *_test(findings),
        *_intervals(findings),
        *_fit(findings),
    ]
    return Verdict(advice, tuple(sentences))


def _advice(findings: Findings) -> Advice:
    test = findings.test
    if test is not None and test.comparison.is_real:
        return "use the LSTM" if test.comparison.difference < 0 else "prefer the baseline"
    expected = findings.claim.corrected if findings.claim else None
    is_ahead = expected is not None and expected < findings.baseline_score
    if not is_ahead or (test is not None and test.score >= test.baseline_score):
        return "prefer the baseline"
    return "not proven"


def _headline(findings: Findings, advice: Advice) -> str:
    baseline = findings.baseline
    if advice == "use the LSTM":
        return f"Use the LSTM: on the test part it is better than {baseline}, by more than chance."
    if advice == "prefer the baseline":
        return f"Do not use an LSTM here: {baseline} does as well or better, and is simpler."
    return f"The LSTM is ahead of {baseline}, but not by more than chance could do; judge it on more data."


def _claim(findings: Findings) -> list[str]:
    claim = findings.claim
    if claim is None:
        return []
    interval = (
        f"80 % interval {claim.low:.4g} to {claim.high:.4g}, approximate"
        if claim.low is not None and claim.high is not None
        else "no interval"
    )
    return [
        f"Expected {findings.metric} on new data {claim.corrected:.4g} ({interval}); the search itself saw"
        f" {claim.naive:.4g}. {_sentence(claim.reason)}"
    ]


def _nested(findings: Findings) -> list[str]:
    scores, claim = findings.nested, findings.claim
    if not scores:
        return []
    folds = f"{len(scores)} outer fold{'' if len(scores) == 1 else 's'}, each with a search of its own"
    beside = f"; the corrected claim was {claim.corrected:.4g}" if claim else ""
    return [f"Nested estimate {fmean(scores):.4g} over {folds}{beside}."]


def _test(findings: Findings) -> list[str]:
    test, name = findings.test, findings.baseline
    if test is None:
        return ["No test part was kept, so nothing here was judged on untouched data."]
    p_value = test.comparison.p_value
    proof = f"p = {p_value:.2g}" if p_value is not None else "too few blocks for a test of the difference"
    return [
        f"Test {findings.metric} {test.score:.4g} ({test.interval.reason}); {name}, the best baseline in validation"
        f" ({findings.baseline_score:.4g}), {test.baseline_score:.4g}: {test.comparison.words} ({proof})."
    ]


def _intervals(findings: Findings) -> list[str]:
    if findings.coverage is None:
        return []
    return [
        f"The interval around each forecast is meant to hold {findings.level:.0%} of true values; calibrated on the"
        f" other folds it held {findings.coverage:.0%}."
    ]


def _fit(findings: Findings) -> list[str]:
    found = []
    if findings.gap is not None and findings.gap > LARGE_GAP:
        found.append(
            f"The network does {findings.gap:.0%} worse on validation than on training targets; try more dropout or"
            " weight decay, fewer units, or more data."
        )
    overfitting = findings.overfitting
    if overfitting is not None and overfitting.probability is not None and overfitting.probability >= LIKELY_OVERFIT:
        found.append(
            f"The choice between configurations tells nothing (probability of backtest overfitting"
            f" {overfitting.probability:.0%}); more trials will not help, more data will."
        )
    return found


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:].rstrip(".") + "."
