"""What was read where rows are no rows of a table: the tensors of the wire, and the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .table import places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .material import Arrays, Kind
    from .table import Column, Indices, Mask


@dataclass(frozen=True)
class Tensors:
    """Images, sequences, texts or windows of all rows, and their labels."""

    kind: Kind
    arrays: Arrays
    """By the names of `Kind`, as the graph takes them; texts are objects."""
    labels: NDArray[Any]
    """As in a table."""
    unlabelled: Mask
    files: tuple[tuple[str, int], ...]
    features: tuple[str, ...]
    """What the report calls them."""
    size: tuple[int, int] | None = None
    """Height and width that the graph brings images to."""
    spans: tuple[Indices, Indices] | None = None
    """Of windows: the first and the last step of each, its target included."""
    steps: int = 0
    """Of windows: how many steps the series has that is parted."""
    tests: int = 0
    """How many rows at the end are a test set of one's own."""
    notes: tuple[str, ...] = ()
    """What a user should know of how they were read."""
    left_out: tuple[str, ...] = ()
    """Columns of the data that are an index."""
    columns: tuple[Column, ...] = ()
    """It has none."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def places(self, rows: Mask) -> str:
        """Say where rows are, as a table does."""
        return places(np.flatnonzero(rows), self.files)

    def dimensions(self, name: str) -> tuple[str | int, ...]:
        """Return the shape of one row in the graph: names stand for what differs from request to request."""
        shape: tuple[int, ...] = self.arrays[name].shape[1:]
        if name == "images" and self.size is not None:
            return ("height", "width", shape[2])
        if name == "sequences" and "lengths" in self.arrays:
            return ("time", shape[1])
        return shape
