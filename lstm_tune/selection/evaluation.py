"""A finished model on targets that no choice has seen: its metrics beside the baselines' and what was claimed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.bundle.files import Bundle
from lstm_tune.models.problem import Tally
from lstm_tune.selection.comparison import Comparison
from lstm_tune.selection.estimates import Interval, score_interval
from lstm_tune.selection.out_of_fold import Floats, Integers, OutOfFold
from lstm_tune.selection.verdict import compare_on_test
from lstm_tune.spec.ledger import Part
from lstm_tune.tasks.baselines import score_baseline_on_test
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.metrics import FORECAST_METRICS
from lstm_tune.tasks.scoring import forecast_fold, scores_of, tallies_of
from lstm_tune.tasks.targets import Targets, targets_of

DESCRIBED = ("coverage",)
"""Metrics of quantiles that mean nothing for a baseline's single forecast."""


@dataclass(frozen=True)
class Claim:
    """What a run said before.

    Attributes:
        expected: error to expect on new data; None where it could not be estimated.
        low: lower end of its 80 % interval; None where there is none.
        high: upper end.
        baseline: the baseline that did best in validation.
    """

    expected: float | None
    low: float | None
    high: float | None
    baseline: str


@dataclass(frozen=True)
class Evaluation:
    """A model's scores on one part of the data.

    Attributes:
        part: which.
        metric: the one that the search optimised; smaller is better.
        score: the model's.
        interval: of the score.
        metrics: the model's, by every metric that applies.
        baselines: each baseline's likewise, by name.
        claim: what the run said before.
        comparison: the model beside the claim's baseline; None where that was not scored.
        level: share of truths that the model's intervals should hold; None where it has none.
        coverage: share that they held; None likewise.
        series: series that were judged.
        forecasts: forecasts that were judged.
        steps: judged steps of the series with the most.
        first: time of the first judged step.
        last: time of the last.
    """

    part: Part
    metric: str
    score: float
    interval: Interval
    metrics: Mapping[str, float]
    baselines: Mapping[str, Mapping[str, float]]
    claim: Claim
    comparison: Comparison | None
    level: float | None
    coverage: float | None
    series: int
    forecasts: int
    steps: int
    first: str
    last: str

    @property
    def is_as_claimed(self) -> bool | None:
        """Whether the score lies in the claim's interval; None where there is none."""
        low, high = self.claim.low, self.claim.high
        return None if low is None or high is None else low <= self.score <= high


def evaluate(
    bundle: Bundle,
    task: ForecastTask,
    *,
    part: Part,
    baselines: Sequence[str],
    claim: Claim,
    seed: int,
    span: tuple[str, str],
) -> Evaluation:
    """Scores a bundle and the baselines on a task's test part, which is whatever the task says it is.

    Args:
        bundle: the model.
        task: its `split.test` is judged; the baselines are fitted to what precedes it.
        part: what that is.
        baselines: names of those to score.
        claim: what the run said before.
        seed: of the resampling.
        span: times of the first and the last judged step.
    """
    fold = task.split.test
    forecasts = forecast_fold(task, fold, bundle.network)
    tallies, targets = tallies_of(task, fold, forecasts), targets_of(task, fold)
    others = {name: tallies_of(task, fold, score_baseline_on_test(task, name).forecasts[0]) for name in baselines}
    own, series = tallies[task.metric], targets.examples.series
    beside = others.get(claim.baseline)
    quantiles = task.design.quantiles
    point = forecasts[..., quantiles.index(0.5)] if quantiles else forecasts
    metrics = scores_of(task, tallies)
    return Evaluation(
        part=part,
        metric=task.metric,
        score=metrics[task.metric],
        interval=tally_interval(own, series, metric=task.metric, seed=seed),
        metrics=metrics,
        baselines={name: _without_described(scores_of(task, other)) for name, other in others.items()},
        claim=claim,
        comparison=_compare(own, beside[task.metric], series, seed=seed) if beside else None,
        level=bundle.intervals.level if bundle.intervals else None,
        coverage=_coverage(bundle, targets, point.double().numpy()),
        series=fold.series,
        forecasts=len(forecasts),
        steps=int((fold.ends - fold.starts).max()),
        first=span[0],
        last=span[1],
    )


def tally_interval(tally: Tally, series: Integers, *, metric: str, seed: int) -> Interval:
    """The interval of one model's score on one part.

    Args:
        tally: its sums and counts, one pair a forecast.
        series: series of each forecast, int64 [E]; forecasts of one series are in the order of time.
        metric: its name.
        seed: of the resampling.
    """
    blocks = np.arange(len(series))
    sums, counts = tally.sums.numpy()[None], tally.counts.numpy()[None]
    test = OutOfFold(np.zeros(1, dtype=np.int64), sums, counts, np.zeros_like(series), series, blocks)
    return score_interval(test, finish=FORECAST_METRICS[metric].finish, seed=seed)


def block_losses(tally: Tally) -> Floats:
    """Mean loss of each forecast; NaN where nothing counts."""
    sums, counts = tally.sums.numpy(), tally.counts.numpy()
    losses: Floats = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=losses, where=counts > 0)
    return losses


def sentences(evaluation: Evaluation) -> list[str]:
    """What the scores say, one finding each."""
    return [*_claimed(evaluation), *_compared(evaluation), *_covered(evaluation)]


def _compare(own: Tally, other: Tally, series: Integers, *, seed: int) -> Comparison:
    return compare_on_test(block_losses(own), block_losses(other), series, seed=seed)


def _without_described(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in DESCRIBED}


def _coverage(bundle: Bundle, targets: Targets, point: Floats) -> float | None:
    """Share of truths inside the bundle's intervals; None where no truth has one."""
    if bundle.intervals is None:
        return None
    low, high = bundle.intervals.around(point, targets.scale.numpy())
    truth = targets.truth.double().numpy()
    is_judged = ~np.isnan(truth) & ~np.isnan(low)
    inside = (truth >= low) & (truth <= high)
    return float(inside[is_judged].mean()) if is_judged.any() else None


def _claimed(evaluation: Evaluation) -> list[str]:
    claim, score = evaluation.claim, evaluation.score
    if claim.expected is None or math.isnan(score):
        return []
    if claim.low is None or claim.high is None:
        where = f"{'above' if score > claim.expected else 'not above'} what was expected; there is no interval"
        return [f"The run expected {claim.expected:.4g}; {score:.4g} is {where}."]
    where = "inside" if evaluation.is_as_claimed else "above" if score > claim.high else "below"
    interval = f"80 % interval {claim.low:.4g} to {claim.high:.4g}, approximate"
    return [f"The run expected {claim.expected:.4g} ({interval}); {score:.4g} lies {where} it."]


def _compared(evaluation: Evaluation) -> list[str]:
    comparison, name = evaluation.comparison, evaluation.claim.baseline
    if comparison is None:
        return []
    p_value = comparison.p_value
    proof = f"p = {p_value:.2g}" if p_value is not None else "too few blocks for a test of the difference"
    other = evaluation.baselines[name][evaluation.metric]
    beside = f"{name}, the best baseline in validation ({other:.4g} here)"
    return [f"The model beside {beside}: {comparison.words} ({proof})."]


def _covered(evaluation: Evaluation) -> list[str]:
    if evaluation.coverage is None or evaluation.level is None:
        return []
    return [
        f"The intervals around the forecasts are meant to hold {evaluation.level:.0%} of true values; here they held"
        f" {evaluation.coverage:.0%}."
    ]
