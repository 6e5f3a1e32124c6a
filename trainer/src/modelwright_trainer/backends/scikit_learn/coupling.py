"""In go probabilities for pairs of classes, out come those of all classes.

This is the iteration of libsvm (Wu, Lin and Weng 2004, their second method), step by step, since it stops before it has
converged.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from modelwright_trainer.graph.builder import ROWS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph

SMALLEST: Final = 1e-7
FEWEST_ROUNDS: Final = 100
TOLERANCE: Final = 0.005


def add_coupling(graph: Graph, pairs: str, first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    """Add the loop; `first` and `second` say for each pair which classes it is of. Returns (rows, classes)."""
    classes = first.shape[1]
    shares = graph.add("Clip", pairs, graph.constant(np.array(SMALLEST)), graph.constant(np.array(1 - SMALLEST)))
    rest = graph.add("Sub", graph.constant(np.array(1.0)), shares)
    above = np.einsum("pi,pj->pij", first, second).reshape(len(first), -1)
    below = np.einsum("pi,pj->pij", second, first).reshape(len(first), -1)
    flat = graph.add(
        "Add",
        graph.add("MatMul", shares, graph.constant(above)),
        graph.add("MatMul", rest, graph.constant(below)),
    )
    table = graph.add("Reshape", flat, graph.whole(-1, classes, classes))
    squares = graph.add("ReduceSum", graph.add("Mul", table, table), graph.whole(1), keepdims=0)
    across = graph.add("Neg", graph.add("Mul", table, graph.add("Transpose", table, perm=[0, 2, 1])))
    diagonal = graph.add("Mul", graph.add("Unsqueeze", squares, graph.whole(2)), graph.constant(np.eye(classes)[None]))
    matrix = graph.add("Add", across, diagonal)
    zeros = graph.add("Mul", graph.add("Unsqueeze", squares, graph.whole(2)), graph.constant(np.array(0.0)))
    start = graph.add("Add", zeros, graph.constant(np.array(1.0 / classes)))
    body = _body(graph, matrix, classes)
    rounds = graph.constant(np.array(max(FEWEST_ROUNDS, classes), dtype=np.int64))
    going = graph.constant(np.array(1, dtype=bool))
    found = graph.add("Loop", rounds, going, start, body=body)
    return graph.add("Squeeze", found, graph.whole(2))


def _body(outer: Graph, matrix: str, classes: int) -> object:
    """One round, for the rows that have not stopped."""
    graph = outer.inner()
    before = "p\tbefore"
    one, two = graph.constant(np.array(1.0)), graph.constant(np.array(2.0))
    product = graph.add("MatMul", matrix, before)
    energy = graph.add("ReduceSum", graph.add("Mul", before, product), graph.whole(1))
    error = graph.add("ReduceMax", graph.add("Abs", graph.add("Sub", product, energy)), graph.whole(1))
    limit = graph.constant(np.array(TOLERANCE / classes))
    active = graph.add("Not", graph.add("Less", error, limit))
    now = before
    for index in range(classes):
        at, after = graph.whole(index), graph.whole(index + 1)
        own = graph.add("Slice", product, at, after, graph.whole(1))
        column = graph.add("Slice", matrix, at, after, graph.whole(2))
        pivot = graph.add("Slice", column, at, after, graph.whole(1))
        step = graph.add("Div", graph.add("Sub", energy, own), pivot)
        size = graph.add("Add", one, step)
        unit = graph.constant(np.eye(classes)[None, :, index : index + 1])
        now = graph.add("Div", graph.add("Add", now, graph.add("Mul", step, unit)), size)
        gain = graph.add("Add", graph.add("Mul", step, pivot), graph.add("Mul", two, own))
        energy = graph.add("Div", graph.add("Div", graph.add("Add", energy, graph.add("Mul", step, gain)), size), size)
        product = graph.add("Div", graph.add("Add", product, graph.add("Mul", step, column)), size)
    kept = graph.add("Where", active, now, before)
    again = graph.add(
        "Greater",
        graph.add("ReduceMax", graph.cast(active, "float32"), keepdims=0),
        graph.constant(np.array(0, np.float32)),
    )
    shape = (ROWS, classes, 1)
    return graph.as_body(
        [("i\tround", "int64", ()), ("c\tgoing", "bool", ()), (before, "float64", shape)],
        [(again, "bool", ()), (kept, "float64", shape)],
    )
