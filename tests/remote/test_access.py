import socket
from pathlib import Path

import pytest
from dashboards import TOKEN, dashboard

from lstm_tune.remote.access import Access, exposure, find_address, reach
from lstm_tune.spec.errors import ClusterError, InputError


@pytest.fixture(autouse=True)
def no_token_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH", "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


def token_file(folder: Path, text: str = TOKEN) -> Path:
    (folder / "token").write_text(f"{text}\n")
    return folder / "token"


def test_address_comes_from_the_option_then_from_rays_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # the door for drivers, not the dashboard's
    assert find_address(None) == "http://127.0.0.1:8265"
    monkeypatch.setenv("RAY_ADDRESS", "https://cluster.example/")
    assert find_address(None) == "https://cluster.example"
    assert find_address("http://10.0.0.1:8265") == "http://10.0.0.1:8265"


@pytest.mark.parametrize("address", ["10.0.0.1:8265", "ray://10.0.0.1:10001", "http://", "auto"])
def test_address_that_is_no_dashboards_is_refused(address: str) -> None:
    with pytest.raises(InputError, match=r"--address: must be the http:// or https:// address .*found"):
        find_address(address)


def test_password_in_an_address_is_not_repeated() -> None:
    with pytest.raises(InputError) as caught:
        find_address("http://me:secret@cluster:8265")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:8265", "http://localhost:8265", "http://[::1]:1", "https://far.example"]
)
def test_private_ways_are_not_warned_of(url: str) -> None:
    assert exposure(url) is None


def test_open_way_is_warned_of_with_a_tunnel() -> None:
    warning = exposure("http://10.0.0.1:8265")
    assert warning is not None
    assert "unencrypted" in warning
    assert "ssh -N -L 8265:127.0.0.1:8265 10.0.0.1" in warning


def test_token_is_found_where_ray_keeps_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with dashboard(token=TOKEN) as url:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text(TOKEN)
        assert reach(url, None).headers == {"Authorization": f"Bearer {TOKEN}"}
        (tmp_path / ".ray" / "auth_token").write_text("wrong")
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(token_file(tmp_path)))
        assert reach(url, None).token == TOKEN
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "nowhere"))
        monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)
        assert reach(url, None).token == TOKEN
        monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
        assert reach(url, tmp_path / "token").token == TOKEN


def test_token_is_not_sent_to_a_cluster_that_asks_for_none(tmp_path: Path) -> None:
    with dashboard() as url:
        assert reach(url, token_file(tmp_path)).headers == {}


def test_missing_token_is_told_with_where_it_was_looked_for() -> None:
    with (
        dashboard(token=TOKEN) as url,
        pytest.raises(InputError, match=r"asks for a token.*RAY_AUTH_TOKEN.*auth_token"),
    ):
        reach(url, None)


def test_wrong_token_is_told_with_where_it_was_found_and_not_shown(tmp_path: Path) -> None:
    wrong = "f" * 64
    file = token_file(tmp_path, wrong)
    with dashboard(token=TOKEN) as url, pytest.raises(InputError, match="is not the token of the cluster") as caught:
        reach(url, file)
    assert str(file) in str(caught.value)
    assert wrong not in str(caught.value)


@pytest.mark.parametrize("text", ["", "two words", "line\nline", "caf\u00e9"])
def test_file_that_holds_no_token_is_refused_without_showing_it(tmp_path: Path, text: str) -> None:
    with dashboard(token=TOKEN) as url, pytest.raises(InputError, match="must hold a token, one word") as caught:
        reach(url, token_file(tmp_path, text))
    assert not text or text not in str(caught.value)


def test_absent_token_file_is_told() -> None:
    with dashboard(token=TOKEN) as url, pytest.raises(InputError, match="cannot be read: No such file"):
        reach(url, Path("/no/such/token"))


def test_an_access_does_not_show_its_token() -> None:
    assert TOKEN not in repr(Access("http://127.0.0.1:1", TOKEN))


def test_name_that_no_machine_has_is_told() -> None:
    with pytest.raises(ClusterError, match=r"nobody answers there\. Start the cluster"):
        reach("http://cluster.invalid:8265", None)


def test_nobody_at_the_address_is_told() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(ClusterError, match=r"nobody answers there\. Start the cluster"):
        reach(url, None)


@pytest.mark.parametrize("answer", [404, {"hello": "there"}, [1]])
def test_somebody_else_at_the_address_is_told(answer: object) -> None:
    with dashboard({"/api/version": answer}) as url, pytest.raises(ClusterError, match="but not Ray's dashboard"):
        reach(url, None)


def test_cluster_of_another_ray_is_refused() -> None:
    with (
        dashboard(ray="2.41.0") as url,
        pytest.raises(ClusterError, match=r"runs Ray 2\.41\.0.*ray\[default,tune\]==2\.41\.0"),
    ):
        reach(url, None)
