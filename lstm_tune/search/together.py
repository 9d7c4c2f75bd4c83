"""Whether the finalists forecast better together: their out-of-fold forecasts, handed to selection."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from lstm_tune.search.session import Session
from lstm_tune.selection.choice import RULES, parameters_of
from lstm_tune.selection.ensemble import Mixture, proven_mixture
from lstm_tune.selection.out_of_fold import Floats, Integers, OutOfFold
from lstm_tune.selection.rules import DefaultTrial, Rule
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.hyperparameters import completed
from lstm_tune.tasks.forecast import judged
from lstm_tune.tasks.metrics import FORECAST_METRICS, Metric
from lstm_tune.training.rescore import Rescored

MOST_VALUES = 100_000
"""Forecast values that a mixture is judged on; of a larger panel evenly spread blocks, as hundreds of mixtures are."""


def find_mixture(
    session: Session,
    repeated: Mapping[int, Rescored],
    ends: Mapping[int, TrialEnded],
    defaults: DefaultTrial | None,
) -> Mixture | None:
    """The finalists' ensemble where it is proven better than one of them; None where not, or not wanted.

    Args:
        session: the run.
        repeated: the finalists' repetitions, by trial.
        ends: how the trial of each ended.
        defaults: the one with the default configuration, if it is a finalist.
    """
    if not session.experiment.output.ensemble or len(repeated) < 2:
        return None
    some = completed(next(iter(ends.values())).hyperparameters, task=session.experiment.task.kind)
    chosen = thinned([tuple(one.shape) for one in next(iter(repeated.values())).forecasts])
    truths, scales = [], []
    for problem, rows in zip(session.task.problems(some), chosen, strict=True):
        _, batches, scale = problem.truths("validation")
        truths.append(torch.cat([batch.future for batch in batches])[rows])
        scales.append(torch.cat(scale)[rows])
    metric, levels = FORECAST_METRICS[session.task.metric], torch.tensor(session.task.design.quantiles or (0.5,))
    forecasts = {
        trial: [fold[rows] for fold, rows in zip(one.forecasts, chosen, strict=True)] for trial, one in repeated.items()
    }
    return proven_mixture(
        forecasts,
        _blocks(session, chosen),
        _Judge(metric, truths, scales, levels),
        finish=session.finish,
        rule=_rule(session, [ends[trial] for trial in repeated], defaults),
        seed=session.experiment.search.seed,
    )


@dataclass(frozen=True)
class _Judge:
    """Scores forecasts of the folds.

    Attributes:
        metric: how.
        truths: [E, h, Y] of each fold.
        scales: [E, 1, Y] likewise.
        levels: of the quantiles, [Q].
    """

    metric: Metric
    truths: Sequence[Tensor]
    scales: Sequence[Tensor]
    levels: Tensor

    def __call__(self, folds: Sequence[Tensor]) -> tuple[Floats, Floats]:
        """Sums and counts of every block, two float64 [B]."""
        triples = zip(folds, self.truths, self.scales, strict=True)
        pairs = [self.metric.sums(judged(fold, truth, scale, self.levels)) for fold, truth, scale in triples]
        sums, counts = (torch.cat(column).numpy() for column in zip(*pairs, strict=True))
        return sums, counts


def thinned(shapes: Sequence[tuple[int, ...]]) -> list[Tensor]:
    """The blocks of each fold that are judged: all of them, or evenly spread ones where the values are many.

    Args:
        shapes: of each fold's forecasts, blocks first.

    Returns:
        Their numbers, int64, one tensor a fold.
    """
    share = min(1.0, MOST_VALUES / max(sum(map(prod, shapes)), 1))
    counts = [max(1, round(share * shape[0])) for shape in shapes]
    return [
        torch.linspace(0, shape[0] - 1, count, dtype=torch.float64).round().long()
        for shape, count in zip(shapes, counts, strict=True)
    ]


def _blocks(session: Session, chosen: Sequence[Tensor]) -> OutOfFold:
    """The judged blocks, without losses."""
    folds, series, steps = session.task.blocks()
    starts = np.searchsorted(folds, np.arange(len(chosen)))
    rows: Integers = np.concatenate([start + one.numpy() for start, one in zip(starts, chosen, strict=True)])
    nothing = np.zeros((0, len(rows)))
    return OutOfFold(np.zeros(0, dtype=np.int64), nothing, nothing, folds[rows], series[rows], steps[rows])


def _rule(session: Session, ends: Sequence[TrialEnded], defaults: DefaultTrial | None) -> Callable[[OutOfFold], Rule]:
    """How a single configuration is chosen among these trials."""
    rule = RULES[session.experiment.output.choice]
    return lambda losses: rule.resampled(losses, parameters_of(losses, ends), session.finish, defaults)
