"""The requests of the operator, from the API server's audit log."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})
CREATED = frozenset({200, 201})
BAD_REQUEST = 400


@dataclass(frozen=True)
class Request:
    """One request of the operator."""

    verb: str
    # Plural name, with the subresource behind a slash.
    resource: str
    time: float
    code: int

    @property
    def writes(self) -> bool:
        """Whether it asks for a change."""
        return self.verb in WRITES

    @property
    def reads(self) -> bool:
        """Whether it asks for what is there; a watch only goes on with one that has run for minutes."""
        return not self.writes and self.verb != "watch"

    @property
    def failed(self) -> bool:
        """Whether it was refused."""
        return self.code >= BAD_REQUEST

    @property
    def made(self) -> bool:
        """Whether something may have come to be."""
        return self.code in CREATED


class Audit:
    """Reads the log as it grows. Leases are left out: they are a clock, not work."""

    def __init__(self, path: Path) -> None:
        """Read from a file that may not be there yet."""
        self.path = path
        self.offset = 0
        self.requests: list[Request] = []

    def read(self) -> list[Request]:
        """Give the requests since the last `skip`."""
        if self.path.exists():
            with self.path.open("rb") as log:
                log.seek(self.offset)
                text = log.read()
            whole = text.rfind(b"\n") + 1
            self.offset += whole
            self.requests += [request for line in text[:whole].splitlines() if (request := parse(line))]
        return self.requests

    def skip(self) -> list[Request]:
        """Give the requests since the last `skip`, and forget them."""
        requests = self.read()
        self.requests = []
        return requests


def parse(line: bytes) -> Request | None:
    """Read one line of the log: an event when its answer is complete, of a watch when it begins."""
    event = json.loads(line)
    reference = event.get("objectRef", {})
    stage = "ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"
    if event["stage"] != stage or reference.get("resource") == "leases":
        return None
    parts = [reference.get("resource", event["requestURI"]), reference.get("subresource")]
    return Request(
        verb=event["verb"],
        resource="/".join(part for part in parts if part),
        time=datetime.fromisoformat(event["stageTimestamp"]).timestamp(),
        code=event.get("responseStatus", {}).get("code", 0),
    )
