from datetime import datetime
from pathlib import Path

import pytest
from object_store import Store

from lstm_tune.search.copying import RunCopy, bring, update_copy
from lstm_tune.search.recorder import Recorder
from lstm_tune.search.storage import RemoteFolder
from lstm_tune.spec.errors import InputError, StorageError
from lstm_tune.spec.events import Stamped, Warned
from lstm_tune.spec.paths import RunPaths, create_run


def lines(*messages: str) -> str:
    return "".join(Stamped(1.0, Warned(message)).to_json() + "\n" for message in messages)


def add(paths: RunPaths, *messages: str) -> None:
    with paths.events.open("a") as file:
        file.write(lines(*messages))


@pytest.fixture
def paths(tmp_path: Path) -> RunPaths:
    """A run with two events, the losses of a trial, a model and what is never copied."""
    paths = create_run(tmp_path / "runs", "air", now=datetime(2026, 1, 1))
    for name, content in {
        "experiment.yaml": "name: air\n",
        "best/manifest.json": "{}",
        ".out_of_fold/trial-00000.npy": "losses",
        "nested/fold-1/events.ndjson": lines("nested"),
        ".scratch/tune/state": "only here",
        ".lock": "",
        ".verdict.json.x1": "half",
    }.items():
        (paths.root / name).parent.mkdir(parents=True, exist_ok=True)
        (paths.root / name).write_text(content)
    add(paths, "one", "two")
    return paths


@pytest.fixture
def remote(tmp_path: Path, paths: RunPaths) -> RemoteFolder:
    return RemoteFolder.open(f"file://{tmp_path}/remote/{paths.root.name}")


COPIED = [
    ".out_of_fold/trial-00000.npy",
    "best/manifest.json",
    "events.ndjson",
    "experiment.yaml",
    "nested/fold-1/events.ndjson",
]


def read_pieces(remote: RemoteFolder) -> str:
    """What the pieces of the run's events say together."""
    return "".join((remote.read(name) or b"").decode() for name in remote.names() if name.startswith("events/"))


def contents(root: Path) -> dict[str, bytes]:
    return {
        name: (root / name).read_bytes()
        for name in sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    }


def test_run_that_is_brought_back_is_the_run_that_was_copied(store: Store, paths: RunPaths, tmp_path: Path) -> None:
    address = store.address(f"{tmp_path.name}/{paths.root.name}")
    update_copy(paths.root, address)
    assert RemoteFolder.open(address).names() == COPIED
    brought = bring(address, directory=tmp_path / "elsewhere")
    assert (brought.root, brought.note) == (tmp_path / "elsewhere" / paths.root.name, "")
    here = contents(brought.root)
    assert {name: content for name, content in contents(paths.root).items() if name in COPIED} == {
        name: here[name] for name in COPIED
    }


