"""How far the run is, told over HTTP to whoever asks `GET /progress`.

It never stops a run: without its port it is silent.
"""

from __future__ import annotations

import json
import math
import socket
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, Final

from .log import log

if TYPE_CHECKING:
    from collections.abc import Mapping

PATH: Final = "/progress"


@dataclass
class Progress:
    """What is at work, and the best so far."""

    total: int = 0
    metric: str = ""
    activity: str = "reading"
    done: int = 0
    best: str | None = None
    epoch: int = 0
    epochs: int = 0
    """Of the candidate at work; 0 where it does not learn in epochs."""
    loss: float | None = None
    seconds: float | None = None
    """What the last epoch took."""
    _since: float = field(default_factory=time.monotonic)
    """When the last word came."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, activity: str, *, done: int | None = None, best: str | None = None) -> None:
        """Say what is at work now."""
        with self._lock:
            self.activity = activity
            self.done = self.done if done is None else done
            self.best = best or self.best
            self.epoch, self.epochs, self.loss, self.seconds = 0, 0, None, None
            self._since = time.monotonic()

    def watch(self, *, epoch: int, epochs: int, loss: float, metrics: Mapping[str, float] | None = None) -> None:
        """Note how far the candidate at work is."""
        del metrics
        with self._lock:
            now = time.monotonic()
            if epoch > self.epoch:
                # As the last ones took: the first has what is compiled, and a run that goes on tells many at once.
                self.seconds = (now - self._since) / (epoch - self.epoch)
                self._since = now
            self.epoch, self.epochs, self.loss = epoch, epochs, float(loss)

    def as_json(self) -> dict[str, Any]:
        """Return what is answered."""
        with self._lock:
            found: dict[str, Any] = {"activity": self.activity, "done": self.done, "total": self.total}
            if self.best is not None:
                found |= {"metric": self.metric, "best": self.best}
            if self.epochs:
                found |= {"epoch": self.epoch, "epochs": self.epochs}
                if self.seconds is not None:
                    found["secondsLeft"] = round(self.seconds * (self.epochs - self.epoch))
            if self.loss is not None and math.isfinite(self.loss):
                found["loss"] = f"{self.loss:.6g}"
            return found


class _Server(ThreadingHTTPServer):
    """Answers on addresses of both kinds, where the machine has both."""

    address_family = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the base class names them
        """Say what went wrong in a line of the log; of who asks and goes, nothing."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            log("progress was not told", error=f"{type(error).__name__}: {error!s:.200}")

    def server_bind(self) -> None:
        """Take the port, for both kinds."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


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
        server = _Server(("::" if socket.has_dualstack_ipv6() else "", port), Handler)
    except OSError as error:
        log("progress is not served", port=port, error=str(error))
        return None
    threading.Thread(target=server.serve_forever, daemon=True, name="progress").start()
    return server
