"""Where the time of a request goes inside the runtime, from its own statistics (an extension of the protocol).

In: a server that answers `/v2/models/NAME/stats`. Out: what a load added to them.
"""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass, fields
from typing import Any

# As the extension names them, in the order of a request's way.
QUEUE, INPUT, INFER, OUTPUT = "queue", "compute_input", "compute_infer", "compute_output"
LONGEST_SECONDS = 10


@dataclass(frozen=True)
class Steps:
    """Sums over requests: how many, in how many runs, and nanoseconds of each step."""

    requests: int = 0
    runs: int = 0
    queue: int = 0
    compute_input: int = 0
    compute_infer: int = 0
    compute_output: int = 0

    def __add__(self, other: Steps) -> Steps:
        """Add up."""
        return Steps(*(getattr(self, field.name) + getattr(other, field.name) for field in fields(self)))

    def since(self, before: Steps) -> Steps:
        """Give what came after."""
        return Steps(*(getattr(self, field.name) - getattr(before, field.name) for field in fields(self)))

    def microseconds(self, step: str) -> float:
        """Give how long a step takes on average."""
        return float(getattr(self, step)) / max(1, self.requests) / 1000


def read(port: int, model: str) -> Steps:
    """Ask a server on loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
    try:
        connection.request("GET", f"/v2/models/{model}/stats")
        found: dict[str, Any] = json.loads(connection.getresponse().read())["model_stats"][0]
    finally:
        connection.close()
    taken = (int(found["inference_stats"][step]["ns"]) for step in (QUEUE, INPUT, INFER, OUTPUT))
    return Steps(int(found["inference_count"]), int(found["execution_count"]), *taken)
