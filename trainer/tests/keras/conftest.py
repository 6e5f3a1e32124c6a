"""Tests that load TensorFlow, in one process for all of them. Where it is not installed they are left out."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import pytest

collect_ignore_glob = [] if find_spec("tensorflow") else ["test_*.py"]


@pytest.fixture(scope="session")
def tensorflow() -> Any:
    from modelwright_trainer.backends.keras.start import start  # noqa: PLC0415 - it loads TensorFlow

    return start()
