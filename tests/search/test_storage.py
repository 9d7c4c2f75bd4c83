from pathlib import Path

import pytest
from object_store import Store

from lstm_tune.search.storage import RemoteFolder, probe
from lstm_tune.spec.errors import InputError, StorageError


@pytest.fixture(params=["s3", "file"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> RemoteFolder:
    """A remote folder that does not exist yet."""
    if request.param == "file":
        return RemoteFolder.open(f"file://{tmp_path}/remote/run")
    store: Store = request.getfixturevalue("store")
    return RemoteFolder.open(store.address(f"{tmp_path.name}/run"))


def test_what_was_written_is_listed_and_read(remote: RemoteFolder) -> None:
    assert (remote.names(), remote.is_there()) == ([], False)
    remote.write("b.txt", b"old")
    remote.write("b.txt", b"new")
    remote.write("deep/er/a.txt", b"")
    assert (remote.names(), remote.is_there()) == (["b.txt", "deep/er/a.txt"], True)
    assert [remote.read(name) for name in ("b.txt", "deep/er/a.txt", "c.txt")] == [b"new", b"", None]


def test_files_and_folders_are_deleted_whether_or_not_they_are_there(remote: RemoteFolder) -> None:
    for name in ("a", "some/b", "some/c", "other/d"):
        remote.write(name, b"x")
    for _ in range(2):
        remote.delete("a")
        remote.delete_folder("some")
    assert remote.names() == ["other/d"]


def test_large_file_comes_back_whole(remote: RemoteFolder) -> None:
    content = bytes(range(256)) * (12 << 12)  # 12 MiB, which S3 takes in several parts
    remote.write("large", content)
    assert remote.read("large") == content


def test_probe_leaves_nothing(remote: RemoteFolder) -> None:
    probe(remote.address)
    assert remote.names() == []


def test_bucket_that_is_missing_is_told_with_advice(store: Store) -> None:
    address = store.address("runs", bucket="no-such-bucket")
    with pytest.raises(
        InputError, match=r"output\.directory: 's3://no-such-.*: NO_SUCH_BUCKET .*\. Make it first, or correct"
    ):
        probe(address)


def test_server_that_nobody_runs_is_told_with_advice(store: Store) -> None:
    with pytest.raises(InputError, match=r"found: NETWORK_CONNECTION .*Check the network, the region and the endpoint"):
        probe("s3://bucket-401/runs/403?endpoint_override=127.0.0.1:1&scheme=http")  # no status of HTTP


def test_store_that_refuses_to_write_is_told(store: Store) -> None:
    store.is_shut = True
    with pytest.raises(InputError, match=r"output\.directory: .*must be writable, found: SLOW_DOWN"):
        probe(store.address("runs"))


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("s4://bucket/runs", r"Unrecognized filesystem type in URI: s4://bucket/runs\. Write it as s3://bucket/folder"),
        ("s3://bucket/runs?colour=red", r"Unexpected query parameter in S3 URI: 'colour'\. Write it as s3://"),
        ("s3://key:secret@bucket/runs", r"must not hold a password, for a run keeps its address"),
    ],
)
def test_address_that_cannot_be_is_told(address: str, message: str) -> None:
    with pytest.raises(StorageError, match=message) as caught:
        RemoteFolder.open(address)
    assert "secret@" not in str(caught.value)
