"""Which trial's configuration becomes the final model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_tune.selection.out_of_fold import Finish, Integers, OutOfFold
from lstm_tune.selection.records import TrialRecord
from lstm_tune.selection.rules import (
    DefaultTrial,
    Rule,
    Selected,
    best_mean,
    one_standard_error,
    one_standard_error_rule,
    smallest,
)
from lstm_tune.spec.errors import SearchFailedError, lookup
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


def candidates(records: Iterable[TrialRecord]) -> list[TrialEnded]:
    """The trials that may be chosen, the best fold mean first, the smaller of equals before the larger.

    They ran to their end and keep the constraints. Where none did, those that were stopped early; a failed trial never.

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
    return sorted(complete or allowed, key=lambda end: (end.score, end.parameters))


@dataclass(frozen=True)
class ChoiceRule:
    """How one of several trials is chosen.

    Attributes:
        select: (losses, parameters [N], finish, the default configuration's trial or None) -> the chosen row and why.
        resampled: likewise -> the same rule for many resamples of the losses at once.
    """

    select: Callable[[OutOfFold, Integers, Finish, DefaultTrial | None], Selected]
    resampled: Callable[[OutOfFold, Integers, Finish, DefaultTrial | None], Rule]


RULES: dict[str, ChoiceRule] = {
    "one-se": ChoiceRule(
        lambda losses, parameters, finish, defaults: one_standard_error(
            losses, parameters, finish=finish, defaults=defaults
        ),
        lambda losses, parameters, finish, defaults: one_standard_error_rule(
            losses, parameters, finish=finish, defaults=defaults
        ),
    ),
    "best": ChoiceRule(
        lambda losses, parameters, finish, defaults: best_mean(losses, finish=finish),
        lambda losses, parameters, finish, defaults: smallest,
    ),
}
"""Name to rule."""


def choose(
    ends: Sequence[TrialEnded],
    losses: OutOfFold,
    *,
    rule: str,
    finish: Finish,
    defaults: DefaultTrial | None = None,
) -> Choice:
    """The winner among candidates.

    Args:
        ends: candidates, the best first.
        losses: their out-of-fold losses; without a row for any of them the best fold mean wins.
        rule: a key of `RULES`.
        finish: what the metric does with a fold's ratio.
        defaults: the trial with the default configuration, if it is a candidate.
    """
    if not len(losses.trials):
        early = ", stopped early, as no trial ran to its end" if ends[0].state == "pruned" else ""
        return Choice(ends[0], f"the best fold mean{early}")
    chosen = lookup(RULES, rule, what="rule of choice", where="output.choice")
    selected = chosen.select(losses, parameters_of(losses, ends), finish, defaults)
    return Choice(next(end for end in ends if end.trial == selected.trial), selected.reason)


def parameters_of(losses: OutOfFold, ends: Sequence[TrialEnded]) -> Integers:
    """Free parameters of each of the losses' trials, int64 [N]."""
    parameters = {end.trial: end.parameters for end in ends}
    return np.array([parameters[trial] for trial in losses.trials.tolist()], dtype=np.int64)


def _nothing_scored(ends: list[TrialEnded]) -> str:
    if all(end.state == "pruned" for end in ends):
        return "No trial reported a score before the search ended. Give it more time: --set search.time_limit=..."
    failed = next(end for end in ends if end.state != "pruned")
    return f"None of {len(ends)} trials ended with a score that counts. The first failure: {failed.reason}"
