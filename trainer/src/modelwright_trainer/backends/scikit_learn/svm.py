"""In go features and a fitted support vector machine, out come its answers, computed in FP64 as libsvm does."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_trainer.graph.answer import Answer
from modelwright_trainer.graph.scores import add_affine, add_flat, add_highest

from .coupling import add_coupling
from .linear import is_binary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph


def add_svm_regressor(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add a support vector regression."""
    kernel = _add_kernel(graph, features, estimator, kind)
    return add_flat(graph, add_affine(graph, kernel, estimator.dual_coef_.T.astype(kind), estimator.intercept_))


def add_svm_classifier(graph: Graph, features: str, estimator: Any, kind: str) -> Answer:
    """Add one decision for each pair of classes, and count its votes."""
    classes = len(estimator.classes_)
    pairs = list(combinations(range(classes), 2))
    breaks_ties = estimator.break_ties and not is_binary(estimator)
    kernel = _add_kernel(graph, features, estimator, kind)
    decisions = add_affine(graph, kernel, _pair_weights(estimator, pairs), estimator._intercept_.astype(kind))
    first = np.array([[float(one == pair[0]) for one in range(classes)] for pair in pairs])
    second = np.array([[float(one == pair[1]) for one in range(classes)] for pair in pairs])
    zero = graph.constant(np.array(0.0))
    # A decision of 0 goes to the first class in scikit-learn, which breaks ties, and to the second in libsvm.
    won = graph.add("GreaterOrEqual" if breaks_ties else "Greater", decisions, zero)
    votes = add_affine(graph, graph.cast(won, kind), first - second, second.sum(axis=0))
    if breaks_ties:
        votes = graph.add("Add", votes, _add_confidence(graph, decisions, first - second))
    probabilities = None
    if hasattr(estimator, "predict_proba"):
        slope, offset = estimator._probA, estimator._probB
        exponent = add_affine(graph, decisions, np.diag(-slope), -offset)
        probabilities = add_coupling(graph, graph.add("Sigmoid", exponent), first, second)
    return Answer(add_highest(graph, votes), probabilities)


def _add_confidence(graph: Graph, decisions: str, signs: NDArray[np.float64]) -> str:
    """Add the sums of decisions, brought below 1/3, that break ties of votes."""
    sums = graph.add("MatMul", decisions, graph.constant(signs))
    size = graph.add("Add", graph.add("Abs", sums), graph.constant(np.array(1.0)))
    return graph.add("Div", sums, graph.add("Mul", size, graph.constant(np.array(3.0))))


def _pair_weights(estimator: Any, pairs: list[tuple[int, int]]) -> NDArray[np.float64]:
    """Return the weight of each support vector in each pair's decision."""
    coefficients = estimator._dual_coef_
    ends = np.cumsum([0, *estimator.n_support_])
    weights = np.zeros((coefficients.shape[1], len(pairs)))
    for index, (first, second) in enumerate(pairs):
        of_first, of_second = slice(ends[first], ends[first + 1]), slice(ends[second], ends[second + 1])
        weights[of_first, index] = coefficients[second - 1, of_first]
        weights[of_second, index] = coefficients[first, of_second]
    return weights


def _add_kernel(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add the kernel of each row with each support vector."""
    vectors = estimator.support_vectors_.astype(kind)
    tensor = graph.cast(features, kind)
    products = graph.add("MatMul", tensor, graph.constant(vectors.T))
    if estimator.kernel == "linear":
        return products
    gamma = graph.constant(np.array(float(estimator._gamma)))
    if estimator.kernel == "rbf":
        own = graph.add("ReduceSum", graph.add("Mul", tensor, tensor), graph.whole(1))
        squares = graph.add("Add", own, graph.constant((vectors**2).sum(axis=1)[np.newaxis, :]))
        distance = graph.add("Sub", squares, graph.add("Mul", products, graph.constant(np.array(2.0))))
        return graph.add("Exp", graph.add("Neg", graph.add("Mul", distance, gamma)))
    scaled = graph.add("Mul", products, gamma)
    shifted = graph.add("Add", scaled, graph.constant(np.array(float(estimator.coef0))))
    if estimator.kernel == "sigmoid":
        return graph.add("Tanh", shifted)
    return graph.add("Pow", shifted, graph.constant(np.array(float(estimator.degree))))
