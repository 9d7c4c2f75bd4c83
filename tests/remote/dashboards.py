"""A dashboard that answers as Ray's does, for what goes wrong at the door and on the way."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import Any

TOKEN = "0123456789abcdef" * 4


@contextmanager
def dashboard(answers: Mapping[str, Any] | None = None, *, token: str = "", ray: str = "") -> Iterator[str]:
    """A dashboard that answers some paths with JSON, or with a status; its address.

    Args:
        answers: by path, what it answers; a whole number is a status.
        token: what it asks for, if anything.
        ray: the version it says; default: ours.
    """
    known = {"/api/version": {"ray_version": ray or version("ray")}, **(answers or {})}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def _answer(self) -> None:
            sent = self.headers.get("Authorization")
            answer: Any = known.get(self.path, 404)
            if token and sent != f"Bearer {token}":
                answer = 403 if sent else 401
            status = answer if isinstance(answer, int) else 200
            content = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def job_fields(name: str, status: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """A job of ours as the dashboard tells it."""
    known = {"submission_id": name, "status": status, "message": "", "start_time": 1_700_000_000_000}
    return {**known, "metadata": {"lstm_tune": "0.1.0", "experiment": "sales"}, **fields}
