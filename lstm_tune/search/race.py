"""Which of the first trials goes on, where one alone takes long: each comes to the first rung, then the best."""

from lstm_tune.search.schedulers import Schedule
from lstm_tune.search.stopping import StopRule
from lstm_tune.search.worker import Order, Report

Turn = tuple[int, float]
"""Sorts trials, the next one first."""

DEFAULTS_TURN, LAST_CHANCE, TO_THE_RUNG, BEYOND, NO_TURN = (0, 0.0), 1, (2, 0.0), 3, (4, 0.0)
"""The default configuration or another trial at the rung when time is short for it, a trial on its way to the rung, one
that is there, one in no race."""


class Race:
    """The order of trials that are trained one after the other, each by several workers.

    Turns change at the rungs of the schedule. One that has not come to the first goes first, so that rivals are
    compared early; of the others the one that was best there. But once the time that is left may not suffice for the
    default configuration and another, the default configuration goes first: without it nothing can be proven better.
    The other is the slowest that waits at a rung; if none does, a new one that is as slow to the first as any before.
    Nor does a trial at a rung wait for such a new one, once there may be no time for both.

    Source: the idea is that of successive halving (Jamieson & Talwalkar 2016), with turns in place of stopping.

    Args:
        schedule: has the rungs, and knows the default configuration.
        max_epochs: epochs of a trial at most.
        stop: has the time limit.
    """

    def __init__(self, schedule: Schedule, *, max_epochs: int, stop: StopRule) -> None:
        self._schedule = schedule
        self._max_epochs = max_epochs
        self._stop = stop
        self._since: dict[int, Report] = {}
        self._scores: dict[int, float] = {}
        self._needs_s: dict[int, float] = {}
        self._slowest_s = 0.0

    def comes_to_rung(self, order: Order, report: Report) -> bool:
        """Hears of a trial; whether it has just come to a rung, where another one may take its turn."""
        trial, best = order.trial, report.best
        if best is None:
            return False
        since = self._since.setdefault(trial, report)
        passed = since.epoch if trial in self._scores else 0
        if not any(passed < rung <= report.epoch for rung in self._schedule.rungs):
            return False
        if trial not in self._scores:
            self._scores[trial] = best.score
            self._slowest_s = max(self._slowest_s, report.seconds)
        self._needs_s[trial] = _pace(since, report) * (self._max_epochs - report.epoch)
        self._since[trial] = report
        return True

    def leaves(self, order: Order) -> None:
        """Hears of a trial that has ended, and takes no more time; with more memory it may begin again."""
        for known in (self._since, self._scores, self._needs_s):
            known.pop(order.trial, None)

    def turn(self, order: Order) -> Turn:
        """When it is a trial's turn."""
        if order.trial not in self._scores:
            return TO_THE_RUNG
        left_s, needs_s, score = self._stop.left_s, self._needs_s[order.trial], self._scores[order.trial]
        others_s = (other_s for other, other_s in self._needs_s.items() if other != order.trial)
        if self._schedule.spares(order.hyperparameters) and needs_s + max(others_s, default=self._slowest_s) > left_s:
            return DEFAULTS_TURN
        return LAST_CHANCE if needs_s + self._slowest_s > left_s else BEYOND, score


def _pace(since: Report, report: Report) -> float:
    """Seconds an epoch of a trial between two reports; they are the same at its first, which its start slowed down."""
    if report is since:
        return report.seconds / report.epoch
    return (report.seconds - since.seconds) / (report.epoch - since.epoch)
