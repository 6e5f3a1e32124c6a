"""In go features and fitted trees, out come their sums, exact whatever the order of adding.

A leaf's value is written as two parts, each a multiple of a power of two so large that the sum over all trees fits the
24 bits of FP32. So no sum is ever rounded: neither the number of threads nor the provider changes an answer, and a tie
stays a tie. Thresholds are rounded down to FP32: for a feature in FP32 that is the same question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .answer import Answer
from .linear import add_flat, add_highest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .builder import Graph

MANTISSA_BITS: Final = 24
LEAF: Final = -1


def round_leaves(estimator: Any) -> None:
    """Bring a classifier's leaves to what the graph can hold exactly, so that Python adds the same numbers."""
    trees = trees_of(estimator)
    for tree in trees:
        high, low, _ = part_values(tree.tree_.value, len(trees), 1.0)
        tree.tree_.value[...] = high + low


def trees_of(estimator: Any) -> list[Any]:
    """Return the single trees."""
    return list(getattr(estimator, "estimators_", [estimator]))


def part_values(
    values: NDArray[np.float64], trees: int, largest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Part values of at most `largest` into a coarse and a fine part whose sums over the trees FP32 holds exactly."""
    sums = max(trees - 1, 0).bit_length()
    bits = MANTISSA_BITS - 1 - sums
    exponent = int(np.frexp(largest)[1]) if largest > 0 else 0
    coarse = np.ldexp(1.0, exponent - bits)
    fine = np.ldexp(1.0, exponent - 2 * bits)
    high = np.round(values / coarse) * coarse
    low = np.round((values - high) / fine) * fine
    return high, low, bool(low.any())


def add_trees(graph: Graph, features: str, estimator: Any) -> str:
    """Add all trees; return the mean over them, FP64 of shape (rows, values of a leaf)."""
    trees = [tree.tree_ for tree in trees_of(estimator)]
    width = trees[0].value.shape[2]
    largest = max(float(np.abs(tree.value).max()) for tree in trees)
    parts = [part_values(tree.value[:, 0, :], len(trees), largest) for tree in trees]
    fine = any(part[2] for part in parts)
    targets = width * 2 if fine else width
    attributes = _ensemble([_Nodes(tree) for tree in trees], [part[:2] for part in parts])
    sums = graph.add(
        "TreeEnsembleRegressor",
        features,
        domain="ai.onnx.ml",
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        **attributes,
    )
    total = graph.cast(sums, "float64")
    if fine:
        high = graph.add("Slice", total, graph.whole(0), graph.whole(width), graph.whole(1))
        low = graph.add("Slice", total, graph.whole(width), graph.whole(targets), graph.whole(1))
        total = graph.add("Add", high, low)
    return graph.add("Div", total, graph.constant(np.array(float(len(trees)))))


def add_tree_classifier(graph: Graph, features: str, estimator: Any) -> Answer:
    """Add trees that classify."""
    shares = add_trees(graph, features, estimator)
    return Answer(add_highest(graph, shares), shares)


def add_tree_regressor(graph: Graph, features: str, estimator: Any) -> str:
    """Add trees that predict a number."""
    return add_flat(graph, add_trees(graph, features, estimator))


class _Nodes:
    """The nodes of one tree."""

    def __init__(self, tree: Any) -> None:
        self.left = tree.children_left
        self.right = tree.children_right
        self.feature = tree.feature
        thresholds = tree.threshold
        rounded = thresholds.astype(np.float32)
        above = rounded.astype(np.float64) > thresholds
        rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
        self.threshold = rounded
        self.missing_left = tree.__getstate__()["nodes"]["missing_go_to_left"]
        self.leaf = self.left == LEAF


def _ensemble(trees: list[_Nodes], parts: list[tuple[NDArray[np.float64], NDArray[np.float64]]]) -> dict[str, Any]:
    """Return the operator's attributes. Values of 0 add nothing and are left out, but each leaf has one."""
    found: dict[str, list[Any]] = {
        f"nodes_{name}": []
        for name in (
            [
                "treeids",
                "nodeids",
                "featureids",
                "values",
                "modes",
                "truenodeids",
                "falsenodeids",
                "missing_value_tracks_true",
            ]
        )
    }
    found |= {f"target_{name}": [] for name in ("treeids", "nodeids", "ids", "weights")}
    for number, (nodes, (high, low)) in enumerate(zip(trees, parts, strict=True)):
        count = len(nodes.left)
        found["nodes_treeids"] += [number] * count
        found["nodes_nodeids"] += range(count)
        found["nodes_featureids"] += np.where(nodes.leaf, 0, nodes.feature).tolist()
        found["nodes_values"] += np.where(nodes.leaf, np.float32(0), nodes.threshold).tolist()
        found["nodes_modes"] += ["LEAF" if leaf else "BRANCH_LEQ" for leaf in nodes.leaf.tolist()]
        found["nodes_truenodeids"] += np.where(nodes.leaf, 0, nodes.left).tolist()
        found["nodes_falsenodeids"] += np.where(nodes.leaf, 0, nodes.right).tolist()
        found["nodes_missing_value_tracks_true"] += np.where(nodes.leaf, 0, nodes.missing_left).astype(int).tolist()
        for node in np.flatnonzero(nodes.leaf).tolist():
            weights = np.concatenate([high[node], low[node]])
            ids = np.flatnonzero(weights).tolist() or [0]
            found["target_treeids"] += [number] * len(ids)
            found["target_nodeids"] += [node] * len(ids)
            found["target_ids"] += ids
            found["target_weights"] += weights[ids].tolist()
    return found
