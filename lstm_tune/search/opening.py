"""The one look at the locked test part, and the ledger it is written into."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from lstm_tune.bundle.files import Member
from lstm_tune.models.forecaster import Ensemble, context_steps
from lstm_tune.models.problem import Tally
from lstm_tune.search.session import Session, now
from lstm_tune.selection.estimates import Interval, score_interval
from lstm_tune.selection.out_of_fold import OutOfFold
from lstm_tune.spec.events import TestScored
from lstm_tune.spec.paths import write_json
from lstm_tune.tasks.baselines import BaselineScore, score_baseline_on_test
from lstm_tune.tasks.metrics import applicable


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


def open_test(session: Session, members: Sequence[Member], network: Ensemble) -> Opened:
    """Scores the final model and the baselines on the locked part, once, and writes the look down."""
    task, names = session.task, applicable(session.task.design.quantiles)
    longest = max((member.hyperparameters for member in members), key=partial(context_steps, season=task.design.season))
    problems = {name: replace(task, metric=name).final_problem(longest) for name in names}
    with torch.inference_mode():
        forecasts = problems[task.metric].forecasts(network, "validation")
    tallies = {name: problem.judge(forecasts, "validation") for name, problem in problems.items()}
    metrics = {name: replace(task, metric=name).score(tally) for name, tally in tallies.items()}
    baselines = {name: score_baseline_on_test(task, name) for name in session.baselines()}
    scores = {name: baseline.score for name, baseline in baselines.items()}
    interval = _interval(session, tallies[task.metric])
    event = TestScored(
        metric=task.metric,
        score=metrics[task.metric],
        baselines=scores,
        steps=session.experiment.test_steps,
        metrics=metrics,
        low=interval.low,
        high=interval.high,
    )
    _write_look(session, event)
    session.record(event)
    return Opened(event, tallies[task.metric], forecasts, baselines, interval)


def _interval(session: Session, tally: Tally) -> Interval:
    """The interval of the final model's score, from its test blocks."""
    series = session.task.test_blocks()
    blocks = np.arange(len(series))  # in the order of time within a series
    sums, counts = tally.sums.numpy()[None], tally.counts.numpy()[None]
    test = OutOfFold(np.zeros(1, dtype=np.int64), sums, counts, np.zeros_like(series), series, blocks)
    return score_interval(test, finish=session.finish, seed=session.experiment.search.seed)


def _write_look(session: Session, scored: TestScored) -> None:
    ledger = session.paths.test_ledger
    looks = json.loads(ledger.read_text()) if ledger.exists() else []
    look = {"at": now(), "look": len(looks) + 1, "by": "run", "metric": scored.metric}
    write_json(ledger, [*looks, {**look, "metrics": scored.metrics, "baselines": scored.baselines}])
