"""In go layers that work on each place by itself, or only on how places are arranged; out come their operators."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .activations import add_activation
from .value import Value, weight

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

    from .value import Step


def add_dense(graph: Graph, step: Step) -> Value:
    """Add a product with the last axis, a bias and an activation."""
    kernel = step.weights["kernel"]
    tensor = add_product(graph, step.input, step)
    activated = add_activation(graph, tensor, step.parameters["activation"])
    return Value(activated, (*step.input.shape[:-1], kernel.shape[1]))


def add_product(graph: Graph, tensor: Value, step: Step, part: str = "") -> str:
    """Add a product of the last axis with the weights of a layer, or of a part of it, and their bias."""
    kernel, bias = (f"{part}{name}" for name in ("kernel", "bias"))
    matrix = weight(graph, step.weights[kernel])
    if not step.parameters.get("use_bias", True):
        return graph.add("MatMul", tensor.name, matrix)
    added = weight(graph, step.weights[bias])
    if len(tensor.shape) == 1:
        return graph.add("Gemm", tensor.name, matrix, added)
    return graph.add("Add", graph.add("MatMul", tensor.name, matrix), added)


def add_activation_layer(graph: Graph, step: Step) -> Value:
    """Add an activation alone."""
    return Value(add_activation(graph, step.input.name, step.parameters["activation"]), step.input.shape)


def add_flatten(graph: Graph, step: Step) -> Value:
    """Put all that a row has on one axis."""
    sizes = step.input.shape
    known = [size for size in sizes if size is not None]
    whole = math.prod(known) if len(known) == len(sizes) else None
    return Value(graph.add("Flatten", step.input.name, axis=1), (whole,))


def add_rescaling(graph: Graph, step: Step) -> Value:
    """Add a product and a sum, each of one number."""
    scale, offset = (np.asarray(step.parameters[name], dtype=np.float32) for name in ("scale", "offset"))
    scaled = graph.add("Mul", step.input.name, graph.constant(scale))
    return Value(graph.add("Add", scaled, graph.constant(offset)), step.input.shape)


def add_nothing(_: Graph, step: Step) -> Value:
    """Give what came in: Dropout acts in training only."""
    return step.input
