"""What a run's files hold, as one value. A file that is missing, or that nobody can read, is left out."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from lstm_tune.selection.records import TrialRecord, trial_records
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import (
    BaselineScored,
    Event,
    RunEnded,
    RunStarted,
    SearchEnded,
    TestScored,
    TrialEnded,
    VerdictReached,
    Warned,
    WinnerChosen,
    read_events,
)
from lstm_tune.spec.paths import RunPaths
from lstm_tune.spec.space import Space, parse_space

FORECAST_COLUMNS = (
    "part",
    "series",
    "origin",
    "time",
    "step",
    "target",
    "truth",
    "forecast",
    "low",
    "high",
    "baseline",
)
"""What a table of forecasts must have."""


@dataclass
class Story:
    """What the events tell beside the trials; a resumed run forgets how it had ended before.

    Attributes:
        start: the latest start; None before the run began.
        baselines: name to its validation score.
        search_end: why the search ended; None while it runs.
        winner: the chosen trial.
        test: scores on the locked part.
        verdict: the end in words and numbers.
        end: how the run ended; None while it runs.
        warnings: what the user should know.
    """

    start: RunStarted | None = None
    baselines: dict[str, BaselineScored] = field(default_factory=dict)
    search_end: SearchEnded | None = None
    winner: WinnerChosen | None = None
    test: TestScored | None = None
    verdict: VerdictReached | None = None
    end: RunEnded | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class RunFacts:
    """Everything the report is made of.

    Attributes:
        name: the experiment's.
        story: what the events tell beside the trials.
        records: every trial, by number.
        worked_s: seconds the run has worked.
        experiment: the resolved experiment, as it was parsed from YAML.
        experiment_text: the same as text.
        space: what was searched; empty where this release cannot read it.
        manifest: versions, seeds, data and folds.
        ledger: looks at the test part.
        importances: hyperparameter to its share.
        forecasts: one row a forecast step; None where the run keeps none.
        interval_level: share of the truth that an interval should hold; None where it is unknown.
    """

    name: str
    story: Story
    records: dict[int, TrialRecord]
    worked_s: float
    experiment: Mapping[str, Any]
    experiment_text: str
    space: Space
    manifest: Mapping[str, Any]
    ledger: list[dict[str, Any]]
    importances: dict[str, float]
    forecasts: pl.DataFrame | None
    interval_level: float | None

    @property
    def metric(self) -> str:
        """The name of what is optimised."""
        return self.story.start.metric if self.story.start else "score"

    @property
    def searched(self) -> list[str]:
        """Hyperparameters with more than one value."""
        return list(self.story.start.searched) if self.story.start else []

    @property
    def scored(self) -> list[TrialEnded]:
        """Ended trials with a score, in the order of their numbers."""
        ends = (record.end for _, record in sorted(self.records.items()) if record.end)
        return [end for end in ends if end.score is not None and end.state != "failed"]

    @property
    def ranked(self) -> list[TrialEnded]:
        """The same, the best first: complete ones that keep the constraints, other complete ones, then the rest."""
        return sorted(
            self.scored, key=lambda end: (end.state != "complete", bool(end.violations), end.score, end.parameters)
        )

    @property
    def complete(self) -> list[TrialEnded]:
        """Trials that ran to their end and keep the constraints, the best first."""
        return [end for end in self.ranked if end.state == "complete" and not end.violations]

    @property
    def best_baseline(self) -> BaselineScored | None:
        """The baseline that did best in validation."""
        return min(self.story.baselines.values(), key=lambda baseline: baseline.score, default=None)

    @property
    def leader(self) -> int | None:
        """Number of the winner or, before there is one, of the best trial."""
        if self.story.winner:
            return self.story.winner.trial
        return self.ranked[0].trial if self.ranked else None


def read_facts(paths: RunPaths) -> RunFacts:
    """Everything a run's files hold, whatever state the run is in.

    Raises:
        InputError: the events are damaged.
    """
    events = list(read_events(paths.events))
    text = paths.experiment.read_text(encoding="utf-8")
    experiment = _parsed(text, path=paths.experiment)
    story = _story(stamped.event for stamped in events)
    return RunFacts(
        name=story.start.name if story.start else str(experiment.get("name", paths.root.name)),
        story=story,
        records=trial_records(events),
        worked_s=events[-1].at_s if events else 0.0,
        experiment=experiment,
        experiment_text=text,
        space=parse_space(experiment.get("space") or {}, task="forecast")[0],
        manifest=_json(paths.manifest, {}),
        ledger=_json(paths.test_ledger, []),
        importances=_json(paths.importances, {}),
        forecasts=_forecasts(paths.forecasts),
        interval_level=_json(paths.verdict, {}).get("interval_level"),
    )


def _parsed(text: str, *, path: Path) -> Mapping[str, Any]:
    try:
        parsed = yaml.safe_load(text)
    except yaml.YAMLError:
        parsed = None
    if not isinstance(parsed, Mapping):
        raise InputError.at(str(path), "is not YAML; the file was changed or damaged. Restore it, or run anew")
    return parsed


def _story(events: Iterable[Event]) -> Story:
    story = Story()
    for event in events:
        match event:
            case RunStarted():
                story = Story(event, story.baselines, warnings=story.warnings)
            case BaselineScored():
                story.baselines[event.name] = event
            case SearchEnded():
                story.search_end = event
            case WinnerChosen():
                story.winner = event
            case TestScored():
                story.test = event
            case VerdictReached():
                story.verdict = event
            case RunEnded():
                story.end = event
            case Warned(message):
                story.warnings.append(message)
            case _:
                pass
    return story


def _json(path: Path, missing: Any) -> Any:
    """A file's value, or `missing` where there is no file or one of another kind."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return missing
    return value if isinstance(value, type(missing)) else missing


def _forecasts(path: Path) -> pl.DataFrame | None:
    try:
        table = pl.read_parquet(path)
    except (OSError, pl.exceptions.PolarsError):
        return None
    return table.select(FORECAST_COLUMNS) if set(FORECAST_COLUMNS) <= set(table.columns) and table.height else None
