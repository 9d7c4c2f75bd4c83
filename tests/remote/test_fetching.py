import io
import tarfile
from pathlib import Path

import pytest

from lstm_tune.remote import sending
from lstm_tune.remote.fetching import check_destination, receive, unpack
from lstm_tune.spec.errors import ClusterError, InputError
from lstm_tune.spec.paths import RunPaths


@pytest.fixture
def sent(tmp_path: Path) -> list[str]:
    """The lines that bring a run of three files, one of them larger than a line."""
    root = tmp_path / "run"
    (root / "best").mkdir(parents=True)
    (root / ".scratch").mkdir()
    (root / "best" / "weights").write_bytes(bytes(range(256)) * 4000)
    (root / "events.ndjson").write_text("{}\n")
    (root / ".out_of_fold").write_text("part")
    (root / ".scratch" / "left").write_text("out")
    (root / ".lock").write_text("")
    with io.BytesIO() as file:
        sending.pack(RunPaths(root), file)
        return [line.rstrip("\n") for line in sending.lines(file)]


def test_run_comes_as_it_is_without_what_only_its_process_needs(sent: list[str], tmp_path: Path) -> None:
    with io.BytesIO() as file:
        told: list[tuple[int, int]] = []
        others = receive(
            ["Ray says", *sent[:2], "Running entrypoint", *sent[2:]], file, lambda *seen: told.append(seen)
        )
        unpack(file, tmp_path / "new" / "there")
    got = tmp_path / "new" / "there"
    assert others == ["Ray says", "Running entrypoint"]
    assert told[-1][0] == told[-1][1] > 0
    assert {str(path.relative_to(got)) for path in got.rglob("*") if path.is_file()} == {
        *("best/weights", "events.ndjson", ".out_of_fold"),
    }
    assert (got / "best" / "weights").read_bytes() == bytes(range(256)) * 4000
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["there"]


@pytest.mark.parametrize("fault", ["lost", "changed"])
def test_damaged_archive_is_noticed(sent: list[str], fault: str) -> None:
    damaged = sent[:-1] if fault == "lost" else [sent[0], sent[1].replace("A", "B"), *sent[2:]]
    with pytest.raises(ClusterError, match=r"bytes came as they were sent\. Fetch the run again"):
        receive(damaged, io.BytesIO(), lambda done, total: None)


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside"])
def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path, name: str) -> None:
    unpack_refuses(tmp_path, tarfile.TarInfo(name))


def test_links_are_refused(tmp_path: Path) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    unpack_refuses(tmp_path, link)


def unpack_refuses(folder: Path, entry: tarfile.TarInfo) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("harmless"), io.BytesIO())
        archive.addfile(entry, io.BytesIO())
    with pytest.raises(ClusterError, match="which no run does; nothing was unpacked"):
        unpack(file, folder / "there")
    assert list(folder.iterdir()) == []


def test_folder_that_holds_something_is_refused(tmp_path: Path) -> None:
    check_destination(tmp_path / "new")
    check_destination(tmp_path)
    (tmp_path / "mine").write_text("")
    with pytest.raises(InputError, match=r"must be a new or empty folder\. Name another with -o"):
        check_destination(tmp_path)
