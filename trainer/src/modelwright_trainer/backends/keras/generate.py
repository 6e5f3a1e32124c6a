"""Writes the table of layers for the operator: `python -m modelwright_trainer.backends.keras.generate FILE`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from .choices import build_layers_json


def write_layers(path: Path) -> None:
    """Write the table, the same bytes each time."""
    path.write_text(json.dumps(build_layers_json(), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_layers(Path(sys.argv[1]))
