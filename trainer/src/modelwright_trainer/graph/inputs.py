"""What a backend finds in a graph to go on from: the tensors that the preparation left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import TypeAlias

    GraphInputs: TypeAlias = Mapping[str, "Tensor"]
    """By the names of `Part.inputs`, with the same values in the same shapes."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a graph."""

    name: str
    kind: str
    """A key of `builder.TYPES`: `float32`, `uint8`, `int64`, `text`."""
    shape: tuple[str | int, ...]
    """The first is `builder.ROWS`; another text is the name of a dimension that differs, as `time`."""
