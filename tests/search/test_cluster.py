import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import ray
from ray._private import worker as ray_worker

from lstm_tune.search.cluster import environment, running_ray


def test_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LSTM_TUNE_ONE", "before")
    with environment({"LSTM_TUNE_ONE": "within", "LSTM_TUNE_TWO": "within"}):
        assert os.environ["LSTM_TUNE_ONE"] == os.environ["LSTM_TUNE_TWO"] == "within"
    assert os.environ["LSTM_TUNE_ONE"] == "before"
    assert "LSTM_TUNE_TWO" not in os.environ


@pytest.mark.usefixtures("shared_ray")
def test_running_ray_is_used_and_left_alone(tmp_path: Path) -> None:
    before = ray.get_runtime_context().get_job_id()
    with running_ray(tmp_path):
        assert ray.get_runtime_context().get_job_id() == before
    assert ray.is_initialized()


@pytest.mark.usefixtures("shared_ray")
def test_private_ray_starts_nothing_that_trials_do_not_need() -> None:
    assert set(ray_worker._global_node.all_processes) == {"gcs_server", "raylet"}


@pytest.mark.usefixtures("shared_ray")
def test_ray_does_not_keep_sigterm() -> None:
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_folder_of_a_killed_process_is_removed_and_one_in_use_is_not(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal, lstm_tune.search.cluster as c\n"
        "with c._folder() as folder:\n"
        "    print(folder, flush=True)\n"
        "    sys.stdin.read(1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environ = {**os.environ, "RAY_TMPDIR": str(tmp_path)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "env": environ}
    with subprocess.Popen([sys.executable, "-c", script], **pipes) as first:
        assert first.stdout is not None
        left = Path(first.stdout.readline().strip())
        with subprocess.Popen([sys.executable, "-c", script], **pipes) as second:
            assert second.stdout is not None
            used = Path(second.stdout.readline().strip())
            assert left.exists()
            first.communicate("x")
            with environment({"RAY_TMPDIR": str(tmp_path)}):
                from lstm_tune.search.cluster import _folder

                with _folder() as mine:
                    assert sorted(tmp_path.iterdir()) == sorted([used, mine])
            second.communicate("x")
