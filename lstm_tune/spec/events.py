"""What happens in a run, as values: the search emits them, `events.ndjson` keeps them, displays draw them.

The file is a run's only truth. Each line is one event: its kind, the seconds since the run began, and the fields.
"""

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import finite

TrialState = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True)
class RunStarted:
    """The search is about to begin.

    Attributes:
        name: the experiment's name.
        metric: what is optimised.
        direction: minimize or maximize.
        trials: the trial budget.
        time_limit_s: seconds the search may take, or None.
        slots: trials that run at once.
        max_epochs: epochs a trial may train.
        searched: hyperparameters with more than one value, in the order of the space.
        series: number of series.
        rows: number of rows.
        started_at: wall-clock time of the start, ISO 8601 with time zone.
        resumed: whether an earlier process began this run.
        directory: the run's, on the machine that drives it; empty in runs of earlier releases.
    """

    name: str
    metric: str
    direction: str
    trials: int
    time_limit_s: float | None
    slots: int
    max_epochs: int
    searched: list[str]
    series: int
    rows: int
    started_at: str
    resumed: bool = False
    directory: str = ""


@dataclass(frozen=True)
class ResourcesChosen:
    """It was settled what trials occupy.

    Attributes:
        kinds: slots of trials: cpus, gpus, accelerator_type, custom, and how many trials run in such slots at once.
        measured: how the largest network of the space trained: on (`GPU` or `cores`), accelerator_type, epoch_s,
            peak_mb, total_mb, place, and gain (what two trials on one GPU got done over one, or None).
        words: all that as a sentence.
    """

    kinds: list[dict[str, Any]]
    measured: list[dict[str, Any]]
    words: str


@dataclass(frozen=True)
class BaselineScored:
    """A simple forecast was scored on the trials' targets.

    Attributes:
        name: the baseline, such as `seasonal naive`.
        score: mean of the metric over the folds.
        standard_error: standard error of that mean; None with one fold.
    """

    name: str
    score: float
    standard_error: float | None


@dataclass(frozen=True)
class TrialStarted:
    """A trial was handed to a worker.

    Attributes:
        trial: its number, from 0.
        hyperparameters: the searched and fixed ones that are active.
        parameters: free parameters of its network.
    """

    trial: int
    hyperparameters: dict[str, Any]
    parameters: int


@dataclass(frozen=True)
class TrialReported:
    """A trial finished some epochs.

    Attributes:
        trial: its number.
        epoch: epochs trained so far.
        score: fold mean of the metric at this epoch.
        standard_error: over the folds; None with one fold.
        train_score: the metric on training targets, fold mean.
        best_score: best fold mean so far.
        best_epoch: the epoch of `best_score`.
        seconds: time the trial has trained so far.
        node: address of the host it runs on.
        curve: every epoch since the last report, as [epoch, score, train score].
    """

    trial: int
    epoch: int
    score: float
    standard_error: float | None
    train_score: float
    best_score: float
    best_epoch: int
    seconds: float
    node: str
    curve: list[list[float]] = field(default_factory=list)


@dataclass(frozen=True)
class TrialEnded:
    """A trial is over.

    Attributes:
        trial: its number.
        state: complete (ran to its end, or until a limit ended the search); pruned (stopped early); failed.
        reason: why it ended, in words.
        hyperparameters: the active ones at its end.
        parameters: free parameters of its network.
        score: best fold mean; None where none was reached.
        standard_error: over the folds, at the best epoch.
        fold_scores: the metric of each fold at the best epoch.
        train_score: the metric on training targets at the best epoch.
        gap: generalisation gap at the best epoch: validation over training metric, minus one.
        best_epoch: epoch of the score; 0 where none.
        epochs: epochs trained.
        seconds: time it trained.
        violations: constraints it breaks, in words.
    """

    trial: int
    state: TrialState
    reason: str
    hyperparameters: dict[str, Any]
    parameters: int
    score: float | None
    standard_error: float | None
    fold_scores: list[float]
    train_score: float | None
    gap: float | None
    best_epoch: int
    epochs: int
    seconds: float
    violations: list[str]


@dataclass(frozen=True)
class SearchEnded:
    """No further trial will run.

    Attributes:
        reason: why, in words.
        interrupted: whether the user stopped it, so that it can be resumed.
    """

    reason: str
    interrupted: bool


