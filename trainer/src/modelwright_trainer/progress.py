"""How far the run is, told over HTTP to whoever asks `GET /progress`.

It never stops a run: without its port it is silent.
"""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from .log import log

PATH: Final = "/progress"


@dataclass
class Progress:
    """What is at work, and the best so far."""

    total: int = 0
    metric: str = ""
    activity: str = "reading"
    done: int = 0
    best: str | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, activity: str, *, done: int | None = None, best: str | None = None) -> None:
        """Say what is at work now."""
        with self._lock:
            self.activity = activity
            self.done = self.done if done is None else done
            self.best = best or self.best

    def as_json(self) -> dict[str, Any]:
        """Return what is answered."""
        with self._lock:
            found: dict[str, Any] = {"activity": self.activity, "done": self.done, "total": self.total}
            if self.best is not None:
                found |= {"metric": self.metric, "best": self.best}
            return found


def serve_progress(progress: Progress, port: int) -> ThreadingHTTPServer | None:
    """Answer on a port from now on; `None` if the port cannot be had."""

    class Handler(BaseHTTPRequestHandler):
        """Answers one path."""

        timeout = 10

        def do_GET(self) -> None:
            """Answer with the progress."""
            if self.path.split("?")[0] != PATH:
                self.send_error(404, f"there is only {PATH}")
                return
            content = json.dumps(progress.as_json(), ensure_ascii=False).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
            """Say nothing of requests."""

    try:
        server = ThreadingHTTPServer(("", port), Handler)
    except OSError as error:
        log("progress is not served", port=port, error=str(error))
        return None
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True, name="progress").start()
    return server
