"""The one look at the locked test part, and the ledger it is written into."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from lstm_tune.models.forecaster import Ensemble
from lstm_tune.models.problem import Tally
from lstm_tune.search.session import Session
from lstm_tune.selection.estimates import Interval
from lstm_tune.selection.evaluation import tally_interval
from lstm_tune.spec.events import TestScored, Warned
from lstm_tune.spec.ledger import Look, later_look, write_look
from lstm_tune.tasks.baselines import BaselineScore, score_baseline_on_test
from lstm_tune.tasks.scoring import forecast_fold, scores_of, tallies_of


@dataclass(frozen=True)
class Opened:
    """The locked test part after the one look at it.

    Attributes:
        scored: the scores.
        own: the final model's sums and counts, one pair a forecast.
        forecasts: what the final model forecast, float32 [E, h, Y] or [E, h, Y, Q].
        baselines: each baseline's likewise.
        interval: of the score.
    """

    scored: TestScored
    own: Tally
    forecasts: Tensor
    baselines: Mapping[str, BaselineScore]
    interval: Interval


def open_test(session: Session, network: Ensemble) -> Opened:
    """Scores the final model and the baselines on the locked part; the look is written down first."""
    task, experiment = session.task, session.experiment
    forecasts = forecast_fold(task, task.split.test, network)
    tallies = tallies_of(task, task.split.test, forecasts)
    own, metrics = tallies[task.metric], scores_of(task, tallies)
    baselines = {name: score_baseline_on_test(task, name) for name in session.baselines()}
    scores = {name: baseline.score for name, baseline in baselines.items()}
    interval = tally_interval(own, task.test_blocks(), metric=task.metric, seed=experiment.search.seed)
    by = "resume" if session.record.history else "run"
    number = write_look(session.paths, Look(by, "test", task.metric, metrics, scores))
    if warning := later_look(number):
        session.record(Warned(warning))
    event = TestScored(
        metric=task.metric,
        score=metrics[task.metric],
        baselines=scores,
        steps=experiment.test_steps,
        metrics=metrics,
        low=interval.low,
        high=interval.high,
    )
    session.record(event)
    return Opened(event, own, forecasts, baselines, interval)
