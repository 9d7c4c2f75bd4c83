"""Ray Tune's searcher over the run's study: proposes, records, tells."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.tune.search import Searcher

from lstm_tune.search.stopping import StopRule
from lstm_tune.search.study import Proposal, Study
from lstm_tune.search.trainable import Report
from lstm_tune.spec.events import Event, TrialEnded, TrialReported, TrialStarted


class StudySearcher(Searcher):  # type: ignore[misc]
    """Hands configurations to Tune and turns its reports into events and tellings.

    Args:
        study: proposes and is told.
        record: takes events.
        stop: is asked before each proposal and hears of each end.
        budget: trials that may still be started.
        largest_live: trials that may run at once.
        log_failure: keeps the traceback of a failed trial (number, text).
        keep_losses: keeps the out-of-fold losses of a complete trial (number, float64 [2, B]).
        gap_at_most: constraint on the generalisation gap, or None.
    """

    def __init__(
        self,
        study: Study,
        record: Callable[[Event], None],
        stop: StopRule,
        *,
        budget: int,
        largest_live: int,
        log_failure: Callable[[int, str], None],
        keep_losses: Callable[[int, NDArray[np.float64]], None],
        gap_at_most: float | None = None,
    ) -> None:
        super().__init__(metric="best_score", mode="min")
        self._study = study
        self._record = record
        self._stop = stop
        self._budget = budget
        self._largest_live = largest_live
        self._log_failure = log_failure
        self._keep_losses = keep_losses
        self._gap_at_most = gap_at_most
        self._proposals: dict[str, Proposal] = {}
        self._last: dict[str, Report] = {}
        self._epochs: dict[str, int] = {}
        self.is_exhausted = False

    def suggest(self, trial_id: str) -> Any:
        """The configuration of the next trial, None for "ask later", or FINISHED."""
        if self._budget <= 0 or self._stop.reason or self.is_exhausted:
            return Searcher.FINISHED
        if len(self._proposals) >= self._largest_live:
            return None
        proposal = self._study.propose()
        if proposal is None:
            self.is_exhausted = True
            return Searcher.FINISHED
        self._budget -= 1
        self._proposals[trial_id] = proposal
        self._record(TrialStarted(proposal.trial, proposal.hyperparameters, proposal.parameters))
        return {"hyperparameters": proposal.hyperparameters}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """A running trial reported."""
        self._take(trial_id, result["report"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A trial ended by itself, was stopped by the scheduler, or its process died."""
        if trial_id not in self._proposals:
            return
        if error or result is None or "report" not in result:
            self._end(trial_id, "failed", "its worker process died; see logs/driver.log")
            return
        report: Report = result["report"]
        self._take(trial_id, report)
        if report.traceback:
            self._log_failure(self._proposals[trial_id].trial, report.traceback)
        if report.losses is not None:
            self._keep_losses(self._proposals[trial_id].trial, report.losses)
        self._end(trial_id, report.outcome or "pruned", report.reason or f"stopped early at epoch {report.epoch}")

    def close(self) -> None:
        """Settles the trials that the end of the search cut off; after an interruption they stay open and run again."""
        if not self._stop.interrupted:
            for trial_id in list(self._proposals):
                self._end(trial_id, "pruned", f"cut off: {self._stop.reason or 'the search ended'}")

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the run's events are the truth."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: a resumed run replays its events."""

    def _take(self, trial_id: str, report: Report) -> None:
        if report is self._last.get(trial_id) or report.best is None:
            return
        self._last[trial_id] = report
        number, before = self._proposals[trial_id].trial, self._epochs.get(trial_id, 0)
        if report.last is None or report.epoch <= before:  # population based training may go back to an earlier epoch
            return
        self._epochs[trial_id] = report.epoch
        self._study.report(number, report.epoch, report.last.score)
        self._record(
            TrialReported(
                trial=number,
                epoch=report.epoch,
                score=report.last.score,
                standard_error=report.last.standard_error,
                train_score=report.last.train_score,
                best_score=report.best.score,
                best_epoch=report.best.epoch,
                seconds=report.seconds,
                node=report.node,
                curve=[list(point) for point in report.curve if point[0] > before],
            )
        )

    def _end(self, trial_id: str, state: Any, reason: str) -> None:
        proposal, report = self._proposals.pop(trial_id), self._last.pop(trial_id, None)
        self._epochs.pop(trial_id, None)
        best = report.best if report else None
        gap = best.gap if best and math.isfinite(best.gap) else None
        hyperparameters = report.hyperparameters if report else proposal.hyperparameters
        is_proposed = hyperparameters == proposal.hyperparameters
        end = TrialEnded(
            trial=proposal.trial,
            state=state,
            reason=reason,
            hyperparameters=dict(hyperparameters),
            parameters=proposal.parameters if is_proposed else self._study.count_parameters(hyperparameters),
            score=best.score if best else None,
            standard_error=best.standard_error if best else None,
            fold_scores=list(best.fold_scores) if best else [],
            train_score=best.train_score if best else None,
            gap=gap,
            best_epoch=best.epoch if best else 0,
            epochs=report.epoch if report else 0,
            seconds=report.seconds if report else 0.0,
            violations=self._violations(gap),
        )
        self._record(end)
        self._study.tell(end)
        self._stop.saw(end)

    def _violations(self, gap: float | None) -> list[str]:
        limit = self._gap_at_most
        if limit is None or gap is None or not gap > limit:
            return []
        return [f"gap {gap:.2f} above {limit:g}"]
