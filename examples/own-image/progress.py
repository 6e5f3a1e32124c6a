"""How far the run is: lines in the container's log, and `GET /progress` for the operator."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def log(line: str) -> None:
    """Say something in the container's log."""
    print(line, file=sys.stderr, flush=True)


@dataclass
class Progress:
    """How far the run is, in trees."""

    threads: int
    activity: str = "reading"
    done: int = 0
    total: int = 0
    metric: str = ""
    best: str = ""

    def advance(self) -> None:
        """Count a tree."""
        self.done += 1

    def serve(self, port: int) -> None:
        """Answer `GET /progress` from now on; without the port, nobody asks."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {"activity": progress.activity, "done": progress.done, "total": progress.total}
                found |= {"metric": progress.metric, "best": progress.best} if progress.best else {}
                self.send_response(200 if self.path == "/progress" else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found if self.path == "/progress" else {}).encode())

            def log_message(self, *_: object) -> None:
                pass

        progress = self
        try:
            server = ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            log(f"progress is not served: {error}")
            return
        threading.Thread(target=server.serve_forever, daemon=True).start()
