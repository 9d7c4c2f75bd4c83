import json
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch

Run = Callable[..., Any]
Write = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def ray_with_gpus() -> Iterator[None]:
    """A Ray of three cores and two logical GPUs, unless the process has one already; commands use it."""
    if ray.is_initialized():
        pytest.skip("this process has another Ray")
    with tempfile.TemporaryDirectory(prefix="lt-", dir="/tmp") as folder:  # the paths of sockets must be short
        options = {"num_cpus": 3, "num_gpus": 2, "include_dashboard": False, "log_to_driver": False}
        sigterm = signal.getsignal(signal.SIGTERM)  # which Ray takes over
        ray.init(address="local", _temp_dir=folder, **options)
        signal.signal(signal.SIGTERM, sigterm)
        yield
        ray.shutdown()


def test_machine_is_shown_as_the_scheduler_sees_it(lstm_tune: Run) -> None:
    ended = lstm_tune("resources")
    assert ended.code == 0
    assert ended.out.splitlines()[0].startswith("node")
    assert "3/3" in ended.out
    assert "2/2" in ended.out


def test_trials_of_a_file_are_placed(lstm_tune: Run, experiment: Write) -> None:
    ended = lstm_tune("resources", experiment(resources__gpus_per_trial=0.5))
    assert "3 trials at once, each with 1 CPUs and 0.5 GPUs" in ended.out
    assert "up to 3" in ended.out


def test_share_that_is_not_measured_yet_is_called_so(lstm_tune: Run, experiment: Write) -> None:
    ended = lstm_tune("resources", experiment())
    assert "2 trials at once, each with 1 CPUs and 1 GPUs" in ended.out
    assert "a run trains the largest network on a GPU first, and so does --probe here" in ended.out


def test_json_holds_nodes_sums_and_the_plan(lstm_tune: Run, experiment: Write) -> None:
    values = json.loads(lstm_tune("resources", experiment(), "--json", "--set", "resources.gpus_per_trial=0").out)
    assert values["total"]["GPU"] == 2
    assert [node["is_alive"] for node in values["nodes"]] == [True]
    (kind,) = values["plan"]["chosen"]["kinds"]
    assert (kind["cpus"], kind["gpus"], kind["trials"]) == (1, 0, 3)


def test_trial_that_does_not_fit_is_refused(lstm_tune: Run, experiment: Write) -> None:
    ended = lstm_tune("resources", experiment(resources__cpus_per_trial=8))
    assert ended.code == 2
    assert "a trial needs 8 CPUs and 0 GPUs on one machine; the largest has 3 CPUs and 2 GPUs" in ended.err


def test_logical_gpus_that_torch_cannot_use_are_found_out(lstm_tune: Run, experiment: Write) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    ended = lstm_tune("resources", experiment(), "--probe")
    assert "torch cannot use a GPU (" in ended.out
    assert "3 trials at once, each with 1 CPUs and 0 GPUs" in ended.out
