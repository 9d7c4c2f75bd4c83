import os
import signal
from dataclasses import fields, replace
from pathlib import Path

import polars as pl
import pytest
import ray
import torch
from search_setup import curve, ends_of, events_of, go, new_run

from lstm_tune.search.runner import Run
from lstm_tune.spec.errors import DivergedError, SearchFailedError
from lstm_tune.spec.events import RunEnded, Stamped, TrialReported, Warned
from lstm_tune.spec.hyperparameters import Hyperparameters
from lstm_tune.tasks.forecast import ForecastProblem, ForecastTask

pytestmark = pytest.mark.usefixtures("shared_ray")

WILD = {"input_noise": 10.0, "weight_decay": 10.0, "gradient_clip": 0.0, "loss": "mse", "normalization": "none"}
"""With a learning rate of 1 the weights grow until they overflow."""

THIRTY_EPOCHS = {"max_epochs": 30, "patience_epochs": 30, "batch_size": 4}


def test_diverging_trials_fail_with_their_reason_and_the_search_goes_on(folder: Path) -> None:
    space = {**WILD, "units": 4, "learning_rate": [0.003, 1.0], "window": 6}
    run, outcome, events = go(
        folder, search={"scheduler": "none", "sampler": "grid"}, space=space, training=THIRTY_EPOCHS
    )
    states = {(end.hyperparameters["learning_rate"], end.state) for end in ends_of(events)}
    assert states == {(0.003, "complete"), (1.0, "failed")}
    failed = next(end for end in ends_of(events) if end.state == "failed")
    assert "the training loss became" in failed.reason
    assert pl.read_parquet(run.paths.trials)["state"].value_counts().height == 2
    assert outcome.bundle is not None


def test_search_of_failures_only_says_the_reason_and_keeps_its_tables(folder: Path) -> None:
    space = {**WILD, "units": [4, 8], "learning_rate": 1.0, "window": 6}
    run = new_run(folder, search={"scheduler": "none"}, space=space, training=THIRTY_EPOCHS)
    with pytest.raises(SearchFailedError, match=r"None of 2 trials ended with a score.*the training loss became"):
        run.go()
    assert pl.read_parquet(run.paths.trials)["state"].to_list() == ["failed", "failed"]
    (end,) = (event for event in events_of(run) if isinstance(event, RunEnded))
    assert end.state == "failed"


def test_unexpected_error_of_a_trial_is_logged_with_its_traceback(folder: Path) -> None:
    run = new_run(folder, search={"trials": 2}, resources={"max_concurrent": 1})
    run.experiment.training.__dict__["patience_epochs"] = "many"
    with pytest.raises(SearchFailedError, match=r"None of 2 trials ended with a score.*TypeError: "):
        run.go()
    assert "Traceback" in run.paths.trial_log(0).read_text()
    assert ends_of(events_of(run))[0].state == "failed"


def trial_workers() -> list[int]:
    """Processes of this process's own Ray that run trials: its grandchildren."""
    names, parents = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            names[int(folder.name)] = (folder / "cmdline").read_bytes()
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has ended meanwhile
    return [pid for pid, name in names.items() if b"TrialWorker" in name and parents.get(parents[pid]) == os.getpid()]


ONE_AT_A_TIME = {
    "search": {"scheduler": "none", "trials": 3},
    "training": {"max_epochs": 120, "patience_epochs": 120},
    "resources": {"max_concurrent": 1},
}
in_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the worker in /proc")


def table_of(run: Run) -> pl.DataFrame:
    """The table of trials, without the time they took."""
    return pl.read_parquet(run.paths.trials).drop("seconds")


@pytest.fixture(scope="module")
def undisturbed(shared_ray: None, tmp_path_factory: pytest.TempPathFactory) -> pl.DataFrame:
    run, _, _ = go(tmp_path_factory.mktemp("undisturbed"), **ONE_AT_A_TIME)
    return table_of(run)


