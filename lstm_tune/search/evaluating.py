"""A finished run looked at again: on its own test part, or on rows that came later. Needs neither Ray nor Optuna."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from lstm_tune.bundle.files import Bundle, read_bundle
from lstm_tune.data.building import build_panel
from lstm_tune.data.folds import Fold, Split
from lstm_tune.data.panel import Panel
from lstm_tune.data.reading import file_hash, read_frame
from lstm_tune.data.sequences import prepare
from lstm_tune.selection.evaluation import Claim, Evaluation, evaluate, sentences
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import BaselineScored, read_events
from lstm_tune.spec.experiment import Experiment
from lstm_tune.spec.ledger import Look, Part, later_look, write_look
from lstm_tune.spec.loading import load_experiment
from lstm_tune.spec.paths import RunPaths
from lstm_tune.tasks.assembly import assemble
from lstm_tune.tasks.baselines import QUICK, STATISTICAL
from lstm_tune.tasks.forecast import ForecastTask
from lstm_tune.tasks.newer import newer_steps, with_history
from lstm_tune.tasks.statistical import is_installed, load


@dataclass(frozen=True)
class Looked:
    """A look that was taken and written down.

    Attributes:
        evaluation: the scores.
        look: its number among the looks at the same part, from 1.
        sentences: what they say, the warning of a later look first.
    """

    evaluation: Evaluation
    look: int
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class _Question:
    """What is to be scored.

    Attributes:
        part: which part it is.
        panel: the rows.
        task: its `split.test` is judged.
        remarks: what was left out.
        data: what the rows were, for the ledger; None for the run's own.
    """

    part: Part
    panel: Panel
    task: ForecastTask
    remarks: tuple[str, ...] = ()
    data: Mapping[str, Any] | None = None


def look_at(paths: RunPaths, data: str | None) -> Looked:
    """Scores a run's bundle and writes the look into the ledger before anyone hears of it.

    Args:
        paths: the run's files.
        data: path or address of a table with newer rows; None for the run's own test part.

    Raises:
        InputError: there is no test part, the run's data changed, or the table holds no newer rows.
        BundleError: the run has no readable bundle.
    """
    bundle, experiment = read_bundle(paths.root), load_experiment(paths.experiment)
    manifest = json.loads(paths.manifest.read_text(encoding="utf-8"))
    is_unchanged = _is_unchanged(experiment, manifest, paths)
    if data is None:
        question = _own_test(experiment, paths, is_unchanged=is_unchanged)
    else:
        question = _new_data(experiment, paths, bundle, data, is_unchanged=is_unchanged)
    claim = _claim(paths)
    evaluation = evaluate(
        bundle,
        question.task,
        part=question.part,
        baselines=_baselines(paths),
        claim=claim,
        seed=experiment.search.seed,
        span=_span(question.panel, question.task.split.test),
    )
    number = write_look(paths, _look(evaluation, question.data))
    warning = later_look(number) if question.part == "test" else None
    told = [*([warning] if warning else []), *sentences(evaluation), *question.remarks]
    return Looked(evaluation, number, tuple(told))


def _own_test(experiment: Experiment, paths: RunPaths, *, is_unchanged: bool) -> _Question:
    if not experiment.test_steps:
        problem = "kept no test part (validation.test is 0). Score newer rows instead"
        raise InputError.at(str(paths.root), f"{problem}: lstm-tune evaluate {paths.root} DATA")
    if not is_unchanged:
        problem = "has changed since the run, or is gone, so its test part is not what it was. Restore it, or score"
        raise InputError.at(experiment.data.path, f"{problem} newer rows: lstm-tune evaluate {paths.root} DATA")
    prepared = assemble(experiment, folder=paths.root)
    return _Question("test", prepared.panel, prepared.task)


def _new_data(experiment: Experiment, paths: RunPaths, bundle: Bundle, data: str, *, is_unchanged: bool) -> _Question:
    """The newer rows of a table; where the run's own table still lies there, it gives the history they lack."""
    preprocessing = bundle.preprocessing
    columns = preprocessing.columns
    frame = read_frame(data, folder=None, columns=columns.all, repeated=columns.repeated)
    rows = frame.height
    if is_unchanged:
        earlier = read_frame(experiment.data.path, folder=paths.root, columns=columns.all, repeated=columns.repeated)
        frame = with_history(frame, earlier, columns)
    panel = build_panel(
        frame,
        columns,
        missing=preprocessing.missing,
        frequency=preprocessing.frequency.every,
        where=data,
        model_features=(*preprocessing.past, *preprocessing.known, *preprocessing.static),
    )
    newer = newer_steps(panel, pl.read_parquet(paths.series), where=data)
    split = Split((), newer.fold, block=int((newer.fold.ends - newer.fold.starts).max()))
    sequences = prepare(panel, missing=preprocessing.missing)
    task = ForecastTask(sequences, split, bundle.design, experiment.search.metric)
    whole = data if "://" in data else str(Path(data).absolute())
    read = {"path": whole, "sha256": file_hash(data, folder=None), "series": newer.fold.series, "rows": rows}
    return _Question("new data", panel, task, newer.remarks, read)


def _is_unchanged(experiment: Experiment, manifest: Mapping[str, Any], paths: RunPaths) -> bool:
    """Whether the run's data is still what the run began with."""
    try:
        return bool(file_hash(experiment.data.path, folder=paths.root) == manifest["data"]["sha256"])
    except InputError:
        return False


def _claim(paths: RunPaths) -> Claim:
    verdict = json.loads(paths.verdict.read_text(encoding="utf-8"))
    return Claim(verdict["expected"], verdict["low"], verdict["high"], verdict["baseline"])


def _baselines(paths: RunPaths) -> list[str]:
    """The baselines that the run scored, as far as they can be scored here."""
    events = (stamped.event for stamped in read_events(paths.events))
    names = dict.fromkeys(event.name for event in events if isinstance(event, BaselineScored))
    if STATISTICAL.keys() & names and is_installed():
        load()
        return list(names)
    return [name for name in names if name in QUICK]


def _span(panel: Panel, fold: Fold) -> tuple[str, str]:
    """The first and the last time of a fold's block, over all series."""
    judged = np.flatnonzero(fold.ends > fold.starts)
    rows = panel.starts[judged]
    firsts, lasts = panel.times.gather(rows + fold.starts[judged]), panel.times.gather(rows + fold.ends[judged] - 1)
    return str(firsts.min()), str(lasts.max())


def _look(evaluation: Evaluation, data: Mapping[str, Any] | None) -> Look:
    metric = evaluation.metric
    baselines = {name: scores[metric] for name, scores in evaluation.baselines.items()}
    return Look("evaluate", evaluation.part, metric, evaluation.metrics, baselines, data)