@dataclass(frozen=True)
class WinnerChosen:
    """One trial's configuration becomes the final model, or an ensemble of several.

    Attributes:
        trial: its number; of an ensemble the one with the largest weight.
        score: its validation score, or the ensemble's.
        reason: the rule that chose it.
        members: of an ensemble, the weight of each trial by its number (as text), the largest first; else empty.
    """

    trial: int
    score: float
    reason: str
    members: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What was chosen, in words: `trial 3`, or `an ensemble of trials 3 (50%), 7 (30%) and 12 (20%)`."""
        if not self.members:
            return f"trial {self.trial}"
        *others, last = [f"{trial} ({weight:.0%})" for trial, weight in self.members.items()]
        return f"an ensemble of trials {', '.join(others)} and {last}"


@dataclass(frozen=True)
class NestedReported:
    """The whole search is repeated before each fold's block.

    Attributes:
        done: how many repetitions are over.
        total: of how many.
        expected_s: seconds that the others should take.
    """

    done: int
    total: int
    expected_s: float


@dataclass(frozen=True)
class FinalistsReported:
    """The best trials are repeated with fresh seeds before one is chosen.

    Attributes:
        done: how many are.
        total: of how many.
    """

    done: int
    total: int


@dataclass(frozen=True)
class RefitReported:
    """Networks of the final model that are trained.

    Attributes:
        done: how many.
        total: of how many.
    """

    done: int
    total: int


@dataclass(frozen=True)
class TestScored:
    """The locked test part was opened.

    Attributes:
        metric: the metric.
        score: the final model's.
        baselines: each baseline's, by name.
        steps: steps of the test part a series.
        metrics: the final model's, by every metric that applies.
        low: lower end of the 80 % interval of the score; None where too few forecasts were judged.
        high: upper end.
    """

    metric: str
    score: float
    baselines: dict[str, float]
    steps: int
    metrics: dict[str, float] = field(default_factory=dict)
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class VerdictReached:
    """What the numbers add up to.

    Attributes:
        advice: use the LSTM, prefer the baseline, or not proven.
        sentences: why, one finding each, the advice first.
        baseline: the baseline that did best in validation.
        expected: error to expect on new data; None where it could not be estimated.
        low: lower end of its 80 % interval; None where there is none.
        high: upper end.
        naive: the winner's own validation score, which is too good.
        overfitting: probability of backtest overfitting; None where there are too few blocks.
        p_value: of the paired test against the baseline on the test part; None where it could not be made.
        test_low: lower end of the 80 % interval of the test score; None where there is none.
        test_high: upper end.
        interval_level: share of true values that the interval around a single forecast should hold.
        nested: mean score of searches that were repeated before each fold's block; None where there are none.
        nested_folds: the score of each of them.
    """

    advice: str
    sentences: list[str]
    baseline: str
    expected: float | None
    low: float | None
    high: float | None
    naive: float | None
    overfitting: float | None
    p_value: float | None
    test_low: float | None = None
    test_high: float | None = None
    interval_level: float | None = None
    nested: float | None = None
    nested_folds: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class BundleWritten:
    """The final model was exported.

    Attributes:
        path: its directory, relative to the run's.
    """

    path: str


@dataclass(frozen=True)
class ReportWritten:
    """The page about the run was written; told after its end, and not kept in its file.

    Attributes:
        path: the page.
    """

    path: str


@dataclass(frozen=True)
class Warned:
    """Something the user should know; the run goes on."""

    message: str


@dataclass(frozen=True)
class RunEnded:
    """The run is over.

    Attributes:
        state: done, failed or interrupted.
        message: what the user should know or do.
    """

    state: Literal["done", "failed", "interrupted"]
    message: str


Event = (
    RunStarted
    | ResourcesChosen
    | BaselineScored
    | TrialStarted
    | TrialReported
    | TrialEnded
    | SearchEnded
    | WinnerChosen
    | NestedReported
    | FinalistsReported
    | RefitReported
    | TestScored
    | VerdictReached
    | BundleWritten
    | ReportWritten
    | Warned
    | RunEnded
)

KINDS: dict[str, type[Event]] = {
    "run_started": RunStarted,
    "resources_chosen": ResourcesChosen,
    "baseline_scored": BaselineScored,
    "trial_started": TrialStarted,
    "trial_reported": TrialReported,
    "trial_ended": TrialEnded,
    "search_ended": SearchEnded,
    "winner_chosen": WinnerChosen,
    "nested_reported": NestedReported,
    "finalists_reported": FinalistsReported,
    "refit_reported": RefitReported,
    "test_scored": TestScored,
    "verdict_reached": VerdictReached,
    "bundle_written": BundleWritten,
    "report_written": ReportWritten,
    "warned": Warned,
    "run_ended": RunEnded,
}
_NAMES = {kind: name for name, kind in KINDS.items()}


@dataclass(frozen=True)
class Stamped:
    """An event and when it happened.

    Attributes:
        at_s: seconds the run had worked (pauses between a stop and its resumption do not count).
        event: what happened.
    """

    at_s: float
    event: Event

    def to_json(self) -> str:
        """The event as one line of JSON, without the line end; NaN and infinities become null."""
        fields = {"event": _NAMES[type(self.event)], "at_s": round(self.at_s, 3), **dataclasses.asdict(self.event)}
        return json.dumps(finite(fields), separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> "Stamped":
        """The event of a line; fields a later release added are left out.

        Raises:
            ValueError: the line is not an event.
        """
        fields = json.loads(line)
        if not isinstance(fields, dict) or fields.get("event") not in KINDS:
            raise ValueError(f"not an event: {line[:80]}")
        kind = KINDS[fields["event"]]
        known = {field.name for field in dataclasses.fields(kind)}
        return cls(float(fields["at_s"]), kind(**{name: value for name, value in fields.items() if name in known}))


def read_events(path: Path) -> Iterator[Stamped]:
    """The events of a file, in order.

    A last line that was cut by a crash is left out.

    Args:
        path: an `events.ndjson`.

    Raises:
        InputError: a line other than the last is not an event.
    """
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield Stamped.from_json(line.decode())
        except (ValueError, TypeError, KeyError):
            if number < len(lines):
                raise InputError.at(
                    f"{path}:{number}", "is not an event; the file was changed or damaged. Restore it, or run anew"
                ) from None