@pytest.fixture
def only_workers_train(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the first trial on."""
    monkeypatch.setattr("lstm_tune.search.process.LIGHT", 0)


@pytest.fixture
def reports_every_epoch(only_workers_train: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker waits for the driver after each epoch, so that a trial is under way while one of its reports is told."""
    monkeypatch.setattr("lstm_tune.search.process.REPORT_INTERVAL_S", 0.0)


@in_proc
@pytest.mark.usefixtures("reports_every_epoch")
def test_trial_of_a_killed_worker_starts_again_and_ends_as_if_nothing_had_happened(
    folder: Path, undisturbed: pl.DataFrame
) -> None:
    killed: list[int] = []

    def kill(stamped: Stamped) -> None:
        if isinstance(stamped.event, TrialReported) and stamped.event.trial == 1 and not killed:
            killed.append(stamped.event.epoch)
            os.kill(trial_workers()[0], signal.SIGKILL)

    run = new_run(folder, **ONE_AT_A_TIME)
    run.go([kill])
    assert killed
    assert table_of(run).equals(undisturbed)
    warned = [event.message for event in events_of(run) if isinstance(event, Warned)]
    assert "The process of trial 1 died; the trial goes on in another." in warned
    assert [epoch for _, epoch, _, _ in curve(run, 1)] == list(range(1, 121))


@in_proc
@pytest.mark.usefixtures("reports_every_epoch")
@pytest.mark.parametrize("is_damaged", [False, True])
def test_trial_goes_on_from_its_checkpoint_unless_that_is_damaged(
    is_damaged: bool, folder: Path, undisturbed: pl.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.search.process.CHECKPOINT_INTERVAL_S", 0.0)
    run, killed = new_run(folder, **ONE_AT_A_TIME), list[int]()

    def kill(stamped: Stamped) -> None:
        event, file = stamped.event, run.paths.checkpoints / "trial-00001"
        if isinstance(event, TrialReported) and event.trial == 1 and file.exists() and not killed:
            killed.append(event.epoch)
            worker = trial_workers()[0]
            os.kill(worker, signal.SIGKILL)
            if is_damaged:
                file.write_bytes(file.read_bytes()[:-20])

    run.go([kill])
    assert killed
    assert table_of(run).equals(undisturbed)
    warned = " ".join(event.message for event in events_of(run) if isinstance(event, Warned))
    assert ("does not agree with its checksum; it starts again" in warned) is is_damaged
    assert not list(run.paths.checkpoints.iterdir())


@pytest.mark.usefixtures("only_workers_train")
def test_trial_out_of_memory_starts_again_with_twice_the_share(folder: Path) -> None:
    if ray.cluster_resources()["CPU"] < 2:
        pytest.skip("needs two cores")

    class Hungry(ForecastTask):
        """Has no room in the process of a trial that owns a single core."""

        def problems(self, hyperparameters: Hyperparameters) -> list[ForecastProblem]:
            if ray.get_runtime_context().get_actor_id() and torch.get_num_threads() < 2:
                raise MemoryError("no room for the folds")
            return super().problems(hyperparameters)

    run = new_run(folder, search={"trials": 2, "scheduler": "none"}, resources={"max_concurrent": 1})
    task = run.prepared.task
    hungry = Hungry(**{field.name: getattr(task, field.name) for field in fields(task)})
    outcome = replace(run, prepared=replace(run.prepared, task=hungry)).go()
    events = events_of(run)
    assert [(end.trial, end.state) for end in ends_of(events)] == [(0, "complete"), (1, "complete")]
    warned = [event.message for event in events if isinstance(event, Warned)]
    assert [message for message in warned if "memory" in message] == [
        f"Trial {trial} ran out of memory and starts again, with 2 CPUs and 0 GPUs." for trial in (0, 1)
    ]
    assert "no room for the folds" in run.paths.trial_log(0).read_text()
    assert outcome.bundle is not None


def test_diverging_final_training_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def diverge(*args: object, **options: object) -> None:
        raise DivergedError("the training loss became nan within step 7")

    monkeypatch.setattr("lstm_tune.search.refitting.refit", diverge)
    run = new_run(folder, search={"trials": 1})
    with pytest.raises(
        DivergedError, match=r"The final training of trial 0 failed: the training loss became nan.*smaller"
    ):
        run.go()
    assert events_of(run)[-1].state == "failed"
