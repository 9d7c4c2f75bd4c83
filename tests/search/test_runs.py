import json
import shutil
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import polars as pl
import pytest
import ray
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from search_setup import LEARNING_RATES, RAW, curve, ends_of, events_of, go, new_run, write_sine

from lstm_tune.bundle.predict import load
from lstm_tune.search.crew import Crew
from lstm_tune.search.runner import Outcome, Run
from lstm_tune.search.samplers import SAMPLERS
from lstm_tune.search.schedulers import SCHEDULERS
from lstm_tune.spec.errors import InputError
from lstm_tune.spec.events import (
    BundleWritten,
    Event,
    RunEnded,
    RunStarted,
    SearchEnded,
    Stamped,
    TrialReported,
    TrialStarted,
    VerdictReached,
)
from lstm_tune.spec.loading import parse_experiment
from lstm_tune.spec.paths import open_run

pytestmark = pytest.mark.usefixtures("shared_ray")

STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
NINE_EPOCHS = {"max_epochs": 9, "patience_epochs": 9}


def journal(run: Run) -> dict[int, optuna.trial.FrozenTrial]:
    storage = JournalStorage(JournalFileBackend(str(run.paths.study)))
    trials = optuna.load_study(study_name="tiny", storage=storage).get_trials()
    return {trial.number: trial for trial in trials}


def check_consistent(run: Run, events: list[Event]) -> pl.DataFrame:
    """Events, tables and study tell the same story; returns the table of trials."""
    table = pl.read_parquet(run.paths.trials)
    started = [event.trial for event in events if isinstance(event, TrialStarted)]
    ends = {end.trial: end for end in ends_of(events)}
    assert Counter(started) == Counter(end.trial for end in ends_of(events)) == Counter(table["trial"])
    assert max(Counter(started).values()) == 1
    told = journal(run)
    for row in table.iter_rows(named=True):
        trial, end = told[row["trial"]], ends[row["trial"]]
        reports = {
            event.epoch: event.score
            for event in reversed(events)  # of an epoch that a member of a population trained twice the first counts
            if isinstance(event, TrialReported)
            if event.trial == end.trial
        }
        assert trial.state.name == STATES[row["state"]] == STATES[end.state]
        assert trial.intermediate_values == pytest.approx(reports)
        if row["state"] == "complete":
            assert trial.value == pytest.approx(row["score"])
            since = row["best_epoch"] if run.experiment.search.scheduler == "pbt" else 1
            assert row["score"] == min(score for _, epoch, score, _ in curve(run, row["trial"]) if epoch >= since)
    return table


Story = tuple[Run, Outcome, list[Event]]
SPACE = {"units": [4, 8], "learning_rate": LEARNING_RATES, "dropout": {"low": 0.0, "high": 0.5}, "window": 6}


@pytest.fixture(scope="module")
def stories(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Story]:
    """A whole run with a scheduler and a sampler; asked for again, it is not run again."""

    @cache
    def story(scheduler: str, sampler: str) -> Story:
        return go(
            tmp_path_factory.mktemp(scheduler),
            search={"scheduler": scheduler, "sampler": sampler, "trials": 8 if scheduler == "pbt" else 6},
            training=NINE_EPOCHS,
            space=SPACE,
        )

    return story


PAIRS = [
    ("asha", "tpe"),
    ("hyperband", "gp"),
    ("median", "cmaes"),
    ("pbt", "random"),
    ("none", "nsga2"),
    ("asha", "qmc"),
]


def test_pairs_cover_every_scheduler_and_sampler() -> None:
    assert {scheduler for scheduler, _ in PAIRS} == set(SCHEDULERS)
    assert {sampler for _, sampler in PAIRS} | {"grid"} == set(SAMPLERS)


@pytest.mark.parametrize(("scheduler", "sampler"), PAIRS)
def test_every_search_ends_with_a_model_and_one_story(
    scheduler: str, sampler: str, stories: Callable[[str, str], Story]
) -> None:
    run, outcome, events = stories(scheduler, sampler)
    table = check_consistent(run, events)
    assert table.height == (8 if scheduler == "pbt" else 6)
    assert outcome.bundle is not None
    assert load(outcome.bundle) is not None
    assert table.filter(pl.col("trial") == outcome.winner)["score"].item() == outcome.score
    assert [type(event) for event in events[-2:]] == [BundleWritten, RunEnded]
    assert not run.paths.scratch.exists()


def test_search_begins_with_the_defaults_and_then_the_portfolio_unless_chance_is_to_propose(
    stories: Callable[[str, str], Story],
) -> None:
    default = {"units": 8, "learning_rate": 3e-3, "dropout": 0.1, "window": 6}
    bold = {**default, "learning_rate": 0.012, "dropout": 0.0}
    proposed, by_chance = (
        [event.hyperparameters for event in stories(*pair)[2] if isinstance(event, TrialStarted)]
        for pair in [("asha", "tpe"), ("pbt", "random")]
    )
    assert proposed[:2] == [default, bold]
    assert by_chance[0] == default
    assert bold not in by_chance


