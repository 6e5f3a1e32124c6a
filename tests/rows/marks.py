"""Marks what only `make test-full` runs."""

import pytest


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers", "full: takes minutes, or needs packages of others; only `make test-full` runs it"
    )
