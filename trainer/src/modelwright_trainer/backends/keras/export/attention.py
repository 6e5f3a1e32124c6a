"""In go attention and the block that is built of it, out come their operators; padding is masked in each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .value import Step, Value, move_axes, number, weight

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph


def add_attention(graph: Graph, step: Step) -> Value:
    """Add attention of many heads; inputs are query, value and, where it is another, key."""
    query, value, key = (*step.inputs, step.inputs[1])[:3] if len(step.inputs) > 1 else (step.input,) * 3
    weights = step.weights
    key_size = int(step.parameters["key_dim"])
    queries = _heads(graph, query, step, "query")
    scores = graph.add(
        "MatMul",
        graph.add("Mul", move_axes(graph, queries, 0, 2, 1, 3), number(graph, 1 / math.sqrt(key_size))),
        move_axes(graph, _heads(graph, key, step, "key"), 0, 2, 3, 1),
    )
    if key.padding is not None:
        mask = graph.add("Unsqueeze", key.padding.mask, graph.whole(1, 2))
        scores = graph.add("Where", mask, scores, number(graph, float(np.finfo(np.float32).min)))
    shares = graph.add("Softmax", scores, axis=-1)
    together = graph.add("MatMul", shares, move_axes(graph, _heads(graph, value, step, "value"), 0, 2, 1, 3))
    output = weights["attention_output/kernel"]
    joined = graph.add(
        "Reshape", move_axes(graph, together, 0, 2, 1, 3), graph.whole(0, 0, math.prod(output.shape[:2]))
    )
    found = graph.add("MatMul", joined, weight(graph, output.reshape(-1, output.shape[-1])))
    if "attention_output/bias" in weights:
        found = graph.add("Add", found, weight(graph, weights["attention_output/bias"]))
    return Value(found, (query.shape[0], output.shape[-1]))


def _heads(graph: Graph, value: Value, step: Step, name: str) -> str:
    """Add a projection to (rows, time, heads, size)."""
    kernel = step.weights[f"{name}/kernel"]
    found = graph.add("MatMul", value.name, weight(graph, kernel.reshape(len(kernel), -1)))
    if f"{name}/bias" in step.weights:
        found = graph.add("Add", found, weight(graph, step.weights[f"{name}/bias"].reshape(-1)))
    return graph.add("Reshape", found, graph.whole(0, 0, *kernel.shape[1:]))
