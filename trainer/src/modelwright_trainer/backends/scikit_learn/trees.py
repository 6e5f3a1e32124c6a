"""In go features and fitted trees, out come their sums, exact whatever the order of adding.

A leaf's value is written as two parts, each a multiple of a power of two so large that the sum over all trees fits the
24 bits of FP32. So no sum is ever rounded: neither the number of threads nor the provider changes an answer, and a tie
stays a tie. Thresholds are rounded down to FP32: for a feature in FP32 that is the same question.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.graph.answer import Answer
from modelwright_trainer.graph.packed import Packed
from modelwright_trainer.graph.scores import add_flat, add_highest

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph

MANTISSA_BITS: Final = 24
LEAF: Final = -1
MOST_NODES: Final = 25_000
"""Of the trees that ONNX Runtime loads at once to compare answers, where one does not have more."""


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


class Forest:
    """Fitted trees, and how their values are parted: the same for each of them."""

    def __init__(self, estimator: Any) -> None:
        """Look at the trees."""
        self.trees = [tree.tree_ for tree in trees_of(estimator)]
        self.width: int = self.trees[0].value.shape[2]
        self._largest = max(float(np.abs(tree.value).max()) for tree in self.trees)
        self.fine = any(self.parts_of(tree)[2] for tree in self.trees)

    def parts_of(self, tree: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
        """Part the values of one tree."""
        return part_values(tree.value[:, 0, :], len(self.trees), self._largest)

    def runs(self, most_nodes: int) -> list[tuple[int, int]]:
        """Part the trees into runs of at most so many nodes, and of one tree at least."""
        found, first, nodes = [], 0, 0
        for number, tree in enumerate(self.trees):
            if number > first and nodes + tree.node_count > most_nodes:
                found.append((first, number))
                first, nodes = number, 0
            nodes += tree.node_count
        return [*found, (first, len(self.trees))]


def add_sums(graph: Graph, features: str, forest: Forest, first: int, end: int) -> str:
    """Add the trees from `first` to before `end`; return their sums, FP64 of shape (rows, values of a leaf)."""
    width = forest.width
    targets = width * 2 if forest.fine else width
    sums = graph.add_packed(
        "TreeEnsembleRegressor",
        features,
        "ai.onnx.ml",
        _ensemble(forest, first, end),
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
    )
    total = graph.cast(sums, "float64")
    if forest.fine:
        high = graph.add("Slice", total, graph.whole(0), graph.whole(width), graph.whole(1))
        low = graph.add("Slice", total, graph.whole(width), graph.whole(targets), graph.whole(1))
        total = graph.add("Add", high, low)
    return total


def add_mean(graph: Graph, sums: str, forest: Forest) -> str:
    """Add the mean over all trees, of their sums."""
    return graph.add("Div", sums, graph.constant(np.array(float(len(forest.trees)))))


def add_tree_classifier(graph: Graph, means: str) -> Answer:
    """Add what trees that classify answer."""
    return Answer(add_highest(graph, means), means)


def add_tree_regressor(graph: Graph, means: str) -> str:
    """Add what trees that predict a number answer."""
    return add_flat(graph, means)


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


def _ensemble(forest: Forest, first: int, end: int) -> dict[str, Packed]:
    """Return the operator's attributes. Values of 0 add nothing and are left out, but each leaf has one."""
    lists = ("treeids", "nodeids", "featureids", "truenodeids", "falsenodeids", "missing_value_tracks_true")
    found = {f"nodes_{name}": Packed("ints") for name in lists}
    found |= {"nodes_values": Packed("floats"), "nodes_modes": Packed("strings")}
    found |= {f"target_{name}": Packed("ints") for name in ("treeids", "nodeids", "ids")}
    found["target_weights"] = Packed("floats")
    for number, tree in enumerate(forest.trees[first:end]):
        nodes, (high, low, _) = _Nodes(tree), forest.parts_of(tree)
        count = len(nodes.left)
        found["nodes_treeids"].add_numbers(np.full(count, number))
        found["nodes_nodeids"].add_numbers(np.arange(count))
        found["nodes_featureids"].add_numbers(np.where(nodes.leaf, 0, nodes.feature))
        found["nodes_values"].add_numbers(np.where(nodes.leaf, np.float32(0), nodes.threshold))
        found["nodes_modes"].add_words((b"BRANCH_LEQ", b"LEAF"), nodes.leaf.astype(np.intp))
        found["nodes_truenodeids"].add_numbers(np.where(nodes.leaf, 0, nodes.left))
        found["nodes_falsenodeids"].add_numbers(np.where(nodes.leaf, 0, nodes.right))
        found["nodes_missing_value_tracks_true"].add_numbers(np.where(nodes.leaf, 0, nodes.missing_left))
        weights = np.concatenate([high[nodes.leaf], low[nodes.leaf]], axis=1)
        kept = weights != 0
        kept[~kept.any(axis=1), 0] = True
        leaves, ids = np.nonzero(kept)
        found["target_treeids"].add_numbers(np.full(len(ids), number))
        found["target_nodeids"].add_numbers(np.flatnonzero(nodes.leaf)[leaves])
        found["target_ids"].add_numbers(ids)
        found["target_weights"].add_numbers(weights[kept])
    return found
