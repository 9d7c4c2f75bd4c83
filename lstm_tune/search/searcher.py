"""Between the study and those who train: hands out trials, records what they report, tells how they ended."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lstm_tune.search.placement import Placement, Slot
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.study import Proposal, Study
from lstm_tune.search.worker import Order, Report
from lstm_tune.spec.events import Event, TrialEnded, TrialReported, TrialStarted, TrialState, Warned

DEATHS = 3
"""A trial's process may die this often. A node that is lost is bad luck; the second time a trial's process dies it gets
twice the share, as the kernel kills what takes too much memory without saying so."""


@dataclass
class Attempt:
    """A trial in a process.

    Attributes:
        proposal: its configuration.
        slot: what it occupies.
        kind: number of the placement's kind that it counts for.
        deaths: processes of it that died.
        is_enlarged: whether memory ran out and it was given more.
    """

    proposal: Proposal
    slot: Slot
    kind: int
    deaths: int = 0
    is_enlarged: bool = False

    @property
    def number(self) -> int:
        """The trial's."""
        return self.proposal.trial

    @property
    def order(self) -> Order:
        """What a worker is told."""
        return Order(self.number, self.proposal.hyperparameters, self.slot)


class StudySearcher:
    """Hands trials to those who train and turns their reports into events and tellings.

    A trial whose process dies, or that runs out of memory, goes on in another process: those who train take that for
    another attempt with another name, the study and the events do not.

    What cannot be written down, as on a full disk, ends the search; from then on nothing more is taken in.

    Args:
        study: proposes and is told.
        record: takes events.
        stop: is asked before each proposal and hears of each end.
        placement: where trials go.
        budget: trials that may still be started.
        largest_live: trials that may run at once.
        log_failure: keeps the traceback of a failed trial (number, text).
        keep_losses: keeps the out-of-fold losses of a complete trial (number, float64 [2, B]).
        forget: removes what a trial kept while it was under way (number).
        gap_at_most: constraint on the generalisation gap, or None.
    """

    def __init__(
        self,
        study: Study,
        record: Callable[[Event], None],
        stop: StopRule,
        *,
        placement: Placement,
        budget: int,
        largest_live: int,
        log_failure: Callable[[int, str], None],
        keep_losses: Callable[[int, NDArray[np.float64]], None],
        forget: Callable[[int], None],
        gap_at_most: float | None = None,
    ) -> None:
        self._study = study
        self._record = record
        self._stop = stop
        self._placement = placement
        self._budget = budget
        self._largest_live = largest_live
        self._log_failure = log_failure
        self._keep_losses = keep_losses
        self._forget = forget
        self._gap_at_most = gap_at_most
        self._live: dict[str, Attempt] = {}
        self._again: deque[Attempt] = deque()
        self._last: dict[int, Report] = {}
        self._epochs: dict[int, list[int]] = {}
        self.is_exhausted = False

    def suggest(self, name: str) -> Order | None:
        """The next trial, under the name of this attempt; None while there is none."""
        if self._stop.reason or len(self._live) >= self._largest_live:
            return None
        attempt = self._again.popleft() if self._again else self._first_attempt()
        if attempt is None:
            return None
        self._live[name] = attempt
        return attempt.order

    @property
    def is_finished(self) -> bool:
        """Whether no trial will come any more; one that runs may yet need another process."""
        if self._stop.reason:
            return True
        return not (self._live or self._again) and (self._budget <= 0 or self.is_exhausted)

    def reported(self, name: str, report: Report) -> None:
        """A trial goes on."""
        if not self._stop.failure:
            with self._remembered():
                self._take(self._live[name].proposal, report)

    def ended(self, name: str, report: Report) -> None:
        """A trial ended by itself, or was stopped early, with its last report."""
        attempt = self._live.pop(name, None)
        if attempt is not None and not self._stop.failure:
            with self._remembered():
                self._ended(attempt, report)

    def died(self, name: str) -> None:
        """The process of a trial is gone."""
        attempt = self._live.pop(name, None)
        if attempt is not None and not self._stop.failure:
            with self._remembered():
                self._died(attempt)

    def close(self) -> None:
        """Settles the trials that the end of the search cut off; after an interruption they stay open and run again."""
        if not self._stop.interrupted:
            for attempt in [*self._live.values(), *self._again]:
                self._end(attempt.proposal, "pruned", self._stop.cut_off)

    @contextmanager
    def _remembered(self) -> Iterator[None]:
        """Ends the search with what could not be written down, which is no error of the trial."""
        try:
            yield
        except Exception as error:
            self._stop.failure = error
            raise

    def _ended(self, attempt: Attempt, report: Report) -> None:
        self._take(attempt.proposal, report)
        if report.traceback:
            self._log_failure(attempt.number, report.traceback)
        if report.outcome == "out of memory":
            self._ran_out_of_memory(attempt, report.reason)
            return
        if report.losses is not None:
            self._keep_losses(attempt.number, report.losses)
        reason = report.reason or f"stopped early at epoch {report.epoch}"
        self._end(attempt.proposal, report.outcome or "pruned", reason)

    def _first_attempt(self) -> Attempt | None:
        """A new trial, in the kind of slot that has the most room; None when there is none left."""
        if self._budget <= 0 or self.is_exhausted:
            return None
        proposal = self._study.propose()
        if proposal is None:
            self.is_exhausted = True
            return None
        self._budget -= 1
        self._record(TrialStarted(proposal.trial, proposal.hyperparameters, proposal.parameters))
        taken = Counter(attempt.kind for attempt in self._live.values())
        kinds = self._placement.kinds
        kind = max(range(len(kinds)), key=lambda k: kinds[k][1] - taken[k])
        return Attempt(proposal, kinds[kind][0], kind)

    def _died(self, attempt: Attempt) -> None:
        """Another process for a trial that lost its own, unless that happens again and again."""
        attempt.deaths += 1
        if attempt.deaths >= DEATHS:
            self._end(attempt.proposal, "failed", f"its process died {attempt.deaths} times; see logs/driver.log")
            return
        larger = attempt.slot.doubled() if attempt.deaths == DEATHS - 1 else None
        attempt.slot = larger or attempt.slot
        share = f", with {larger}" if larger else ""
        self._record(Warned(f"The process of trial {attempt.number} died; the trial goes on in another{share}."))
        self._again.append(attempt)

    def _ran_out_of_memory(self, attempt: Attempt, reason: str) -> None:
        """Twice the share for a trial that needs more memory, once."""
        larger = None if attempt.is_enlarged else attempt.slot.doubled()
        if larger is None:
            self._end(attempt.proposal, "failed", f"out of memory with {attempt.slot}: {reason}")
            return
        attempt.slot, attempt.is_enlarged = larger, True
        self._record(Warned(f"Trial {attempt.number} ran out of memory and starts again, with {larger}."))
        self._again.append(attempt)

    def _take(self, proposal: Proposal, report: Report) -> None:
        number, last = proposal.trial, self._last.get(proposal.trial)
        if report is last:
            return
        if report.warning:
            self._record(Warned(f"Trial {number}: {report.warning}."))
        if report.best is None:
            return
        self._last[number] = report
        if report.last is None:
            return
        is_another = last is not None and report.hyperparameters != last.hyperparameters  # by population based training
        epochs = self._epochs.setdefault(number, [])
        told = epochs[-1] if epochs else 0
        if report.epoch <= told and not is_another:  # another process repeats what an earlier one has told
            return
        if report.epoch not in epochs:
            self._study.report(number, report.epoch, report.last.score)
        epochs.append(report.epoch)
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
                curve=[list(point) for point in report.curve if is_another or point[0] > told],
            )
        )

    def _end(self, proposal: Proposal, state: TrialState, reason: str) -> None:
        report = self._last.pop(proposal.trial, None)
        self._epochs.pop(proposal.trial, None)
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
        self._forget(proposal.trial)

    def _violations(self, gap: float | None) -> list[str]:
        limit = self._gap_at_most
        if limit is None or gap is None or not gap > limit:
            return []
        return [f"gap {gap:.2f} above {limit:g}"]
