"""Logical GPUs: trials share them as was computed, and nothing is promised twice."""

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parent / "gpu_nodes.py"

pytestmark = pytest.mark.cluster


def seen_on(folder: Path, command: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the script answers, and what its workers noted."""
    with tempfile.TemporaryDirectory(prefix="lt-", dir="/tmp") as temporary:  # the paths of sockets must be short
        added = {"RAY_TMPDIR": temporary, "PYTHONPATH": str(Path(__file__).parents[2])}
        ended = subprocess.run(
            [sys.executable, SCRIPT, command, folder],
            env={**os.environ, **added},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr[-3000:]
    notes = [json.loads(line) for line in (folder / "seen").read_text().splitlines()]
    return json.loads((folder / "answer.json").read_text()), notes


def most_at_once(notes: list[dict[str, Any]]) -> Counter[tuple[str, str]]:
    """The largest number of processes that were on each GPU at the same time."""
    most: Counter[tuple[str, str]] = Counter()
    for note in notes:
        for gpu in note["gpus"]:
            beside = {
                other["pid"]
                for other in notes
                if (other["node"], gpu) == (note["node"], *other["gpus"])
                and other["began"] <= note["began"] < other["ended"]
            }
            most[note["node"], gpu] = max(most[note["node"], gpu], len(beside))
    return most


def test_trials_of_a_run_share_gpus_as_measured(tmp_path: Path) -> None:
    answer, notes = seen_on(tmp_path, "run")
    chosen = answer["resources"]
    assert answer["states"] == ["complete"] * 6
    assert answer["model"]
    assert chosen["kinds"] == [{"cpus": 1, "gpus": 0.5, "accelerator_type": None, "custom": {}, "trials": 4}]
    assert [(entry["on"], entry["peak_mb"], entry["gain"]) for entry in chosen["measured"]] == [
        ("GPU", 5000, 2.0),
        ("cores", 0, None),
    ]
    assert {note["visible"] for note in notes} == {"0", "1"}
    assert all(count <= 2 for count in most_at_once(notes).values())


def test_slots_of_all_kinds_fit_the_cluster_and_no_gpu_is_promised_twice(tmp_path: Path) -> None:
    answer, notes = seen_on(tmp_path, "place")
    by_type = [note for note in notes if note["choice"] == "by type"]
    assert answer["choices"]["by type"] == [
        {"gpus": 0.5, "type": "A100", "trials": 4},
        {"gpus": 0.3333, "type": "T4", "trials": 3},
    ]
    nodes = {note["slot"]: note["node"] for note in by_type}
    assert nodes["A100 0.5"] == answer["types"]["accelerator_type:A100"]
    assert nodes["T4 0.3333"] == answer["types"]["accelerator_type:T4"]
    for (node, _), count in most_at_once(by_type).items():
        assert count <= (2 if node == nodes["A100 0.5"] else 3)
    assert answer["choices"]["limited"] == [{"gpus": 0.25, "type": None, "trials": 2}]
    assert answer["choices"]["licensed"] == [{"gpus": 0, "type": None, "trials": 2}]
    licensed = [note for note in notes if note["choice"] == "licensed"]
    assert {note["node"] for note in licensed} == {answer["types"]["accelerator_type:T4"]}
    assert not any(note["gpus"] for note in licensed)
