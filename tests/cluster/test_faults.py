"""Processes and nodes of a cluster die while a run goes on; what its files say is checked row by row afterwards."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import polars as pl
import pytest
import yaml
from local_clusters import LocalCluster, kill, local_cluster, needs_cluster, wait_until
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from lstm_tune.spec.events import RunEnded, Stamped, TrialEnded, TrialReported, TrialStarted, read_events

pytestmark = [*needs_cluster, pytest.mark.timeout(1800)]

STATES = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
TRIALS = 9


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    with local_cluster(3) as cluster:
        yield cluster


def write_space(folder: Path, *, trials: int = TRIALS, epochs: int = 120) -> Path:
    """A search of trials that take a few seconds each, all to their last epoch."""
    rows = [f"{step},{10 + 3 * ((step * 7) % 12) / 12 + 0.1 * (step % 5):.4f}" for step in range(90)]
    (folder / "saw.csv").write_text("\n".join(["step,y", *rows]) + "\n")
    raw = {
        "name": "faulty",
        "task": {"kind": "forecast", "horizon": 3, "season": 1},
        "data": {"path": "saw.csv", "target": "y"},
        "validation": {"test": 3, "folds": 2},
        "search": {"trials": trials, "seed": 1, "metric": "mae", "scheduler": "none"},
        "space": {"units": {"low": 4, "high": 16}, "dropout": {"low": 0.0, "high": 0.5}, "window": 6},
        "training": {"max_epochs": epochs, "patience_epochs": epochs, "batch_size": 8},
        "output": {"seeds": 1, "finalists": 1, "directory": str(folder / "runs")},
    }
    path = folder / "space.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


@contextmanager
def driver(cluster: LocalCluster, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A run on the cluster, in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "lstm_tune", *arguments, "--address", cluster.address, "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=cluster.environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def until(process: subprocess.Popen[str], kind: str, count: int = 1, *, node: str | None = None) -> None:
    """Reads the driver's events up to the n-th of a kind, or of those of a kind and a node."""
    assert process.stdout is not None
    for line in process.stdout:
        event = json.loads(line)
        count -= event["event"] == kind and node in {None, event.get("node")}
        if not count:
            return
    pytest.fail(f"the driver ended first: {process.stderr.read() if process.stderr else ''}")


def finish(process: subprocess.Popen[str]) -> None:
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors + output[-2000:]


def run_in(folder: Path) -> Path:
    (run,) = (folder / "runs").iterdir()
    return run


def events_of(run: Path) -> list[Stamped]:
    return list(read_events(run / "events.ndjson"))


def ends_of(run: Path) -> dict[int, TrialEnded]:
    """The end of each trial; told once."""
    ends = [one.event for one in events_of(run) if isinstance(one.event, TrialEnded)]
    assert max(Counter(end.trial for end in ends).values(), default=1) == 1
    return {end.trial: end for end in ends}


def check(run: Path, *, before: dict[int, TrialEnded] | None = None, trials: int = TRIALS) -> None:
    """Events, table and study tell one story, in which nothing is lost, repeated or told twice."""
    ends, events = ends_of(run), [one.event for one in events_of(run)]
    assert len(ends) == trials
    assert {trial: ends[trial] for trial in before or {}} == (before or {})
    told = [event for event in events if isinstance(event, TrialStarted | TrialEnded)]
    assert len({event.trial for event in told if isinstance(event, TrialStarted)}) == trials
    assert all(isinstance({event.trial: event for event in told}[trial], TrialEnded) for trial in ends)  # none after it
    table = pl.read_parquet(run / "trials.parquet")
    assert sorted(table["trial"]) == sorted(ends)
    curves = pl.read_parquet(run / "curves.parquet")
    storage = JournalStorage(JournalFileBackend(str(run / "study.journal")))
    study = {trial.number: trial for trial in optuna.load_study(study_name="faulty", storage=storage).get_trials()}
    for row in table.iter_rows(named=True):
        end, trial = ends[row["trial"]], study[row["trial"]]
        curve = curves.filter(pl.col("trial") == end.trial)
        assert (row["state"], row["score"], row["epochs"]) == (end.state, end.score, end.epochs)
        assert trial.state.name == STATES[end.state]
        assert curve["epoch"].to_list() == list(range(1, end.epochs + 1))
        if end.state == "complete":
            assert trial.value == pytest.approx(end.score)
            assert row["score"] == curve["score"].min()
    last = events[-1]
    assert isinstance(last, RunEnded)
    assert last.state == "done"
    assert (run / "best" / "manifest.json").is_file()
    blocks = pl.read_parquet(run / "out_of_fold.parquet")
    assert set(blocks["trial"]) == {end.trial for end in ends.values() if end.state == "complete"}


