"""The state of a run, folded from its events."""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, final

from lstm_tune.display.formats import finite
from lstm_tune.spec.clock import SearchClock
from lstm_tune.spec.events import (
    BaselineScored,
    BundleWritten,
    FinalistsReported,
    NestedReported,
    RefitReported,
    ReportWritten,
    ResourcesChosen,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TestScored,
    TrialEnded,
    TrialReported,
    TrialStarted,
    VerdictReached,
    Warned,
    WinnerChosen,
)

_Note = (
    SearchEnded
    | WinnerChosen
    | FinalistsReported
    | RefitReported
    | TestScored
    | VerdictReached
    | BundleWritten
    | ReportWritten
    | Warned
)

State = Literal["running", "interrupted", "complete", "pruned", "failed"]
Key = tuple[float, int, int]
"""Where a row stands: score (negated where more is better), 0 for a baseline or 1 for a trial, its number."""

_MOST_POINTS = 64


@dataclass(frozen=True)
class Curve:
    """The fold means of a trial's epochs, thinned to a bounded number of points.

    Attributes:
        points: fold means, oldest first; None where not finite; at most 64.
        stride: epochs between two points.
        reports: epochs seen.
    """

    points: tuple[float | None, ...] = ()
    stride: int = 1
    reports: int = 0

    def after(self, score: float | None) -> "Curve":
        """The curve with one more report; every second point goes when there are too many."""
        points = (*self.points, finite(score)) if self.reports % self.stride == 0 else self.points
        if len(points) <= _MOST_POINTS:
            return Curve(points, self.stride, self.reports + 1)
        return Curve(points[::2], self.stride * 2, self.reports + 1)


@dataclass(frozen=True)
class Trial:
    """What is known of one trial.

    Attributes:
        number: from 0.
        state: running; interrupted (its process ended before it did); complete; pruned; failed.
        hyperparameters: the active ones.
        parameters: free parameters of its network.
        started_at_s: when it began, in the run's seconds.
        report: the last one, or None before the first.
        curve: of the fold means.
        end: how it ended, or None.
    """

    number: int
    state: State
    hyperparameters: Mapping[str, Any]
    parameters: int
    started_at_s: float
    report: TrialReported | None = None
    curve: Curve = Curve()
    end: TrialEnded | None = None

    @property
    def score(self) -> float | None:
        """Its score where it ended, else its best fold mean so far; None where there is none."""
        if self.end is not None:
            return finite(self.end.score)
        return finite(self.report.best_score) if self.report is not None else None


