"""What goes into the export of one layer, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph


@dataclass(frozen=True)
class Padding:
    """Which steps of time are a row's own; all others lie behind them."""

    lengths: str
    """INT64 (rows,): from 1 to the number of steps."""
    mask: str
    """BOOL (rows, time)."""


@dataclass(frozen=True)
class Value:
    """A tensor of the graph whose first axis holds the rows."""

    name: str
    shape: tuple[int | None, ...]
    """Sizes behind the rows; None is known only when the graph runs."""
    padding: Padding | None = None
    """Where rows have lengths of their own."""


@dataclass(frozen=True)
class Step:
    """One layer with all that its export depends on."""

    inputs: tuple[Value, ...]
    parameters: Mapping[str, Any]
    weights: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @property
    def input(self) -> Value:
        """The first input, or the only one."""
        return self.inputs[0]


def number(graph: Graph, value: float) -> str:
    """Add one FP32 number."""
    return graph.constant(np.array(value, dtype=np.float32))


def integer(graph: Graph, value: int) -> str:
    """Add one INT64 number of no axes."""
    return graph.constant(np.array(value, dtype=np.int64))


def weight(graph: Graph, values: NDArray[Any]) -> str:
    """Add trained numbers, as FP32."""
    return graph.constant(np.asarray(values, dtype=np.float32))


def move_axes(graph: Graph, tensor: str, *order: int) -> str:
    """Add a transposition."""
    return graph.add("Transpose", tensor, perm=list(order))


def add_steps(graph: Graph, tensor: str) -> str:
    """Add how many steps of time a tensor (rows, time, …) has, INT64 of no axes."""
    return graph.add("Squeeze", graph.add("Shape", tensor, start=1, end=2), graph.whole(0))


def add_range(graph: Graph, end: str) -> str:
    """Add the whole numbers from 0 up to, and without, an end."""
    return graph.add("Range", integer(graph, 0), end, integer(graph, 1))


def keep_own(graph: Graph, tensor: str, mask: str, otherwise: float) -> str:
    """Put a number in place of all that lies behind a row's own steps, in (rows, time, channels)."""
    return graph.add("Where", graph.add("Unsqueeze", mask, graph.whole(2)), tensor, number(graph, otherwise))