def test_stopped_trials_are_told_as_pruned_with_their_reports(stories: Callable[[str, str], Story]) -> None:
    run, _, events = stories("asha", "tpe")
    pruned = [end for end in ends_of(events) if end.state == "pruned"]
    assert pruned
    assert all(set(journal(run)[end.trial].intermediate_values) <= {1, 3} for end in pruned)
    assert all(end.epochs < 9 and end.reason == f"stopped early at epoch {end.epochs}" for end in pruned)


def test_curve_has_every_epoch_once(stories: Callable[[str, str], Story]) -> None:
    run, _, events = stories("asha", "tpe")
    for end in ends_of(events):
        assert [epoch for _, epoch, _, _ in curve(run, end.trial)] == list(range(1, end.epochs + 1))


def test_population_passes_good_configurations_on(stories: Callable[[str, str], Story]) -> None:
    run, _, events = stories("pbt", "random")
    proposed = {event.trial: event for event in events if isinstance(event, TrialStarted)}
    changed = [end for end in ends_of(events) if end.hyperparameters != proposed[end.trial].hyperparameters]
    parameters = {event.hyperparameters["units"]: event.parameters for event in proposed.values()}
    assert changed
    for end in changed:
        assert 1e-3 <= end.hyperparameters["learning_rate"] <= 1e-1
        assert 0 <= end.hyperparameters["dropout"] <= 0.5
        assert end.parameters == parameters[end.hyperparameters["units"]]
        assert journal(run)[end.trial].user_attrs["hyperparameters"] == end.hyperparameters
        epochs = [epoch for _, epoch, _, _ in curve(run, end.trial)]
        assert epochs == sorted(set(epochs))


def test_grid_ends_with_the_space_and_leaves_out_what_does_not_count(folder: Path) -> None:
    rule = {"choices": [0.1, 0.3], "when": {"units": {"above": 4}}}
    space = {"units": [4, 8], "recurrent_dropout": rule, "window": 6}
    run, _, events = go(folder, search={"sampler": "grid", "trials": 10, "scheduler": "none"}, space=space)
    table = check_consistent(run, events)
    assert sorted(table.select("hp_units", "hp_recurrent_dropout").rows(), key=str) == [(4, None), (8, 0.1), (8, 0.3)]
    assert SearchEnded("the space is exhausted", False) in events


def most_at_once(events: list[Event]) -> int:
    """Trials that ran side by side."""
    running = [0]
    for event in events:
        running.append(running[-1] + isinstance(event, TrialStarted) - len(ends_of([event])))
    return max(running)


def test_the_same_seed_gives_the_same_trials_one_after_the_other(tmp_path: Path) -> None:
    tables = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        run, _, events = go(
            tmp_path / name, search={"trials": 14}, training=NINE_EPOCHS, resources={"max_concurrent": 1}
        )
        tables.append(pl.read_parquet(run.paths.trials).drop("seconds"))
        assert most_at_once(events) == 1
    assert tables[0].equals(tables[1])


@pytest.mark.parametrize("limit", [{"max_concurrent": 1}, {"max_concurrent": None, "max_gpus": 1}])
def test_population_is_no_larger_than_what_may_run_at_once(limit: dict[str, Any], folder: Path) -> None:
    _, _, events = go(folder, search={"scheduler": "pbt", "trials": 5}, resources=limit)
    (started,) = (event for event in events if isinstance(event, RunStarted))
    assert most_at_once(events) == min(5, started.slots)


def test_trials_that_the_time_limit_cuts_off_count_as_they_are(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [0.0]
    monkeypatch.setattr("lstm_tune.search.stopping.time", SimpleNamespace(monotonic=lambda: now_s[0]))

    def jump(stamped: Stamped) -> None:
        if isinstance(stamped.event, TrialReported):
            now_s[0] = 10_000.0

    endless = {"max_epochs": 100_000, "patience_epochs": 100_000}
    run = new_run(folder, search={"trials": 500, "time_limit": 9000, "scheduler": "none"}, training=endless)
    outcome = run.go([jump])
    events = events_of(run)
    cut = ends_of(events)
    assert SearchEnded("the time limit is reached", False) in events
    assert {end.reason for end in cut} == {"cut off: the time limit is reached"}
    assert {end.state for end in cut if end.score is not None} == {"complete"}
    assert check_consistent(run, events).height == len(cut) <= 2
    (verdict,) = (event for event in events if isinstance(event, VerdictReached))
    assert verdict.expected is not None
    assert outcome.bundle is not None


def test_stale_search_ends_and_is_complete_until_a_budget_changes(folder: Path) -> None:
    run, _, events = go(folder, search={"trials": 50, "stop_when_stale": 2, "scheduler": "none"})
    (end,) = (event for event in events if isinstance(event, SearchEnded))
    assert end.reason.startswith("no real improvement in ")
    assert len(ends_of(events)) < 50
    refused = r"is complete: .*no real improvement.*--set search\.stop_when_stale=null"
    for overrides in ([], ["search.trials=90"]):
        with pytest.raises(InputError, match=refused):
            Run.reopen(run.paths.root, overrides=overrides)
    Run.reopen(run.paths.root, overrides=["search.stop_when_stale=20"])


def test_warm_start_tries_the_best_of_an_earlier_run(folder: Path, stories: Callable[[str, str], Story]) -> None:
    earlier, _, events = stories("none", "nsga2")
    best = min(ends_of(events), key=lambda end: end.score or 0)
    run = new_run(folder, search={"trials": 2}, space=SPACE, resources={"max_concurrent": 1})
    run.go(warm_start=earlier.paths)
    assert best.hyperparameters in [end.hyperparameters for end in ends_of(events_of(run))]


def test_data_reach_the_workers_through_the_object_store_without_a_copy(folder: Path) -> None:
    task = new_run(folder).prepared.task
    shared = ray.get(ray.put(task))
    assert not shared.sequences.target.flags.owndata
    assert not shared.sequences.target.flags.writeable


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"search": {"sampler": "grid"}}, r"space\.learning_rate: is a range without a step"),
        ({"search": {"scheduler": "pbt"}, "space": {"units": [4, 8]}}, r"search\.scheduler: pbt changes"),
    ],
)
def test_search_that_cannot_work_is_refused_before_anything_is_written(
    sections: dict[str, Any], message: str, folder: Path
) -> None:
    with pytest.raises(InputError, match=message):
        new_run(folder, **sections)
    assert not (folder / "runs").exists()