@final
@dataclass(eq=False)
class Board:
    """The state of a run: fold its events in order, then draw it.

    Folding changes the board in place, since a copy an event would cost seconds at 5,000 trials. The lists of keys are
    always sorted, so the top rows are read without looking at the others.

    Attributes:
        header: the last start of the run, or None before it.
        at_s: time of the last event, in the run's seconds.
        resources: what trials occupy, or None before it is known.
        baselines: in the order they were scored; a key's number is the place in this list.
        trials: by number.
        running: numbers of the trials that run, oldest first.
        counts: ended trials by state.
        ranked: keys of complete trials that break no constraint, and of baselines; best first.
        violating: keys of complete trials that break a constraint; best first.
        pruned: keys of pruned trials; best first.
        first_trial_at_s: when the first trial began, or None.
        clock: the seconds of the search alone.
        last_failure: the last trial that failed, or None.
        search_end: why the search ended, or None while it goes on.
        winner: the chosen trial, or None.
        nested: repetitions of the whole search so far, or None.
        finalists: finalists repeated so far, or None.
        refit: networks of the final model trained so far, or None.
        test: scores on the test part, or None.
        verdict: what the numbers add up to, or None.
        bundle: directory of the exported model, or None.
        report_page: the page about the run, or None.
        warnings: all of them, oldest first.
        end: how the run ended, or None while it goes on.
    """

    header: RunStarted | None = None
    at_s: float = 0.0
    resources: ResourcesChosen | None = None
    baselines: list[BaselineScored] = field(default_factory=list)
    trials: dict[int, Trial] = field(default_factory=dict)
    running: dict[int, None] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=lambda: {"complete": 0, "pruned": 0, "failed": 0})
    ranked: list[Key] = field(default_factory=list)
    violating: list[Key] = field(default_factory=list)
    pruned: list[Key] = field(default_factory=list)
    first_trial_at_s: float | None = None
    clock: SearchClock = field(default_factory=SearchClock)
    last_failure: TrialEnded | None = None
    search_end: SearchEnded | None = None
    winner: WinnerChosen | None = None
    nested: NestedReported | None = None
    finalists: FinalistsReported | None = None
    refit: RefitReported | None = None
    test: TestScored | None = None
    verdict: VerdictReached | None = None
    bundle: str | None = None
    report_page: str | None = None
    warnings: list[str] = field(default_factory=list)
    end: RunEnded | None = None

    @property
    def finished(self) -> int:
        """Trials that ended, in whatever way."""
        return sum(self.counts.values())

    @property
    def maximizes(self) -> bool:
        """Whether a larger score is a better one."""
        return self.header is not None and self.header.direction == "maximize"

    @property
    def best(self) -> Trial | None:
        """The best complete trial that breaks no constraint, or None."""
        # baselines are few, so this looks at a handful of keys
        return next((self.trials[number] for _, is_trial, number in self.ranked if is_trial), None)

    def key(self, score: float | None, *, is_trial: bool, number: int) -> Key:
        """Where a score stands in the ranking; a missing one stands last, a baseline before an equal trial."""
        known = finite(score)
        value = float("inf") if known is None else (-known if self.maximizes else known)
        return (value, int(is_trial), number)

    def fold(self, stamped: Stamped) -> None:
        """Takes the next event.

        A second `RunStarted` is a resumption: trials that ran are interrupted, and what came after the search is
        forgotten until it is said again.

        Args:
            stamped: an event at least as late as the one before.
        """
        self.at_s = max(self.at_s, stamped.at_s)
        self.clock.hear(stamped)
        match stamped.event:
            case TrialReported() as event:
                self._report_trial(event, stamped.at_s)
            case TrialStarted() as event:
                self._start_trial(event, stamped.at_s)
            case TrialEnded() as event:
                self._end_trial(event, stamped.at_s)
            case NestedReported() as event:
                self.nested = event
            case BaselineScored() as event:
                self._add_baseline(event)
            case RunStarted() as event:
                self._begin(event)
            case ResourcesChosen() as event:
                self.resources = event
            case RunEnded() as event:
                self._finish(event)
            case event:
                self._note(event)

    def _note(self, event: _Note) -> None:
        match event:
            case SearchEnded():
                self.search_end = event
            case WinnerChosen():
                self.winner = event
            case FinalistsReported():
                self.finalists = event
            case RefitReported():
                self.refit = event
            case VerdictReached():
                self.verdict = event
            case TestScored():
                self.test = event
            case BundleWritten():
                self.bundle = event.path
            case ReportWritten():
                self.report_page = event.path
            case Warned():
                self.warnings.append(event.message)

    def _begin(self, event: RunStarted) -> None:
        self._interrupt()
        self.header = event
        self.search_end = self.nested = self.finalists = self.winner = self.refit = self.verdict = self.end = None

    def _finish(self, event: RunEnded) -> None:
        self._interrupt()
        self.end = event

    def _interrupt(self) -> None:
        for number in self.running:
            self.trials[number] = replace(self.trials[number], state="interrupted")
        self.running.clear()

    def _add_baseline(self, event: BaselineScored) -> None:
        names = [baseline.name for baseline in self.baselines]
        number = names.index(event.name) if event.name in names else len(names)
        if number < len(names):
            _discard(self.ranked, self.key(self.baselines[number].score, is_trial=False, number=number))
        self.baselines[number : number + 1] = [event]
        insort(self.ranked, self.key(event.score, is_trial=False, number=number))

    def _start_trial(self, event: TrialStarted, at_s: float) -> None:
        before = self.trials.get(event.trial)
        if before is not None:
            self._forget_end(before)
        fresh = Trial(event.trial, "running", event.hyperparameters, event.parameters, at_s)
        if before is not None and before.state == "interrupted":
            # it may go on from a checkpoint; if it does not, its next report shows that
            fresh = replace(fresh, report=before.report, curve=before.curve)
        self.trials[event.trial] = fresh
        self.running[event.trial] = None
        self.first_trial_at_s = at_s if self.first_trial_at_s is None else self.first_trial_at_s

    def _report_trial(self, event: TrialReported, at_s: float) -> None:
        trial = self.trials.get(event.trial) or Trial(event.trial, "running", {}, 0, at_s)
        if trial.end is not None:
            return
        # a trial that began again, after a crash or a resumption, draws a new curve
        restarted = trial.report is not None and event.epoch <= trial.report.epoch
        curve = Curve() if restarted else trial.curve
        for score in [point[1] for point in event.curve] or [event.score]:
            curve = curve.after(score)
        self.trials[event.trial] = replace(trial, state="running", report=event, curve=curve)
        self.running[event.trial] = None

    def _end_trial(self, event: TrialEnded, at_s: float) -> None:
        trial = self.trials.get(event.trial) or Trial(event.trial, "running", {}, 0, at_s)
        self._forget_end(trial)
        self.running.pop(event.trial, None)
        ended = replace(
            trial,
            state=event.state,
            hyperparameters=event.hyperparameters,
            parameters=event.parameters,
            end=event,
        )
        self.trials[event.trial] = ended
        self.counts[event.state] += 1
        self.last_failure = event if event.state == "failed" else self.last_failure
        if (ranking := self._ranking(event)) is not None:
            insort(ranking, self.key(event.score, is_trial=True, number=event.trial))

    def _forget_end(self, trial: Trial) -> None:
        if trial.end is None:
            return
        self.counts[trial.end.state] -= 1
        if (ranking := self._ranking(trial.end)) is not None:
            _discard(ranking, self.key(trial.end.score, is_trial=True, number=trial.number))

    def _ranking(self, end: TrialEnded) -> list[Key] | None:
        if end.state == "failed" or finite(end.score) is None:
            return None
        if end.state == "pruned":
            return self.pruned
        return self.violating if end.violations else self.ranked


def _discard(keys: list[Key], key: Key) -> None:
    place = bisect_left(keys, key)
    if place < len(keys) and keys[place] == key:
        del keys[place]
