"""In go attention and the block that is built of it, out come their operators; padding is masked in each of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from .activations import add_activation
from .dense import add_product
from .normalization import add_normalized
from .value import Step, Value, move_axes, number, weight

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph


def add_attention(graph: Graph, step: Step) -> Value:
    """Add attention of many heads; inputs are query, value and, where it is another, key."""
    query, value, key = (*step.inputs, step.inputs[1])[:3] if len(step.inputs) > 1 else (step.input,) * 3
    weights = step.weights
    key_size = step.parameters["key_dim"]
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
    if step.parameters.get("use_bias", True):
        found = graph.add("Add", found, weight(graph, weights["attention_output/bias"]))
    return Value(found, (query.shape[0], output.shape[-1]))


def _heads(graph: Graph, value: Value, step: Step, name: str) -> str:
    """Add a projection to (rows, time, heads, size)."""
    kernel = step.weights[f"{name}/kernel"]
    found = graph.add("MatMul", value.name, weight(graph, kernel.reshape(len(kernel), -1)))
    if step.parameters.get("use_bias", True):
        found = graph.add("Add", found, weight(graph, step.weights[f"{name}/bias"].reshape(-1)))
    return graph.add("Reshape", found, graph.whole(0, 0, *kernel.shape[1:]))


def add_transformer_encoder(graph: Graph, step: Step) -> Value:
    """Add self-attention and two dense layers, each with what came in added, normalized before or behind."""
    value = step.input
    width = value.shape[-1] or 0
    parameters = dict(step.parameters)
    parameters["key_dim"] = parameters["key_dim"] or width // parameters["num_heads"]

    def normalize(tensor: str, name: str) -> str:
        weights = step.weights
        return add_normalized(
            graph,
            Value(tensor, value.shape),
            parameters["epsilon"],
            weights[f"{name}/gamma"],
            weights[f"{name}/beta"],
        )

    def attend(tensor: str) -> str:
        within = {name.removeprefix("attention/"): values for name, values in step.weights.items()}
        return add_attention(graph, Step((Value(tensor, value.shape, value.padding),), parameters, within)).name

    def feed(tensor: str) -> str:
        tensor = add_product(graph, Value(tensor, value.shape), step, "feedforward_intermediate/")
        tensor = add_activation(graph, tensor, parameters["activation"])
        return add_product(graph, Value(tensor, value.shape), step, "feedforward_output/")

    tensor = value.name
    for part, name in ((attend, "attention_norm"), (feed, "feedforward_norm")):
        if parameters["norm_first"]:
            tensor = graph.add("Add", tensor, part(normalize(tensor, name)))
        else:
            tensor = normalize(graph.add("Add", tensor, part(tensor)), name)
    return Value(tensor, value.shape)
