"""The run's forecasts: of the folds by the repetition of the winner, of the test part by the final model."""

import io
from collections.abc import Iterator

import torch
from torch import Tensor

from lstm_tune.search.finalists import Finalists
from lstm_tune.search.opening import Opened
from lstm_tune.search.session import Session
from lstm_tune.selection.forecasts import Forecasts, forecasts_table
from lstm_tune.spec.paths import write_atomically
from lstm_tune.tasks.targets import targets_of


def write_forecasts(session: Session, finalists: Finalists, test: Opened | None) -> None:
    """Writes `forecasts.parquet`; nothing where there is neither a repetition nor a test part.

    Args:
        session: the run.
        finalists: hold the out-of-fold forecasts.
        test: the test part; None without one.
    """
    parts = [*_folds(session, finalists), *_test(session, test)]
    if parts:
        buffer = io.BytesIO()
        forecasts_table(session.prepared.panel, parts).write_parquet(buffer)
        write_atomically(session.paths.forecasts, buffer.getvalue())


def _folds(session: Session, finalists: Finalists) -> Iterator[Forecasts]:
    repetition = finalists.repeated.get(finalists.choice.end.trial)
    if repetition is None:
        return
    baseline = session.score_baseline(session.best_baseline.name).forecasts
    parts = zip(session.task.split.folds, repetition.forecasts, baseline, strict=True)
    for number, (fold, forecasts, other) in enumerate(parts, start=1):
        point = _median(session, forecasts)
        nothing = torch.full_like(point, torch.nan)
        yield Forecasts(f"fold {number}", targets_of(session.task, fold), point, nothing, nothing, other)


def _test(session: Session, test: Opened | None) -> Iterator[Forecasts]:
    if test is None:
        return
    point, other = _median(session, test.forecasts), test.baselines[session.best_baseline.name].forecasts[0]
    nothing = torch.full_like(point, torch.nan)
    yield Forecasts("test", targets_of(session.task, session.task.split.test), point, nothing, nothing, other)


def _median(session: Session, forecasts: Tensor) -> Tensor:
    """The point forecast [E, h, Y]."""
    quantiles = session.task.design.quantiles
    return forecasts[..., quantiles.index(0.5)] if quantiles else forecasts
