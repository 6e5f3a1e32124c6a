"""What a backend is given to learn from, and what it answers: arrays, whatever the data was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    from numpy.typing import NDArray

    from .config import Task
    from .table import Numbers

    Arrays: TypeAlias = dict[str, NDArray[Any]]


class Kind(StrEnum):
    """What one row is, and so which names `Part.inputs` has."""

    TABLE = "table"
    """`features`: FP32 (rows, width), after the preparation."""
    IMAGES = "images"
    """`images`: UINT8 (rows, height, width, channels), resized where that is asked for."""
    SEQUENCES = "sequences"
    """`sequences`: FP32 (rows, time, channels); where rows have lengths of their own also `lengths`: INT64 (rows,).

    Behind a row's length there are zeros, and they mean nothing.
    """
    TEXT = "text"
    """`text`: texts as objects, (rows, 1)."""
    WINDOW = "window"
    """`past`: FP32 (rows, past, channels); the label's own column is channel 0."""


@dataclass(frozen=True)
class Part:
    """Rows of one part, as backends take them."""

    inputs: Arrays
    """By the names of `Kind`; the first axis of each counts the rows."""
    truth: NDArray[Any]
    """INT64 numbers of classes (places in `Material.classes`), or the FP64 numbers to predict."""

    @property
    def rows(self) -> int:
        """How many there are."""
        return len(self.truth)


@dataclass(frozen=True)
class Material:
    """What candidates are trained with."""

    task: Task
    kind: Kind
    train: Part
    validation: Part
    classes: NDArray[Any]
    """The labels that occur, sorted, INT64 or text; empty for a regression."""
    may_miss: tuple[str, ...] = ()
    """Columns of a table whose numbers may be NaN in `features`."""
    features: tuple[str, ...] = ()
    """What each place of the last axis of the data is, where that has a name."""


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows. A classification has `index`, a regression `prediction`."""

    index: NDArray[Any] | None = None
    """INT64 (rows,): which of the run's classes, a place in `Material.classes`."""
    probabilities: Numbers | None = None
    """(rows, known classes): one column for each of `Estimator.classes`, as FP32 as in the graph."""
    prediction: Numbers | None = None
    """FP32 (rows,)."""


class Watch(Protocol):
    """Is told how far a training is; it may be called after each epoch, or more often."""

    def __call__(self, *, epoch: int, epochs: int, loss: float, metrics: Mapping[str, float] | None = None) -> None:
        """Note that `epoch` epochs of `epochs` are done; `metrics` by Keras' names, such as `val_loss`."""
