"""What the part of the graph for a classifier leaves to the outputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """Names of tensors."""

    index: str
    """int64 (rows,): which of the estimator's classes."""
    probabilities: str | None
    """(rows, classes), if the estimator gives them."""
