import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import ray
from ray._private import worker as ray_worker

from lstm_tune.search.cluster import environment, running_ray
from lstm_tune.search.lean_ray import RELEASES


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


def test_ray_that_was_started_ahead_is_gone_used_or_not(tmp_path: Path) -> None:
    script = (
        "import sys, ray\n"
        "from pathlib import Path\n"
        "from lstm_tune.search.cluster import ray_ahead, running_ray\n"
        "with ray_ahead(None) as private, running_ray(Path(sys.argv[1]), private=private):\n"
        "    print(ray.is_initialized(), ray.get(ray.remote(lambda: 6 * 7).remote()))\n"
        "    with ray_ahead(None) as second:\n"
        "        print(second)\n"
        "print(ray.is_initialized(), ray_ahead('auto').__enter__())\n"
        "with ray_ahead(None) as private:\n"
        "    print(private is not None)\n"
        "print(ray.is_initialized())\n"
    )
    with TemporaryDirectory() as short:  # the paths of sockets may have 107 characters
        command, environ = [sys.executable, "-c", script, str(tmp_path)], {**os.environ, "RAY_TMPDIR": short}
        found = subprocess.run(command, capture_output=True, text=True, env=environ)
        assert found.stdout.split() == ["True", "42", "None", "False", "None", "True", "False"], found.stderr
        assert not list(Path(short).iterdir())


def test_this_release_of_ray_is_one_that_starts_lean() -> None:
    assert ray.__version__.startswith(RELEASES)


@pytest.mark.usefixtures("shared_ray")
def test_private_ray_starts_nothing_that_trials_do_not_need() -> None:
    node = ray_worker._global_node
    assert set(node.all_processes) == {"gcs_server", "raylet"}
    assert not list(Path(node.get_logs_dir_path()).glob("dashboard_agent.*"))


def test_workers_import_torch_before_they_are_needed_and_leave_a_core_to_the_driver(tmp_path: Path) -> None:
    script = (
        "import sys, time, ray\n"
        "from pathlib import Path\n"
        "from ray._private import worker\n"
        "from lstm_tune.search.cluster import running_ray\n"
        "with running_ray(Path(sys.argv[1])):\n"
        "    raylet = worker._global_node.all_processes['raylet'][0].process.pid\n"
        "    ready = ''\n"
        "    while 'libtorch_cpu' not in ready:\n"
        "        time.sleep(0.1)\n"
        "        tasks = Path(f'/proc/{raylet}/task').glob('*/children')\n"
        "        children = [Path('/proc', child) for task in tasks for child in task.read_text().split()]\n"
        "        workers = [child for child in children if 'ray::IDLE' in (child / 'cmdline').read_text()]\n"
        "        ready = ''.join((worker / 'maps').read_text() for worker in workers)\n"
        "    print(len(workers) == max(ray.cluster_resources()['CPU'] - 1, 1), len(workers))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.stdout.startswith("True"), found.stdout + found.stderr


def test_stand_in_for_the_agent_ends_with_a_killed_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from ray._private import worker\n"
        "from lstm_tune.search.cluster import running_ray\n"
        "with running_ray(Path(sys.argv[1])):\n"
        "    raylet = worker._global_node.all_processes['raylet'][0].process.pid\n"
        "    for children in Path(f'/proc/{raylet}/task').glob('*/children'):\n"
        "        for child in children.read_text().split():\n"
        "            if 'sys.stdin.read()' in Path(f'/proc/{child}/cmdline').read_text():\n"
        "                print(child, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    found = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    (stand_in,) = found.stdout.split()
    end = time.monotonic() + 30
    while Path(f"/proc/{stand_in}").exists():
        assert time.monotonic() < end, "it still runs"
        time.sleep(0.1)


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
