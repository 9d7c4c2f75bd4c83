import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from search_setup import ends_of, go

from lstm_tune.bundle.predict import load
from lstm_tune.selection.ensemble import Mixture
from lstm_tune.selection.out_of_fold import from_table, scores
from lstm_tune.spec import events as kinds
from lstm_tune.spec.errors import DivergedError
from lstm_tune.spec.events import (
    Event,
    FinalistsReported,
    RefitReported,
    VerdictReached,
    Warned,
    WinnerChosen,
)
from lstm_tune.training.rescore import Rescored, rescore

pytestmark = pytest.mark.usefixtures("shared_ray")


def only(events: list[Event], kind: type[Event]) -> Event:
    (found,) = [event for event in events if isinstance(event, kind)]
    return found


def test_losses_of_complete_trials_give_their_scores_back(folder: Path) -> None:
    run, _, events = go(folder, search={"scheduler": "none"})
    kept = from_table(pl.read_parquet(run.paths.out_of_fold))
    ends = {end.trial: end for end in ends_of(events)}
    assert kept.trials.tolist() == sorted(ends)
    assert scores(kept, np.abs) == pytest.approx([ends[trial].score for trial in sorted(ends)])
    assert not run.paths.loss_parts.exists()


def test_finalists_are_repeated_as_far_as_half_the_epochs_of_the_search_go(folder: Path) -> None:
    _, _, events = go(folder, search={"scheduler": "none", "trials": 5}, output={"finalists": 3})
    repeated = [event for event in events if isinstance(event, FinalistsReported)]
    assert [(event.done, event.total) for event in repeated] == [(0, 2), (1, 2), (2, 2)]
    winner = only(events, WinnerChosen)
    assert isinstance(winner, WinnerChosen)
    best = min(ends_of(events), key=lambda end: end.score or np.inf)
    assert winner.trial in {0, best.trial}  # the default configuration is a finalist
    assert winner.reason.endswith("2 finalists were repeated with fresh seeds")


def test_one_finalist_is_chosen_as_it_is_and_repeated_afterwards(folder: Path) -> None:
    _, _, events = go(folder, search={"scheduler": "none"}, output={"finalists": 1, "choice": "best", "seeds": 2})
    winner = only(events, WinnerChosen)
    assert isinstance(winner, WinnerChosen)
    assert winner.score == min(end.score for end in ends_of(events) if end.score is not None)
    assert "repeated" not in winner.reason
    assert [event.done for event in events if isinstance(event, FinalistsReported)] == [0, 1]
    assert [event.done for event in events if isinstance(event, RefitReported)] == [0, 1, 2]


@pytest.mark.parametrize("is_cut_off", [True, False])
def test_repetition_is_no_longer_than_a_trial_that_was_cut_off(
    is_cut_off: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int] = []

    def counted(*args: Any, **options: Any) -> Rescored:
        told.append(options["max_epochs"])
        return rescore(*args, **options)

    monkeypatch.setattr("lstm_tune.search.finalists.rescore", counted)
    monkeypatch.setattr("lstm_tune.search.crew.Crew.of", lambda self, slot: [])  # this process trains
    training = {"max_epochs": 100_000, "patience_epochs": 100_000 if is_cut_off else 2}
    search = {"trials": 2, "time_limit": 8 if is_cut_off else None}
    _, outcome, events = go(folder, training=training, output={"finalists": 1}, search=search)
    (epochs,) = (end.epochs for end in ends_of(events) if end.trial == outcome.winner)
    assert told == [epochs if is_cut_off else 100_000]


