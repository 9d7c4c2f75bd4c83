"""After the search: finalists, choice, refit, test, verdict, bundle. The order of this page is the order of events."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lstm_tune.bundle.files import Bundle, write_bundle
from lstm_tune.search.finalists import Finalists, choose_winner
from lstm_tune.search.forecasting import OutOfFoldForecasts, write_forecasts
from lstm_tune.search.judging import judge
from lstm_tune.search.opening import Opened, open_test
from lstm_tune.search.placement import Slot
from lstm_tune.search.refitting import train_final
from lstm_tune.search.session import Session, now
from lstm_tune.selection.choice import candidates
from lstm_tune.spec.events import BundleWritten, RunEnded


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        run: its directory.
        interrupted: whether it was stopped and can be resumed.
        winner: number of the chosen trial, of the one with the largest weight in an ensemble; or None.
        score: the winner's validation score, or the ensemble's; or None.
        expected: the error to expect on new data; None where it could not be estimated.
        test_score: the final model's metric on the locked test part; None without one.
        baselines: each baseline's metric on the test part.
        advice: what the verdict says, or None.
        bundle: directory of the exported model, or None.
        is_copied: whether the copy at a remote `output.directory` is whole; true without one.
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
    is_copied: bool = True


def conclude(session: Session, slot: Slot, nested: Sequence[float] = ()) -> Outcome:
    """Chooses a winner, makes the final model of it, and says what to think of it.

    Args:
        session: the run, its search over.
        slot: what one training occupies.
        nested: scores of searches that were repeated before each fold's block.

    Raises:
        SearchFailedError: no trial has a score, or none keeps the constraints.
        DivergedError: the final training diverged.
    """
    records = session.records()
    ends = candidates(records.values())
    losses = session.losses.collect(end.trial for end in ends)
    spent = sum(record.end.epochs for record in records.values() if record.end)
    tried = sum(record.end is not None and record.end.score is not None for record in records.values())
    defaults = session.default_trial(ends, tried=tried)
    finalists = choose_winner(session, ends, losses, slot, defaults=defaults, spent=spent)
    winner = finalists.chosen
    session.record(winner)
    members, network = train_final(session, finalists, slot)
    test = open_test(session, network) if session.experiment.test_steps else None
    forecasts = OutOfFoldForecasts.of_winner(session, finalists)
    verdict = judge(
        session, ends, losses, finalists, test, defaults=defaults, coverage=forecasts.coverage, nested=nested
    )
    intervals = forecasts.intervals()
    facts = _facts(session, finalists, test)
    bundle = Bundle(session.experiment.name, network, session.preprocessing, members, facts, intervals)
    write_bundle(bundle, session.paths.bundle)
    session.record(BundleWritten(session.paths.bundle.name))
    session.write_tables()
    write_forecasts(session, forecasts, intervals, test)
    data = session.experiment.data.path
    data = data if "://" in data else _short(session.paths.root / data)
    command = f"lstm-tune predict {_short(session.paths.bundle)} {data} -o forecast.parquet"
    session.record(RunEnded("done", f"Forecast with: {command}"))
    return Outcome(
        run=session.paths.root,
        interrupted=False,
        winner=winner.trial,
        score=winner.score,
        expected=verdict.expected,
        test_score=test.scored.score if test else None,
        baselines=test.scored.baselines if test else None,
        advice=verdict.advice,
        bundle=session.paths.bundle,
    )


def _facts(session: Session, finalists: Finalists, test: Opened | None) -> dict[str, Any]:
    """What is worth knowing about the model."""
    winner = finalists.chosen
    return {
        "trial": winner.trial,
        "metric": session.task.metric,
        "validation_score": winner.score,
        "test_metrics": dict(test.scored.metrics) if test else {},
        "baselines_on_test": dict(test.scored.baselines) if test else {},
        "parameters": finalists.ends[winner.trial].parameters,
        "created_at": now(),
        "packages": json.loads(session.paths.manifest.read_text())["packages"],
    }


def _short(path: Path) -> str:
    """A path as a user would type it here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
