"""Which trial's configuration becomes the final model."""

from collections.abc import Iterable
from dataclasses import dataclass

from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.errors import SearchFailedError
from lstm_tune.spec.events import TrialEnded


@dataclass(frozen=True)
class Choice:
    """The winner.

    Attributes:
        end: how its trial ended.
        reason: the rule that chose it, in words.
    """

    end: TrialEnded
    reason: str


def choose(records: Iterable[TrialRecord]) -> Choice:
    """The trial with the best fold mean among those that ran to their end and keep the constraints.

    Where none did, the best of those that were stopped early; a failed trial never.

    Raises:
        SearchFailedError: no trial has a score, or none keeps the constraints.
    """
    ends = [record.end for record in records if record.end is not None]
    scored = [end for end in ends if end.score is not None and end.state != "failed"]
    allowed = [end for end in scored if not end.violations]
    if not scored:
        raise SearchFailedError(_nothing_scored(ends))
    if not allowed:
        kinds = sorted({violation for end in scored for violation in end.violations})
        raise SearchFailedError(
            f"No trial keeps the constraints ({'; '.join(kinds[:3])}). Loosen constraints: in the file"
        )
    complete = [end for end in allowed if end.state == "complete"]
    best = min(complete or allowed, key=lambda end: (end.score, end.parameters))
    rule = "best fold mean" if complete else "best fold mean of the trials stopped early, as none ran to its end"
    return Choice(best, rule)


def _nothing_scored(ends: list[TrialEnded]) -> str:
    if all(end.state == "pruned" for end in ends):
        return "No trial reported a score before the search ended. Give it more time: --set search.time_limit=..."
    return f"None of {len(ends)} trials reached a score. The first one's reason: {ends[0].reason}"
