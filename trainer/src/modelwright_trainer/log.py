"""One line of JSON for each outcome, on standard error."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime


def log(message: str, **fields: object) -> None:
    """Write a line."""
    line = {"timestamp": datetime.now(UTC).isoformat(timespec="milliseconds"), "message": message, **fields}
    print(json.dumps(line, ensure_ascii=False, default=str), file=sys.stderr, flush=True)
