"""The door of a cluster: its address, its token, and whether Ray answers there."""

import importlib.metadata
import ipaddress
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import NewConnectionError

from lstm_tune.spec.errors import ClusterError, InputError

DEFAULT_ADDRESS = "http://127.0.0.1:8265"
ADDRESS_VARIABLES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
TOKEN_FILE = Path("~/.ray/auth_token")
TIMEOUT_S = (10.0, 60.0)
"""Seconds to wait for a connection, and for an answer."""

_MISSING, _WRONG = 401, 403


@dataclass(frozen=True)
class Access:
    """What it takes to talk to a cluster.

    Attributes:
        url: of Ray's dashboard, without a slash at its end.
        token: never shown; empty where the cluster asks for none.
    """

    url: str
    token: str = field(default="", repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"Authorization": f"Bearer {self.token}"} if self.token else {}


@dataclass(frozen=True)
class _Token:
    """A token and where it was found."""

    text: str = field(repr=False)
    where: str


def find_address(address: str | None) -> str:
    """The address of the cluster's dashboard.

    Args:
        address: what the user said; None: what Ray's variables say, as far as they hold an http address, else this
            machine.

    Raises:
        InputError: it is not an http address.
    """
    values = [value for name in ADDRESS_VARIABLES if (value := os.environ.get(name, "")).startswith("http")]
    wanted = address or next(iter(values), DEFAULT_ADDRESS)
    parts = urlsplit(wanted)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        shown = wanted if "@" not in wanted else "one with a password"
        problem = f"must be the http:// or https:// address of Ray's dashboard, found {shown}"
        raise InputError.at("--address", f"{problem}. It usually ends with :8265, such as {DEFAULT_ADDRESS}")
    return wanted.rstrip("/")


def exposure(url: str) -> str | None:
    """A warning where anyone on the way could read what is sent, or None."""
    parts = urlsplit(url)
    if parts.scheme == "https" or _is_loopback(parts.hostname or ""):
        return None
    port = parts.port or 80
    tunnel = f"ssh -N -L {port}:127.0.0.1:{port} {parts.hostname}"
    advice = f"Rather open a tunnel ({tunnel}) and say --address http://127.0.0.1:{port}"
    return f"token and data travel to {parts.hostname} unencrypted. {advice}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reach(url: str, token_file: Path | None) -> Access:
    """Asks the cluster who it is; the token is sent only where one is asked for.

    Args:
        url: of the dashboard.
        token_file: holds the token; None: it is read from where Ray keeps it.

    Raises:
        ClusterError: nobody answers, it is not Ray, or another Ray than ours.
        InputError: the token is missing or wrong.
    """
    access = Access(url)
    answer = _ask_version(access)
    if answer.status_code in (_MISSING, _WRONG):
        token = _find_token(url, token_file)
        access = Access(url, token.text)
        answer = _ask_version(access)
        if answer.status_code in (_MISSING, _WRONG):
            problem = f"is not the token of the cluster at {url}. Ask whoever started it, or copy the file"
            raise InputError.at(token.where, f"{problem} {TOKEN_FILE} of its head and name it with --token-file")
    _check_version(url, answer)
    return access


def _ask_version(access: Access) -> requests.Response:
    try:
        return requests.get(
            f"{access.url}/api/version", headers=access.headers, timeout=TIMEOUT_S, allow_redirects=False
        )
    except (requests.exceptions.ConnectTimeout, requests.exceptions.SSLError) as error:
        what = "the encrypted connection failed" if isinstance(error, requests.exceptions.SSLError) else "no answer"
        raise ClusterError(f"{access.url}: {what}. Check the address, and any firewall or proxy between") from None
    except requests.exceptions.ConnectionError as error:
        reason = getattr(error.args[0], "reason", None) if error.args else None
        if isinstance(reason, NewConnectionError):  # refused, no route, or no such name
            raise ClusterError(
                f"{access.url}: nobody answers there. Start the cluster, open the tunnel to it, or name its address "
                "with --address"
            ) from None
        raise _not_ray(access.url) from None
    except requests.exceptions.RequestException:
        raise _not_ray(access.url) from None


def _not_ray(url: str) -> ClusterError:
    return ClusterError(
        f"{url}: somebody answers, but not Ray's dashboard. Its port is usually 8265; 6379 and 10001 are other doors"
    )


def _check_version(url: str, answer: requests.Response) -> None:
    try:
        theirs = str(answer.json()["ray_version"])
    except (ValueError, KeyError, TypeError):
        raise _not_ray(url) from None
    ours = importlib.metadata.version("ray")
    if theirs.split(".")[:2] != ours.split(".")[:2]:
        raise ClusterError(
            f"{url}: the cluster runs Ray {theirs}, and here is {ours}; they must agree in their first two numbers. "
            f'Install the other one: pip install "ray[default,tune]=={theirs}"'
        )


def _find_token(url: str, token_file: Path | None) -> _Token:
    token = next(_tokens(token_file), None)
    if token is None:
        names = f"RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH and {TOKEN_FILE}"
        problem = f"{url} asks for a token, and none was found in {names}. Copy the file"
        raise InputError.at("--token-file", f"{problem} {TOKEN_FILE} of the cluster's head and name it here")
    if not token.text.isascii() or not token.text.isprintable() or " " in token.text or not token.text:
        raise InputError.at(token.where, "must hold a token, one word, and does not. Copy it again from the cluster")
    return token


def _tokens(token_file: Path | None) -> Iterator[_Token]:
    """Tokens in the order in which they count; a file that the user named must be there."""
    if token_file is not None:
        yield _Token(_read(token_file), f"--token-file {token_file}")
    if text := os.environ.get("RAY_AUTH_TOKEN", "").strip():
        yield _Token(text, "RAY_AUTH_TOKEN")
    if name := os.environ.get("RAY_AUTH_TOKEN_PATH"):
        yield _Token(_read(Path(name)), f"RAY_AUTH_TOKEN_PATH={name}")
    if TOKEN_FILE.expanduser().is_file():
        yield _Token(_read(TOKEN_FILE), str(TOKEN_FILE))


def _read(file: Path) -> str:
    try:
        return file.expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError.at(str(file), f"must hold the cluster's token, but cannot be read: {reason}") from None
