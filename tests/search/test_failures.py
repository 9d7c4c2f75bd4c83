import os
import signal
from pathlib import Path

import polars as pl
import pytest
from search_setup import ends_of, events_of, go, new_run

from lstm_tune.spec.errors import DivergedError, SearchFailedError
from lstm_tune.spec.events import RunEnded, Stamped, TrialReported

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
    with pytest.raises(SearchFailedError, match=r"None of 2 trials reached a score.*the training loss became"):
        run.go()
    assert pl.read_parquet(run.paths.trials)["state"].to_list() == ["failed", "failed"]
    (end,) = (event for event in events_of(run) if isinstance(event, RunEnded))
    assert end.state == "failed"


def test_unexpected_error_of_a_trial_is_logged_with_its_traceback(folder: Path) -> None:
    run = new_run(folder, search={"trials": 2}, resources={"max_concurrent": 1})
    run.experiment.training.__dict__["batch_size"] = "many"
    with pytest.raises(SearchFailedError, match=r"None of 2 trials reached a score.*TypeError: "):
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
    return [pid for pid, name in names.items() if b"LstmTrainable" in name and parents.get(parents[pid]) == os.getpid()]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for the worker in /proc")
def test_killed_worker_fails_its_trial_only(folder: Path) -> None:
    killed: list[int] = []

    def kill(stamped: Stamped) -> None:
        if isinstance(stamped.event, TrialReported) and not killed:
            killed.append(stamped.event.trial)
            os.kill(trial_workers()[0], signal.SIGKILL)

    training = {"max_epochs": 100, "patience_epochs": 100}
    run = new_run(folder, search={"scheduler": "median"}, training=training, resources={"max_concurrent": 1})
    outcome = run.go([kill])
    ends = ends_of(events_of(run))
    assert [end.trial for end in ends if end.state == "failed"] == killed
    assert ends[0].reason == "its worker process died; see logs/driver.log"
    assert len(ends) == 4
    assert outcome.winner != killed[0]


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