def test_resources_nobody_has_are_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"resources: a trial needs 10000 CPUs and 0 GPUs on one machine; the largest"):
        go(folder, resources={"cpus_per_trial": 10_000})


@pytest.fixture
def finished(folder: Path, stories: Callable[[str, str], Story]) -> Path:
    """A copy of a complete run of six trials."""
    return Path(shutil.copytree(stories("asha", "tpe")[0].paths.root, folder / "copy"))


def test_complete_run_goes_on_with_a_larger_budget_only(finished: Path) -> None:
    with pytest.raises(
        InputError, match=r"is complete: 6 of 6 trials ended \(all trials ran\).*--set search\.trials=12"
    ):
        Run.reopen(finished)
    with pytest.raises(InputError, match=r"--set search\.metric=mase: would make the run's trials incomparable"):
        Run.reopen(finished, overrides=["search.metric=mase"])
    needs_both = r"--set search\.trials=12 --set search\.time_limit=\d+s"
    with pytest.raises(InputError, match=needs_both):
        Run.reopen(finished, overrides=["search.time_limit=0.1s"])
    longer = Run.reopen(finished, overrides=["search.trials=8"])
    before = events_of(longer)
    longer.go()
    events = events_of(longer)
    assert events[: len(before)] == before
    assert check_consistent(longer, events).height == 8
    assert len(json.loads(longer.paths.test_ledger.read_text())) == 2


@pytest.mark.parametrize("short_s", [20.0, 0.0], ids=["here", "in workers"])
def test_run_stopped_after_its_search_ends_as_it_would_have(
    short_s: float, finished: Path, stories: Callable[[str, str], Story], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.search.jobs.SHORT_S", short_s)
    paths = open_run(finished)
    lines = paths.events.read_text().splitlines(keepends=True)
    chosen = next(i for i, line in enumerate(lines) if '"winner_chosen"' in line)
    paths.events.write_text("".join(lines[:chosen]))
    resumed = Run.reopen(finished)
    assert resumed.go().test_score == stories("asha", "tpe")[1].test_score
    assert len(ends_of(events_of(resumed))) == 6


def test_wish_to_stop_after_the_last_word_changes_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    end = Crew.end

    def end_and_interrupt(crew: Crew) -> None:
        end(crew)
        raise KeyboardInterrupt

    monkeypatch.setattr(Crew, "end", end_and_interrupt)
    run, outcome, events = go(folder)
    assert not outcome.interrupted
    assert isinstance(events[-1], RunEnded)
    assert events[-1].state == "done"
    assert outcome.bundle == run.paths.bundle


def test_changed_data_is_refused(folder: Path) -> None:
    run = new_run(folder)
    run.paths.events.write_text("")
    with (folder / "sine.csv").open("a") as file:
        file.write("60,10.0\n")
    with pytest.raises(InputError, match=r"sine\.csv: has changed since the run began.*Start a new run"):
        Run.reopen(run.paths.root)


def test_run_directory_is_named_by_experiment_and_time(folder: Path) -> None:
    assert new_run(folder).paths.root.name.startswith(f"tiny-{datetime.now():%Y%m%d}-")


def test_run_that_keeps_its_data_works_wherever_it_is_moved(folder: Path) -> None:
    write_sine(folder)
    run = Run.create(parse_experiment({**RAW, "output": {"directory": str(folder)}}), folder=folder, keep_data=True)
    run.paths.events.write_text("")
    run.paths.root.rename(folder / "moved")
    (folder / "sine.csv").unlink()
    moved = Run.reopen(folder / "moved")
    assert moved.experiment.data.path == "data/sine.csv"
    assert moved.prepared.panel.rows == run.prepared.panel.rows
