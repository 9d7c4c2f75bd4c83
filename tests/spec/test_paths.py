import json
from datetime import datetime
from pathlib import Path

import pytest

from lstm_tune.spec.errors import InputError
from lstm_tune.spec.paths import RunPaths, create_run, open_run, write_atomically, write_json

NOON = datetime(2024, 5, 6, 12, 0, 7)


def test_run_is_named_after_the_experiment_and_the_time(tmp_path: Path) -> None:
    paths = create_run(tmp_path / "new" / "runs", "air", now=NOON)
    assert paths.root == (tmp_path / "new" / "runs" / "air-20240506-120007").resolve()
    assert paths.logs.is_dir()


def test_runs_of_the_same_second_have_folders_of_their_own(tmp_path: Path) -> None:
    names = [create_run(tmp_path, "air", now=NOON).root.name for _ in range(3)]
    assert names == ["air-20240506-120007", "air-20240506-120007-2", "air-20240506-120007-3"]


@pytest.mark.parametrize("below", ["", "deeper"])
def test_file_in_the_place_of_the_folder_is_told(tmp_path: Path, below: str) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(InputError, match=r"output\.directory: .*runs"):
        create_run(tmp_path / "runs" / below, "air", now=NOON)


def test_folder_that_is_no_run_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a run"):
        open_run(tmp_path)


def test_run_is_opened_by_its_folder(tmp_path: Path) -> None:
    made = create_run(tmp_path, "air", now=NOON)
    made.events.touch()
    made.experiment.touch()
    assert open_run(str(made.root)) == made


def test_all_files_of_a_run_lie_in_its_folder(tmp_path: Path) -> None:
    paths = RunPaths(tmp_path)
    found = [getattr(paths, name) for name, kind in vars(RunPaths).items() if isinstance(kind, property)]
    assert all(tmp_path in path.parents for path in found)
    assert len(set(found)) == len(found)
    assert paths.trial_log(7).name == "trial-00007.txt"


def test_file_is_replaced_and_no_other_is_left(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_atomically(path, "old")
    write_atomically(path, "neü")
    assert path.read_text(encoding="utf-8") == "neü"
    assert list(tmp_path.iterdir()) == [path]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    (path / "inside").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"new")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_json_is_indented_and_ends_with_a_line(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": [1]})
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == {"a": [1]}
    assert text.endswith("}\n")
