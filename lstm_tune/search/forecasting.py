"""The run's forecasts: of the folds by the winner's repetition, of the test part by the final model."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lstm_tune.bundle.intervals import Intervals
from lstm_tune.search.finalists import Finalists
from lstm_tune.search.opening import Opened
from lstm_tune.search.session import Session
from lstm_tune.selection.conformal import calibrated_reach, coverage
from lstm_tune.selection.forecasts import Forecasts, forecasts_table
from lstm_tune.selection.out_of_fold import Floats
from lstm_tune.spec.paths import write_atomically
from lstm_tune.tasks.targets import Targets, targets_of


@dataclass(frozen=True)
class OutOfFoldForecasts:
    """The chosen model's forecasts of the folds, which it had not seen, and the intervals they give.

    Attributes:
        session: the run.
        points: point forecasts of each fold, float32 [E, h, Y]; empty where there are none.
    """

    session: Session
    points: tuple[Tensor, ...]

    @classmethod
    def of_winner(cls, session: Session, finalists: Finalists) -> "OutOfFoldForecasts":
        """Those of the repetition of each chosen configuration, together; none where one diverged."""
        return cls(session, tuple(median(session, one) for one in finalists.forecasts))

    @cached_property
    def targets(self) -> tuple[Targets, ...]:
        """What they answer for."""
        return tuple(targets_of(self.session.task, fold) for fold in self.session.task.split.folds if self.points)

    @property
    def coverage(self) -> float | None:
        """Share of truths inside intervals that were calibrated on the other folds."""
        return coverage(self._residuals, self._level)

    def intervals(self, *, without: int | None = None) -> Intervals | None:
        """The intervals that all folds give, or all but one; None where there are no residuals."""
        reach = calibrated_reach([one for k, one in enumerate(self._residuals) if k != without], self._level)
        return None if reach is None else Intervals.of(self._level, reach, self._floors)

    @property
    def _level(self) -> float:
        return self.session.experiment.output.interval

    @cached_property
    def _residuals(self) -> list[Floats]:
        """In units of each series' seasonal error, float64 [E, h, Y] for each fold."""
        pairs = zip(self.targets, self.points, strict=True)
        return [((target.truth - point) / target.scale).double().numpy() for target, point in pairs]

    @cached_property
    def _floors(self) -> list[float | None]:
        """Zero for a target that is never negative before the test part."""
        lowest = np.nanmin(self.session.task.development_targets(), axis=0)
        return [0.0 if value >= 0 else None for value in lowest]


def write_forecasts(
    session: Session, forecasts: OutOfFoldForecasts, intervals: Intervals | None, test: Opened | None
) -> None:
    """Writes `forecasts.parquet`; nothing where there are neither out-of-fold forecasts nor a test part.

    The intervals of a fold are calibrated on the other folds, so that how often they hold the truth means something.

    Args:
        session: the run.
        forecasts: of the folds.
        intervals: of the final model.
        test: the test part; None without one.
    """
    parts = [*_folds(session, forecasts), *_test(session, intervals, test)]
    if parts:
        buffer = io.BytesIO()
        forecasts_table(session.prepared.panel, parts).write_parquet(buffer)
        write_atomically(session.paths.forecasts, buffer.getvalue())


def _folds(session: Session, forecasts: OutOfFoldForecasts) -> Iterator[Forecasts]:
    if not forecasts.points:
        return
    baseline = session.score_baseline(session.best_baseline.name).forecasts
    for k, (targets, point, other) in enumerate(zip(forecasts.targets, forecasts.points, baseline, strict=True)):
        yield _part(f"fold {k + 1}", targets, point, other, forecasts.intervals(without=k))


def _test(session: Session, intervals: Intervals | None, test: Opened | None) -> Iterator[Forecasts]:
    if test is None:
        return
    point, other = median(session, test.forecasts), test.baselines[session.best_baseline.name].forecasts[0]
    yield _part("test", targets_of(session.task, session.task.split.test), point, other, intervals)


def _part(name: str, targets: Targets, point: Tensor, baseline: Tensor, intervals: Intervals | None) -> Forecasts:
    low = high = torch.full_like(point, torch.nan)
    if intervals is not None:
        ends = intervals.around(point.double().numpy(), targets.scale.numpy())
        low, high = (torch.from_numpy(end) for end in ends)
    return Forecasts(name, targets, point, low, high, baseline)


def median(session: Session, forecasts: Tensor) -> Tensor:
    """The point forecast [E, h, Y] of a network's output."""
    quantiles = session.task.design.quantiles
    return forecasts[..., quantiles.index(0.5)] if quantiles else forecasts