def nodes_of(run: Path) -> set[str]:
    return {one.event.node for one in events_of(run) if isinstance(one.event, TrialReported)}


def test_trials_of_a_killed_process_and_of_a_killed_node_go_on_elsewhere(cluster: LocalCluster, tmp_path: Path) -> None:
    with driver(cluster, "run", str(write_space(tmp_path))) as process:
        until(process, "trial_reported", 2)
        wait_until(lambda: bool(cluster.workers()))
        kill(cluster.workers()[0])
        until(process, "trial_ended", 2)
        until(process, "trial_reported", node="127.0.0.4")  # its worker is up, and a trial is lost with it
        cluster.end_raylet(2)
        finish(process)
    check(run_in(tmp_path))
    assert nodes_of(run_in(tmp_path)) == {"127.0.0.2", "127.0.0.3", "127.0.0.4"}
    assert all(end.state == "complete" for end in ends_of(run_in(tmp_path)).values())


def test_killed_driver_is_resumed_on_the_same_cluster(cluster: LocalCluster, tmp_path: Path) -> None:
    with driver(cluster, "run", str(write_space(tmp_path))) as process:
        until(process, "trial_ended", 3)
        process.kill()
    run = run_in(tmp_path)
    before = ends_of(run)
    with driver(cluster, "resume", str(run)) as process:
        finish(process)
    check(run, before=before)


def test_run_whose_head_was_lost_is_resumed_on_a_new_cluster(tmp_path: Path) -> None:
    with local_cluster(2) as cluster:
        environment = {"RAY_gcs_rpc_server_reconnect_timeout_s": "5"}
        os.environ.update(environment)
        try:
            with driver(cluster, "run", str(write_space(tmp_path))) as process:
                until(process, "trial_ended", 2)
                cluster.end_node(0)
                process.communicate(timeout=300)
                assert process.returncode != 0
        finally:
            os.environ.pop("RAY_gcs_rpc_server_reconnect_timeout_s")
    run = run_in(tmp_path)
    before = ends_of(run)
    assert 2 <= len(before) < TRIALS
    with local_cluster(2) as cluster, driver(cluster, "resume", str(run)) as process:
        finish(process)
    check(run, before=before)


def test_nothing_is_lost_or_told_twice_in_ten_rounds_of_random_kills(cluster: LocalCluster, tmp_path: Path) -> None:
    draw, trials = random.Random(0), 20
    with driver(cluster, "run", str(write_space(tmp_path, trials=trials))) as process:
        until(process, "trial_started")
        process.kill()
    run, before = run_in(tmp_path), dict[int, TrialEnded]()
    for number, what in enumerate(draw.sample(["worker"] * 4 + ["node"] * 3 + ["driver"] * 3, 10), start=2):
        with driver(cluster, "resume", str(run)) as process:
            until(process, "run_started", number)  # what earlier processes did is told first
            until(process, "trial_reported", draw.randint(1, 4))
            if what == "worker":
                wait_until(lambda: bool(cluster.workers()))
                kill(draw.choice(cluster.workers()))
            elif what == "node":
                cluster.end_node(2)
                cluster.start_node(2)
            if what != "driver":  # the run goes on without it
                until(process, "trial_ended")
            time.sleep(draw.uniform(0.0, 1.0))
            process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM]))
            process.communicate(timeout=120)
        now = ends_of(run)
        assert {trial: now[trial] for trial in before} == before
        before = now
    with driver(cluster, "resume", str(run)) as process:
        finish(process)
    check(run, before=before, trials=trials)
