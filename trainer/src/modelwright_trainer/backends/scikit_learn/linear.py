"""In go features and a fitted linear model or multi-layer perceptron, out come scores and probabilities."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.graph.answer import Answer
from modelwright_trainer.graph.scores import (
    add_affine,
    add_complement,
    add_flat,
    add_highest,
    add_shares,
    add_sign,
)

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

BINARY: Final = 2


def add_linear(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add features times coefficients plus intercept, of shape (rows, scores), in the type `kind`."""
    coefficients = np.atleast_2d(estimator.coef_).astype(kind)
    intercept = np.atleast_1d(np.asarray(estimator.intercept_, dtype=kind))
    return add_affine(graph, graph.cast(features, kind), coefficients.T, intercept)


def add_linear_regressor(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add a linear regression."""
    return add_flat(graph, add_linear(graph, features, estimator, kind))


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


def add_perceptron_regressor(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    """Add a perceptron that predicts a number."""
    return add_flat(graph, add_perceptron(graph, features, estimator, kind))


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
