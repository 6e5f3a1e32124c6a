"""Ask a model the same question over and over, and count the answers.

In: a URL and the file of the question. Out, at SIGTERM or after the longest time, as one line of JSON: how many
requests were sent, how many failed and how the first of them did, and how many each version answered. Connections
are kept alive, as clients with a pool keep them: that is where a careless rollout loses requests.
"""

from __future__ import annotations

import http.client
import json
import signal
import sys
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 4
PER_SECOND = 25
LONGEST_SECONDS = 600
TIMEOUT_SECONDS = 30


@dataclass
class Tally:
    """What the workers have seen."""

    sent: int = 0
    failures: list[str] = field(default_factory=list)
    versions: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, version: str | None, failure: str | None) -> None:
        """Count one request."""
        with self.lock:
            self.sent += 1
            if failure is not None:
                self.failures.append(failure)
            elif version is not None:
                self.versions[version] += 1


def ask(connection: http.client.HTTPConnection, path: str, question: bytes) -> tuple[str | None, str | None]:
    """Send one request; give the version that answered, or how it failed."""
    try:
        connection.request("POST", path, question, {"content-type": "application/json"})
        response = connection.getresponse()
        body = response.read()
        if response.status != http.client.OK:
            return None, f"HTTP {response.status}: {body[:200].decode(errors='replace')}"
        if not json.loads(body).get("outputs"):
            return None, f"no outputs: {body[:200].decode(errors='replace')}"
        return response.getheader("x-modelwright-version"), None
    except (OSError, ValueError, http.client.HTTPException) as error:
        connection.close()
        return None, f"{type(error).__name__}: {error}"


def work(url: str, question: bytes, tally: Tally, stopped: threading.Event) -> None:
    """Send requests at a steady pace over one connection."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=TIMEOUT_SECONDS)
    turn = time.monotonic()
    while not stopped.wait(max(0.0, turn - time.monotonic())):
        turn = max(turn + 1 / PER_SECOND, time.monotonic())
        tally.add(*ask(connection, parts.path, question))
    connection.close()


def main() -> None:
    """Run the workers until told to stop."""
    url, question = sys.argv[1], Path(sys.argv[2]).read_bytes()
    stopped, tally = threading.Event(), Tally()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    workers = [threading.Thread(target=work, args=(url, question, tally, stopped)) for _ in range(CONNECTIONS)]
    for worker in workers:
        worker.start()
    stopped.wait(LONGEST_SECONDS)
    stopped.set()
    for worker in workers:
        worker.join()
    print(
        json.dumps(
            {
                "sent": tally.sent,
                "failed": len(tally.failures),
                "failures": tally.failures[:5],
                "versions": dict(sorted(tally.versions.items())),
            }
        )
    )


if __name__ == "__main__":
    main()
