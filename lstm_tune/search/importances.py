"""How much each hyperparameter mattered in a search."""

import warnings
from collections.abc import Iterable

import optuna

from lstm_tune.search.proposals import distributions
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.paths import RunPaths, write_json
from lstm_tune.spec.space import Space

FEWEST_TRIALS = 10
"""Complete trials below which an importance is noise."""

TOP_SHARE, FEWEST_AT_TOP = 0.1, 5
"""Share of the trials that count as the best, and how many should at least (Optuna's advice for PED-ANOVA)."""


def write_importances(paths: RunPaths, space: Space, records: Iterable[TrialRecord]) -> None:
    """Writes the importances of a search's hyperparameters beside its other files."""
    write_json(paths.importances, importances(space, records))


def importances(space: Space, records: Iterable[TrialRecord]) -> dict[str, float]:
    """Each searched hyperparameter's share of what separates the best trials from the rest, the largest first.

    Only complete trials count: a trial stopped early has a score of another epoch. A hyperparameter that is not always
    active is judged on the trials where it is.

    Args:
        space: what was searched.
        records: the trials.

    Returns:
        Shares that sum to one; empty with fewer than ten complete trials, or where nothing mattered.

    Source: Watanabe, Bansal and Hutter (2023), "PED-ANOVA: Efficiently Quantifying Hyperparameter Importance in
        Arbitrary Subspaces".
    """
    ends = [record.end for record in records if record.end and record.end.state == "complete"]
    if len(ends) < FEWEST_TRIALS:
        return {}
    study = optuna.create_study(direction="minimize")
    study.add_trials([_trial(end, space) for end in ends])
    share = max(TOP_SHARE, FEWEST_AT_TOP / len(ends))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials with equal scores; nothing mattered then, which is what comes out
        found = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=share).evaluate(study)
    total = sum(found.values())
    return {name: value / total for name, value in found.items()} if total > 0 else {}


def _trial(end: TrialEnded, space: Space) -> optuna.trial.FrozenTrial:
    of = distributions(space, end.hyperparameters)
    params = {name: end.hyperparameters[name] for name in of}
    return optuna.trial.create_trial(value=end.score, params=params, distributions=of)
