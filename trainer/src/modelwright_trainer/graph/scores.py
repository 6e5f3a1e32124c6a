"""Parts of graphs that turn scores into answers, for whatever learned them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .builder import Graph


def add_affine(graph: Graph, tensor: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
    """Add a product of matrices and a sum."""
    return graph.add("Gemm", tensor, graph.constant(weights), graph.constant(bias))


def add_flat(graph: Graph, tensor: str) -> str:
    """Bring (rows, 1) to (rows,)."""
    return graph.add("Squeeze", tensor, graph.whole(1))


def add_sign(graph: Graph, scores: str, kind: str) -> str:
    """Add which of two classes a score means: above 0 the second."""
    positive = graph.add("Greater", scores, graph.constant(np.array(0, dtype=kind)))
    return add_flat(graph, graph.cast(positive, "int64"))


def add_highest(graph: Graph, scores: str) -> str:
    """Add which column is the highest; of equal ones the first."""
    return graph.add("ArgMax", scores, axis=1, keepdims=0)


def add_complement(graph: Graph, shares: str, kind: str) -> str:
    """Make the probability of the second class those of both."""
    rest = graph.add("Sub", graph.constant(np.array(1, dtype=kind)), shares)
    return graph.add("Concat", rest, shares, axis=1)


def add_shares(graph: Graph, shares: str, kind: str) -> str:
    """Bring rows to the sum 1; a row of zeros gets equal shares."""
    axis = graph.whole(1)
    nothing = graph.add("Equal", graph.add("ReduceSum", shares, axis), graph.constant(np.array(0, dtype=kind)))
    mended = graph.add("Where", nothing, graph.constant(np.array(1, dtype=kind)), shares)
    return graph.add("Div", mended, graph.add("ReduceSum", mended, axis))
