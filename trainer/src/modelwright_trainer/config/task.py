"""What is learned."""

from __future__ import annotations

from enum import StrEnum


class Task(StrEnum):
    """What is learned."""

    CLASSIFICATION = "Classification"
    REGRESSION = "Regression"
