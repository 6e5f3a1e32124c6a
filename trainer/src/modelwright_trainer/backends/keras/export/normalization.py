"""In go normalizations, out come their operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .value import Value, weight

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

    from .value import Step


def add_batch_normalization(graph: Graph, step: Step) -> Value:
    """Add a product and a sum: what was learned of the training part is fixed in use."""
    mean, variance = (np.asarray(step.weights[f"moving_{name}"], dtype=np.float64) for name in ("mean", "variance"))
    gamma, beta = _scale_and_center(step)
    factor = (1.0 if gamma is None else gamma) / np.sqrt(variance + step.parameters["epsilon"])
    offset = (0.0 if beta is None else beta) - mean * factor
    scaled = graph.add("Mul", step.input.name, weight(graph, factor))
    return Value(graph.add("Add", scaled, weight(graph, offset)), step.input.shape)


def add_layer_normalization(graph: Graph, step: Step) -> Value:
    """Add a normalization of the last axis, of each place by itself."""
    tensor = add_normalized(graph, step.input, step.parameters["epsilon"], *_scale_and_center(step))
    return Value(tensor, step.input.shape)


def _scale_and_center(step: Step) -> tuple[Any | None, Any | None]:
    """Give what multiplies and what is added, where there is such."""
    wanted = {"gamma": step.parameters["scale"], "beta": step.parameters["center"]}
    gamma, beta = (step.weights[name] if has else None for name, has in wanted.items())
    return gamma, beta


def add_normalized(graph: Graph, value: Value, epsilon: float, gamma: Any | None, beta: Any | None) -> str:
    """Add the operator, which wants a factor."""
    parts = [weight(graph, np.ones(value.shape[-1] or 1) if gamma is None else gamma)]
    if beta is not None:
        parts.append(weight(graph, beta))
    return graph.add("LayerNormalization", value.name, *parts, axis=-1, epsilon=float(epsilon))
