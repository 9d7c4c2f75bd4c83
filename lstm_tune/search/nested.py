"""The nested estimate: everything once more before each fold's block, and the network that it ends with judged there.

Each outer fold is a run of its own, on a table that ends with the fold's block; the block is its test part.

Shape letters: S series.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from lstm_tune.data.folds import AUTO_BLOCK_SHARE
from lstm_tune.data.panel import Integers
from lstm_tune.data.reading import read_frame
from lstm_tune.data.truncation import rows_until
from lstm_tune.search.session import Session
from lstm_tune.selection.tables import write_table
from lstm_tune.spec.clock import searched_s
from lstm_tune.spec.errors import DiskFullError, LstmTuneError
from lstm_tune.spec.events import NestedReported, Warned, read_events
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.paths import LOCAL_RUNS, RunPaths
from lstm_tune.tasks.assembly import Prepared, corner

DATA = "data.parquet"
"""The rows of an outer fold, in its folder."""

FoldRun = Callable[[Experiment, RunPaths], float | None]
"""Makes or goes on with the run of an outer fold; its test score. Raises `KeyboardInterrupt` when it is stopped."""


@dataclass(frozen=True)
class OuterFold:
    """One repetition of the search.

    Attributes:
        number: of the fold whose block judges it, from 1.
        ends: first step of each series after that block, int64 [S]; 0 for a series that does not reach it.
        folds: rolling-origin folds of its own search.
    """

    number: int
    ends: Integers
    folds: int


def nested_scores(session: Session, run_fold: FoldRun) -> tuple[float, ...]:
    """The score of each outer fold that could be run, in the order of time.

    A fold that failed, or whose block says nothing, is told and left out.

    Args:
        session: the run, its search over.
        run_fold: does the work of one.

    Raises:
        KeyboardInterrupt: the user stopped one.
    """
    experiment, prepared = session.experiment, session.prepared
    is_derived = json.loads(session.paths.manifest.read_text(encoding="utf-8"))["space"] == "derived"
    folds = outer_folds(experiment, prepared, is_derived=is_derived)
    skipped = len(prepared.task.split.folds) - len(folds)
    if skipped:
        which = "The first fold has" if skipped == 1 else f"The first {skipped} folds have"
        session.record(Warned(f"{which} too little history for a search of its own and is left out of the nested one."))
    once_s, scores = searched_s(read_events(session.paths.events)), list[float]()
    for done, fold in enumerate(folds):
        session.record(NestedReported(done, len(folds), (len(folds) - done) * once_s))
        score = _score(session, fold, run_fold, is_derived=is_derived)
        scores += [] if score is None else [score]
    session.record(NestedReported(len(folds), len(folds), 0.0))
    return tuple(scores)


def outer_folds(experiment: Experiment, prepared: Prepared, *, is_derived: bool) -> list[OuterFold]:
    """The folds before whose block a search fits, in the order of time.

    Its own folds have blocks of the same length and take the share of the history that the run's take of all of it, or
    as much as automatic blocks would: at most as many as the run has, at least one.

    Args:
        experiment: of the whole run.
        prepared: its data and folds.
        is_derived: whether its space came from its data, so that a fold's windows may be shorter.
    """
    split, gap = prepared.task.split, experiment.validation.gap
    development = prepared.panel.histories - experiment.test_steps
    number, block = len(split.folds), split.block
    share = max(AUTO_BLOCK_SHARE, number * block / float(np.median(development)))
    fewest = 2 if is_derived else max(2, int(corner(prepared.space, largest=False)["window"]))
    found = []
    for k in range(1, number + 1):
        ends = np.maximum(development - (number - k) * block, 0)
        before = ends - block - gap
        most = int(before.max() - fewest) // block
        if most > 0:
            wanted = int(share * float(np.median(before[before > 0])) / block)
            found.append(OuterFold(k, ends, max(1, min(number, most, wanted))))
    return found


def fold_experiment(experiment: Experiment, fold: OuterFold, *, block: int, is_derived: bool) -> Experiment:
    """The experiment of an outer fold: the same procedure on other rows.

    Args:
        experiment: of the whole run, as resolved.
        fold: the outer fold.
        block: steps of a block.
        is_derived: whether the run's space came from its data; then the fold's comes from the fold's.
    """
    validation = {"test": block, "block": block, "folds": fold.folds, "nested": False}
    local = str(LOCAL_RUNS)  # its folder lies in the run's, and is copied with it
    changes = {
        "output": experiment.output.model_copy(update={"directory": local}),
        "validation": experiment.validation.model_copy(update=validation),
        "space": None if is_derived else experiment.space,
    }
    return experiment.with_data(DATA).model_copy(update=changes)


def fold_rows(experiment: Experiment, prepared: Prepared, fold: OuterFold, *, folder: Path) -> pl.DataFrame:
    """The rows of an outer fold: those that were there when its block ended.

    Where the last of them miss their targets, the fold's own test part ends before them, with the last target. The
    path of the run's data is relative to `folder`.
    """
    data, columns = experiment.data, prepared.panel.columns
    frame = read_frame(data.path, folder=folder, columns=columns.all, repeated=columns.repeated)
    return rows_until(frame, prepared.panel, fold.ends, where=data.path)


def announcement(experiment: Experiment) -> str:
    """How much longer a run takes for its nested estimate."""
    times, limit_s = 1 + experiment.validation.folds, experiment.search.time_limit
    limit = f", {times * limit_s:,.0f} s of searching at most" if limit_s else ""
    return f"The nested estimate repeats the whole search for each fold: expect up to {times} times the time{limit}."


def _score(session: Session, fold: OuterFold, run_fold: FoldRun, *, is_derived: bool) -> float | None:
    paths, block = session.paths.nested_fold(fold.number), session.prepared.task.split.block
    try:
        if not (paths.root / DATA).is_file():
            paths.logs.mkdir(parents=True, exist_ok=True)
            rows = fold_rows(session.experiment, session.prepared, fold, folder=session.paths.root)
            write_table(rows, paths.root / DATA)
        experiment = fold_experiment(session.experiment, fold, block=block, is_derived=is_derived)
        score = run_fold(experiment, paths)
    except DiskFullError:
        raise
    except LstmTuneError as error:
        session.record(Warned(f"The nested search of fold {fold.number} failed and does not count: {error}"))
        return None
    if score is None or math.isnan(score):
        session.record(Warned(f"The nested search of fold {fold.number} does not count: its block has no score."))
        return None
    return score