def test_events_grow_in_pieces_that_are_put_together(
    remote: RemoteFolder, paths: RunPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lstm_tune.search.copying.PIECES", 3)
    copy, numbers = RunCopy(paths.root, remote), []
    for message in ("three", "four", "five", "six"):
        copy.update()
        numbers.append(len([name for name in remote.names() if name.startswith("events/")]))
        brought = bring(remote.address, directory=tmp_path / message)
        assert (brought.root / "events.ndjson").read_bytes() == paths.events.read_bytes()
        add(paths, message)
    assert numbers == [1, 2, 0, 1]


def test_line_that_is_not_whole_yet_waits(remote: RemoteFolder, paths: RunPaths) -> None:
    copy = RunCopy(paths.root, remote)
    with paths.events.open("a") as file:
        file.write('{"event":"war')
    copy.update(is_last=True)
    assert remote.read("events.ndjson") == lines("one", "two").encode()


def test_event_is_not_copied_before_what_it_speaks_of(
    remote: RemoteFolder, paths: RunPaths, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = RunCopy(paths.root, remote)
    copy.update()
    (paths.loss_parts / "trial-00001.npy").write_text("losses")
    add(paths, "trial 1 ended")
    write = RemoteFolder.write

    def refuse_losses(folder: RemoteFolder, name: str, content: bytes) -> None:
        if name.endswith(".npy"):
            raise StorageError("no")
        write(folder, name, content)

    with monkeypatch.context() as patch:
        patch.setattr(RemoteFolder, "write", refuse_losses)
        with pytest.raises(StorageError):
            copy.update()
    assert read_pieces(remote) == lines("one", "two")
    copy.update()
    assert read_pieces(remote) == lines("one", "two", "trial 1 ended")


def test_losses_are_deleted_once_their_table_is_copied(remote: RemoteFolder, paths: RunPaths) -> None:
    copy = RunCopy(paths.root, remote)
    copy.update()
    (paths.loss_parts / "trial-00000.npy").unlink()
    copy.update()
    assert ".out_of_fold/trial-00000.npy" in remote.names()
    paths.out_of_fold.write_text("table")
    copy.update()
    assert (remote.read("out_of_fold.parquet"), ".out_of_fold/trial-00000.npy" in remote.names()) == (b"table", False)


def test_file_that_changes_again_waits_for_the_end(remote: RemoteFolder, paths: RunPaths) -> None:
    copy = RunCopy(paths.root, remote)
    for content, is_last, copied in ((b"a", False, b"a"), (b"ab", False, b"a"), (b"ab", True, b"ab")):
        paths.study.write_bytes(content)
        copy.update(is_last=is_last)
        assert remote.read("study.journal") == copied


def test_copy_that_went_on_elsewhere_is_not_written_over(remote: RemoteFolder, paths: RunPaths) -> None:
    update_copy(paths.root, remote.address)
    paths.events.write_text(lines("one", "other"))
    with pytest.raises(InputError, match=r"holds events that '.*' lacks.*lstm-tune resume 'file://"):
        update_copy(paths.root, remote.address)


def test_folder_that_is_behind_is_brought_up_to_date(remote: RemoteFolder, paths: RunPaths, tmp_path: Path) -> None:
    update_copy(paths.root, remote.address)
    brought = bring(remote.address, directory=tmp_path / "elsewhere")
    stale = brought.root / ".out_of_fold" / "trial-00009.npy"
    stale.write_text("of a trial that nobody told of")
    add(paths, "three")
    update_copy(paths.root, remote.address)
    assert bring(remote.address, directory=tmp_path / "elsewhere") == brought
    assert (brought.root / "events.ndjson").read_bytes() == paths.events.read_bytes()
    assert not stale.exists()


def test_folder_that_is_ahead_is_used_as_it_is(remote: RemoteFolder, paths: RunPaths) -> None:
    update_copy(paths.root, remote.address)
    add(paths, "three", "four")
    before = contents(paths.root)
    brought = bring(remote.address, directory=paths.root.parent)
    assert brought.root == paths.root
    assert "is 2 events ahead of file://" in brought.note
    assert contents(paths.root) == before


def test_folder_of_another_course_is_left_alone(remote: RemoteFolder, paths: RunPaths) -> None:
    update_copy(paths.root, remote.address)
    paths.events.write_text(lines("one", "other"))
    with pytest.raises(InputError, match="holds another course of the run than file://"):
        bring(remote.address, directory=paths.root.parent)


def test_folder_that_a_process_works_on_is_used_as_it_is(remote: RemoteFolder, paths: RunPaths) -> None:
    update_copy(paths.root, remote.address)
    with Recorder(paths) as record:
        record(Warned("three"))
        assert "a process works on this run here" in bring(remote.address, directory=paths.root.parent).note
    assert paths.events.read_text().startswith(lines("one", "two"))


def test_address_without_a_run_is_told(remote: RemoteFolder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"file://.*: is not a run: a run holds experiment\.yaml and events\.ndjson"):
        bring(remote.address, directory=tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere").exists()
