import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState
from search_setup import ended

from lstm_tune.search.study import Proposal, Study
from lstm_tune.selection.records import TrialRecord
from lstm_tune.spec.events import TrialEnded
from lstm_tune.spec.space import Choice, Condition, Dimension, Fixed, Range

SPACE: dict[str, Dimension] = {"units": Range(4, 64), "dropout": Range(0.0, 0.5), "window": Fixed(6)}
SMALL: dict[str, Dimension] = {"units": Choice((4, 8)), "depth": Choice((1, 2)), "window": Fixed(6)}


def parameters(hyperparameters: Mapping[str, Any]) -> int:
    return 10 * int(hyperparameters["units"])


def new_study(folder: Path, space: dict[str, Dimension] = SPACE, sampler: str = "random", **options: Any) -> Study:
    return Study(
        folder / "study.journal",
        name="s",
        space=space,
        sampler=sampler,
        seed=0,
        **{"count_parameters": parameters, **options},
    )


def journal(folder: Path) -> list[FrozenTrial]:
    """What anyone finds in the journal, `optuna-dashboard` among them."""
    with warnings.catch_warnings(action="ignore", category=optuna.exceptions.ExperimentalWarning):
        storage = JournalStorage(JournalFileBackend(str(folder / "study.journal")))
    return optuna.load_study(study_name="s", storage=storage).get_trials()


def propose(study: Study) -> Proposal:
    proposal = study.propose()
    assert proposal is not None
    return proposal


def exhaust(study: Study) -> list[Proposal]:
    proposals = []
    while proposal := study.propose():
        proposals.append(proposal)
        study.tell(ended(proposal.trial, score=float(proposal.trial)))
    return proposals


def record(trial: int, end: TrialEnded | None = None, **hyperparameters: Any) -> TrialRecord:
    return TrialRecord(trial, {**hyperparameters, "window": 6}, 100, reports={1: 0.9}, end=end)