@pytest.mark.parametrize("finalists", [1, 2])
def test_repetitions_that_diverge_are_told_and_the_run_goes_on(
    finalists: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverge(*args: object, **options: object) -> None:
        raise DivergedError("the training loss became nan within step 7")

    monkeypatch.setattr("lstm_tune.search.finalists.rescore", diverge)
    run, outcome, events = go(folder, search={"scheduler": "none"}, output={"finalists": finalists})
    assert outcome.bundle is not None
    assert load(outcome.bundle).bundle.intervals is None
    assert pl.read_parquet(run.paths.forecasts)["part"].unique().to_list() == ["test"]
    messages = [event.message for event in events if isinstance(event, Warned)]
    assert f"Trial {outcome.winner} diverged when it was repeated with a fresh seed" in messages[-1]


def test_forecasts_of_folds_and_test_part_are_kept(folder: Path) -> None:
    run, outcome, _ = go(folder, search={"scheduler": "none"})
    table = pl.read_parquet(run.paths.forecasts)
    parts = table["part"].unique(maintain_order=True).to_list()
    assert parts == ["fold 1", "fold 2", "test"]
    assert outcome.baselines is not None
    test = table.filter(pl.col("part") == "test")
    assert test["time"].to_list() == [57, 58, 59]
    assert (test["forecast"] - test["truth"]).abs().mean() == pytest.approx(outcome.test_score)
    assert (test["baseline"] - test["truth"]).abs().mean() in [pytest.approx(x) for x in outcome.baselines.values()]
    assert table["forecast"].null_count() == table["baseline"].null_count() == 0
    assert (table["low"] < table["forecast"]).all()
    assert (table["forecast"] < table["high"]).all()


def test_bundle_predicts_intervals_of_the_level_asked_for(folder: Path) -> None:
    _, outcome, _ = go(folder, search={"trials": 2}, output={"interval": 0.5})
    assert outcome.bundle is not None
    model = load(outcome.bundle)
    assert model.bundle.intervals is not None
    assert model.bundle.intervals.level == 0.5
    forecast = model.predict(pl.read_csv(folder / "sine.csv"))
    assert (forecast["y_low"] < forecast["y"]).all()
    assert (forecast["y"] < forecast["y_high"]).all()


def test_the_verdict_is_told_and_kept(folder: Path) -> None:
    run, outcome, events = go(folder)
    verdict = only(events, VerdictReached)
    assert isinstance(verdict, VerdictReached)
    kept = json.loads(run.paths.verdict.read_text())
    assert kept["sentences"] == verdict.sentences
    assert outcome.advice == verdict.advice == kept["advice"]
    assert verdict.low is not None
    assert verdict.high is not None
    assert verdict.low < kept["expected"] < verdict.high
    assert f"80 % interval {verdict.low:.4g} to {verdict.high:.4g}, approximate" in verdict.sentences[1]
    assert "(one forecast: no interval)" in verdict.sentences[2]
    assert (kept["test_low"], kept["test_high"], kept["interval_level"]) == (None, None, 0.8)
    assert "The interval around each forecast is meant to hold 80% of true values" in verdict.sentences[3]


def test_the_score_of_a_long_test_part_has_an_interval(folder: Path) -> None:
    run, outcome, events = go(folder, search={"trials": 2}, validation={"test": 30, "folds": 2, "block": 3})
    scored, kept = only(events, kinds.TestScored), json.loads(run.paths.verdict.read_text())
    assert isinstance(scored, kinds.TestScored)
    assert outcome.test_score is not None
    assert kept["test_low"] == scored.low < outcome.test_score < scored.high == kept["test_high"]


def test_without_a_test_part_nothing_is_said_of_one(folder: Path) -> None:
    run, outcome, events = go(folder, validation={"test": 0, "folds": 2})
    verdict = only(events, VerdictReached)
    assert isinstance(verdict, VerdictReached)
    assert outcome.test_score is None
    assert "No test part was kept" in " ".join(verdict.sentences)
    assert not run.paths.test_ledger.exists()


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every run ends with an ensemble of its two best finalists; the list holds them, the heavier first."""
    found: list[int] = []

    def mixture(forecasts: dict[int, object], *args: object, **options: object) -> Mixture:
        found[:] = list(forecasts)[:2]
        return Mixture(dict(zip(found, (0.75, 0.25), strict=True)), 0.01, 0.002, 0.0)

    monkeypatch.setattr("lstm_tune.search.together.proven_mixture", mixture)
    return found


def test_an_ensemble_is_trained_told_and_written(folder: Path, together: list[int]) -> None:
    space = {"units": [4, 8], "window": [4, 6, 9], "normalization": ["last", "mean"], "log_transform": [True, False]}
    run, outcome, events = go(
        folder, search={"scheduler": "none", "trials": 6}, space=space, output={"finalists": 3, "seeds": 3}
    )
    winner = only(events, WinnerChosen)
    assert isinstance(winner, WinnerChosen)
    assert winner.members == {str(together[0]): 0.75, str(together[1]): 0.25}
    assert winner.name == f"an ensemble of trials {together[0]} (75%) and {together[1]} (25%)"
    assert (outcome.winner, outcome.score) == (together[0], 0.01)
    assert outcome.bundle is not None
    model = load(outcome.bundle)
    assert [member.trial for member in model.bundle.members] == [together[0], together[0], together[1]]
    assert model.bundle.network.weights == (0.375, 0.375, 0.25)
    assert [event.done for event in events if isinstance(event, RefitReported)] == [0, 1, 2, 3]
    assert model.predict(pl.read_csv(folder / "sine.csv"))["y"].is_finite().all()
    assert "the ensemble's lead over that choice" in json.loads(run.paths.verdict.read_text())["sentences"][1]
    test = pl.read_parquet(run.paths.forecasts).filter(pl.col("part") == "test")
    assert (test["forecast"] - test["truth"]).abs().mean() == pytest.approx(outcome.test_score)


def test_an_ensemble_that_is_not_wanted_is_not_looked_for(folder: Path, together: list[int]) -> None:
    _, _, events = go(folder, search={"scheduler": "none"}, output={"ensemble": False})
    winner = only(events, WinnerChosen)
    assert isinstance(winner, WinnerChosen)
    assert not together
    assert not winner.members


def test_finalists_of_a_whole_run_are_compared_with_their_ensemble(folder: Path) -> None:
    """Nothing is replaced: whatever is chosen, weights and forecasts fit each other."""
    run, outcome, events = go(
        folder, search={"scheduler": "none", "trials": 6}, validation={"folds": 5}, output={"finalists": 3}
    )
    winner = only(events, WinnerChosen)
    assert isinstance(winner, WinnerChosen)
    assert not winner.members or sum(winner.members.values()) == pytest.approx(1)
    assert outcome.bundle is not None
    trials = {str(member.trial) for member in load(outcome.bundle).bundle.members}
    assert trials == (set(winner.members) or {str(winner.trial)})
    assert pl.read_parquet(run.paths.forecasts)["part"].n_unique() == 6
