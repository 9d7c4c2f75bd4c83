"""A real S3 server on loopback, and a door before it that can be shut."""

import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

BUCKET = "bucket"
WRITES = (b"PUT ", b"POST ", b"DELETE ")
_BODY = b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
REFUSAL = b"HTTP/1.1 503 Slow Down\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


@dataclass
class Store:
    """A bucket of an S3 server behind a door.

    Attributes:
        port: of the door.
        is_shut: whether the door answers 503 to all that would write.
        refused: requests that it answered so.
    """

    port: int
    is_shut: bool = False
    refused: int = 0

    def address(self, path: str, *, bucket: str = BUCKET) -> str:
        """The address of a folder in a bucket."""
        return f"s3://{bucket}/{path}?endpoint_override=127.0.0.1:{self.port}&scheme=http"


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


@contextmanager
def server() -> Iterator[int]:
    """moto's S3 in a process of its own, with an empty bucket; its port."""
    port = _free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with suppress(OSError):
                request = urllib.request.Request(f"http://127.0.0.1:{port}/{BUCKET}", method="PUT")
                urllib.request.urlopen(request, timeout=60).close()
                break
            time.sleep(0.1)  # it is still starting
        yield port
    finally:
        process.kill()
        process.wait()


@contextmanager
def door(port: int) -> Iterator[Store]:
    """Passes requests on to a server, or refuses those that write."""
    store = Store(0)

    class Visit(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port)) as behind:
                back = threading.Thread(target=_pass_on, args=(behind, self.request), daemon=True)
                back.start()
                while data := self.request.recv(1 << 16):
                    if store.is_shut and data.startswith(WRITES):
                        store.refused += 1
                        self.request.sendall(REFUSAL)
                        break
                    behind.sendall(data)
                behind.shutdown(socket.SHUT_RDWR)
                back.join()

    class Door(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Door(("127.0.0.1", 0), Visit) as passing:
        store.port = passing.server_address[1]
        thread = threading.Thread(target=passing.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield store
        finally:
            passing.shutdown()
            thread.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