def test_complete_trial_is_told_with_its_best_fold_mean(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    number = propose(study).trial
    study.report(number, 1, 0.4)
    study.report(number, 2, 0.7)
    study.tell(ended(number, score=0.4))
    (found,) = journal(tmp_path)
    assert (found.state, found.value) == (TrialState.COMPLETE, 0.4)
    assert found.user_attrs["standard_error"] == 0.1


def test_trial_stopped_early_is_told_as_pruned_with_its_reports(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    number = propose(study).trial
    study.report(number, 1, 0.9)
    study.report(number, 3, 0.8)
    study.tell(ended(number, "pruned", 0.8))
    (found,) = journal(tmp_path)
    assert (found.state, found.intermediate_values) == (TrialState.PRUNED, {1: 0.9, 3: 0.8})


def test_failed_trial_is_told_as_failed(tmp_path: Path) -> None:
    study = new_study(tmp_path)
    study.tell(ended(propose(study).trial, "failed", None, gap=None))
    (found,) = journal(tmp_path)
    assert (found.state, found.value) == (TrialState.FAIL, None)


def test_small_space_is_proposed_once_and_then_exhausted(tmp_path: Path) -> None:
    proposals = exhaust(new_study(tmp_path, SMALL))
    found = [(one.hyperparameters["units"], one.hyperparameters["depth"]) for one in proposals]
    assert sorted(found) == [(4, 1), (4, 2), (8, 1), (8, 2)]


def test_journal_holds_the_trials_that_ran_and_no_duplicates(tmp_path: Path) -> None:
    proposals = exhaust(new_study(tmp_path, SMALL))
    assert [one.trial for one in proposals] == [trial.number for trial in journal(tmp_path)] == [0, 1, 2, 3]


def test_running_configuration_is_not_proposed_again(tmp_path: Path) -> None:
    study = new_study(tmp_path, {"units": Choice((4, 8))})
    running = {propose(study).hyperparameters["units"], propose(study).hyperparameters["units"]}
    assert running == {4, 8}
    assert study.propose() is None


def test_too_large_network_is_never_proposed(tmp_path: Path) -> None:
    study = new_study(tmp_path, SMALL, parameters_at_most=50)
    assert [one.parameters for one in exhaust(study)] == [40, 40]
    assert [trial.params["units"] for trial in journal(tmp_path)] == [4, 4]


def test_too_large_network_is_infeasible_for_the_sampler(tmp_path: Path) -> None:
    study = new_study(tmp_path, SMALL, parameters_at_most=50)
    exhaust(study)
    rejected = [trial for trial in study._model._study.get_trials() if trial.constraints]
    assert {trial.params["units"] for trial in rejected} == {8}
    assert all(trial.constraints == {"parameters": 30.0} for trial in rejected)


def test_gap_above_its_bound_is_infeasible(tmp_path: Path) -> None:
    study = new_study(tmp_path, gap_at_most=0.5)
    for gap in (0.75, 0.25, None):
        study.tell(ended(propose(study).trial, gap=gap))
    assert [trial.constraints for trial in journal(tmp_path)] == [{"gap": 0.25}, {"gap": -0.25}, {}]


def test_switched_off_hyperparameters_are_absent(tmp_path: Path) -> None:
    above = (Condition("units", "above", 16),)
    space: dict[str, Dimension] = {"units": Choice((8, 32)), "dropout": Choice((0.1, 0.2), when=above)}
    proposals = exhaust(new_study(tmp_path, space))
    assert sorted(tuple(one.hyperparameters.items()) for one in proposals) == [
        (("units", 8),),
        (("units", 32), ("dropout", 0.1)),
        (("units", 32), ("dropout", 0.2)),
    ]


def test_grid_proposes_every_configuration_once(tmp_path: Path) -> None:
    proposals = exhaust(new_study(tmp_path, SMALL, "grid"))
    found = [(one.hyperparameters["units"], one.hyperparameters["depth"]) for one in proposals]
    assert found == [(4, 1), (4, 2), (8, 1), (8, 2)]
    assert len(journal(tmp_path)) == 4


@pytest.mark.parametrize("sampler", ["grid", "random"])
def test_small_space_is_searched_past_its_infeasible_part(
    sampler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.search.study.REJECTIONS", 3)
    space: dict[str, Dimension] = {"units": Range(1, 30)}
    study = new_study(tmp_path, space, sampler, parameters_at_most=15)
    assert [one.hyperparameters["units"] for one in exhaust(study)] == [1]


def test_resumed_grid_skips_what_is_finished(tmp_path: Path) -> None:
    records = {0: record(0, ended(0), units=4, depth=1), 1: record(1, units=4, depth=2)}
    study = new_study(tmp_path, SMALL, "grid", records=records)
    assert [one.trial for one in exhaust(study)] == [1, 2, 3]
    assert len(journal(tmp_path)) == 4


def test_warm_start_configurations_come_first(tmp_path: Path) -> None:
    first = [{"units": 16, "dropout": 0.1}, {"units": 1000, "dropout": 0.2}]
    study = new_study(tmp_path, first=first)
    assert propose(study).hyperparameters == {"units": 16, "dropout": 0.1, "window": 6}
    assert propose(study).hyperparameters == {"units": 64, "dropout": 0.2, "window": 6}


def test_resumed_study_holds_the_earlier_trials_under_their_numbers(tmp_path: Path) -> None:
    records = {
        0: record(0, ended(0, score=0.5), units=4, dropout=0.1),
        2: record(2, ended(2, "pruned", 0.9), units=5, dropout=0.2),
        3: record(3, ended(3, "failed", None), units=6, dropout=0.3),
    }
    new_study(tmp_path, records=records)
    found = journal(tmp_path)
    assert [trial.state.name for trial in found] == ["COMPLETE", "FAIL", "PRUNED", "FAIL"]
    assert found[0].value == 0.5
    assert found[2].intermediate_values == {1: 0.9}
    assert found[3].params == {"units": 6, "dropout": 0.3}


def test_resumed_study_remembers_what_was_infeasible(tmp_path: Path) -> None:
    records = {0: record(0, ended(0, gap=0.9), units=4, dropout=0.1)}
    new_study(tmp_path, records=records, gap_at_most=0.5)
    assert journal(tmp_path)[0].constraints == {"gap": pytest.approx(0.4)}


def test_resumed_study_does_not_propose_finished_configurations(tmp_path: Path) -> None:
    records = {0: record(0, ended(0), units=4, depth=1), 1: record(1, ended(1, "failed", None), units=8, depth=2)}
    proposals = exhaust(new_study(tmp_path, SMALL, records=records))
    found = [(one.hyperparameters["units"], one.hyperparameters["depth"]) for one in proposals]
    assert sorted(found) == [(4, 2), (8, 1)]


def test_interrupted_trials_come_first_again_under_their_numbers(tmp_path: Path) -> None:
    records = {
        0: record(0, units=4, dropout=0.1),
        1: record(1, ended(1), units=5, dropout=0.2),
        2: record(2, units=6, dropout=0.3),
    }
    study = new_study(tmp_path, records=records, first=[{"units": 32, "dropout": 0.4}])
    proposals = [propose(study) for _ in range(4)]
    assert [one.trial for one in proposals] == [0, 2, 3, 4]
    assert [one.hyperparameters["units"] for one in proposals[:3]] == [4, 6, 32]
    assert proposals[0].hyperparameters == {"units": 4, "dropout": 0.1, "window": 6}


def test_lock_that_a_killed_process_left_does_not_block(tmp_path: Path) -> None:
    (tmp_path / "study.journal.lock").symlink_to(tmp_path / "study.journal")
    assert new_study(tmp_path).propose() is not None
