"""What became of each trial, read from the events."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from lstm_tune.spec.events import Stamped, TrialEnded, TrialReported, TrialStarted


@dataclass
class TrialRecord:
    """One trial's story.

    Attributes:
        trial: its number.
        hyperparameters: the active ones.
        parameters: free parameters of its network.
        reports: the fold mean at each reported epoch, in order.
        curve: [epoch, score, train score] of every epoch.
        end: how it ended; None while it runs or when it was interrupted.
    """

    trial: int
    hyperparameters: dict[str, Any]
    parameters: int
    reports: dict[int, float] = field(default_factory=dict)
    curve: list[list[float]] = field(default_factory=list)
    end: TrialEnded | None = None

    def add(self, curve: list[list[float]]) -> None:
        """Further epochs; where a trial went back to an earlier epoch, they take the place of those it had."""
        first = curve[0][0] if curve else math.inf
        while self.curve and self.curve[-1][0] >= first:
            self.curve.pop()
        self.curve += curve


def trial_records(events: Iterable[Stamped]) -> dict[int, TrialRecord]:
    """Every trial of a run, by number; one that was started again after an interruption tells its last story only."""
    records: dict[int, TrialRecord] = {}
    for stamped in events:
        match stamped.event:
            case TrialStarted(trial, hyperparameters, parameters):
                records[trial] = TrialRecord(trial, hyperparameters, parameters)
            case TrialReported() as report:
                records[report.trial].reports[report.epoch] = report.score
                records[report.trial].add(report.curve)
            case TrialEnded() as end:
                records[end.trial].end = end
                records[end.trial].hyperparameters = end.hyperparameters
            case _:
                pass
    return records
