"""In go features and a fitted linear model or multi-layer perceptron, out come scores and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .answer import Answer

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .builder import Graph

BINARY: Final = 2


def add_linear(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add features times coefficients plus intercept, of shape (rows, scores), in the type `kind`."""
    coefficients = np.atleast_2d(estimator.coef_).astype(kind)
    intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=kind))
    return add_affine(graph, graph.cast(features, kind), coefficients.T, intercept)


def add_affine(graph: Graph, tensor: str, weights: NDArray[Any], bias: NDArray[Any]) -> str:
    """Add a product of matrices and a sum."""
    return graph.add("Gemm", tensor, graph.constant(weights), graph.constant(bias))


def add_linear_classifier(graph: Graph, features: str, estimator: Any, kind: str) -> Answer:
    """Add a linear classifier: of two classes by the sign of one score, of more by the highest."""
    scores = add_linear(graph, features, estimator, kind)
    binary = is_binary(estimator)
    index = add_sign(graph, scores, kind) if binary else add_highest(graph, scores)
    if not hasattr(estimator, "predict_proba"):
        return Answer(index, None)
    loss = getattr(estimator, "loss", "multinomial")
    if loss == "modified_huber":
        one = graph.constant(np.array(1, dtype=kind))
        clipped = graph.add("Clip", scores, graph.constant(np.array(-1, dtype=kind)), one)
        shares = graph.add("Div", graph.add("Add", clipped, one), graph.constant(np.array(2, dtype=kind)))
    elif loss == "multinomial" and not binary:
        return Answer(index, graph.add("Softmax", scores, axis=1))
    else:
        shares = graph.add("Sigmoid", scores)
    return Answer(index, add_complement(graph, shares, kind) if binary else add_shares(graph, shares, kind))


def add_perceptron(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add all layers; return the activation of the last, of shape (rows, outputs)."""
    tensor = graph.cast(features, kind)
    last = len(estimator.coefs_) - 1
    for layer, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        tensor = add_affine(graph, tensor, weights.astype(kind), bias.astype(kind))
        activation = estimator.out_activation_ if layer == last else estimator.activation
        if activation == "softmax":
            tensor = graph.add("Softmax", tensor, axis=1)
        elif activation != "identity":
            operator = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "exp": "Exp"}[activation]
            tensor = graph.add(operator, tensor)
    return tensor


def add_perceptron_classifier(graph: Graph, features: str, estimator: Any, kind: str) -> Answer:
    """Add a perceptron that classifies: of two classes by one half, of more by the highest."""
    outputs = add_perceptron(graph, features, estimator, kind)
    if not is_binary(estimator):
        return Answer(add_highest(graph, outputs), outputs)
    half = graph.constant(np.array(0.5, dtype=kind))
    index = add_flat(graph, graph.cast(graph.add("Greater", outputs, half), "int64"))
    return Answer(index, add_complement(graph, outputs, kind))


def is_binary(estimator: Any) -> bool:
    """Whether a classifier knows two classes only."""
    return len(estimator.classes_) == BINARY


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
