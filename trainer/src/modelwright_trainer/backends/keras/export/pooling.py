"""In go poolings, out come their operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .value import Value, keep_own
from .windows import Windows, cut_unseen, each_axis, from_channels_first, to_channels_first

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

    from .value import Step


def add_max_pooling(graph: Graph, step: Step) -> Value:
    """Add the highest of each window."""
    return _pool(graph, step, "MaxPool")


def add_average_pooling(graph: Graph, step: Step) -> Value:
    """Add the mean of each window; what `same` adds around is not counted."""
    return _pool(graph, step, "AveragePool")


def _pool(graph: Graph, step: Step, operator: str) -> Value:
    sizes = step.input.shape[:-1]
    rank = len(sizes)
    size = each_axis(step.parameters["pool_size"], rank)
    strides = step.parameters["strides"]
    windows = Windows(
        size, size if strides is None else each_axis(strides, rank), (1,) * rank, step.parameters["padding"]
    )
    tensor = graph.add(
        operator,
        cut_unseen(graph, to_channels_first(graph, step.input), sizes, windows),
        kernel_shape=list(windows.size),
        strides=list(windows.strides),
        **windows.attributes(sizes),
    )
    return Value(from_channels_first(graph, tensor, rank), (*windows.left(sizes), step.input.shape[-1]))


def add_global_average(graph: Graph, step: Step) -> Value:
    """Add the mean over all places; of a padded row, over its own steps."""
    padding = step.input.padding
    if padding is None:
        return _reduce(graph, step, "ReduceMean", step.input.name)
    own = keep_own(graph, step.input.name, padding.mask, 0.0)
    total = graph.add("ReduceSum", own, graph.whole(1), keepdims=0)
    count = graph.cast(padding.lengths, "float32")
    shaped = graph.add("Unsqueeze", count, graph.whole(1))
    return Value(graph.add("Div", total, shaped), step.input.shape[-1:])


def add_global_max(graph: Graph, step: Step) -> Value:
    """Add the highest of all places; of a padded row, of its own steps."""
    padding = step.input.padding
    if padding is None:
        return _reduce(graph, step, "ReduceMax", step.input.name)
    own = keep_own(graph, step.input.name, padding.mask, float(np.finfo(np.float32).min))
    return _reduce(graph, step, "ReduceMax", own)


def _reduce(graph: Graph, step: Step, operator: str, tensor: str) -> Value:
    axes = graph.whole(*range(1, len(step.input.shape)))
    return Value(graph.add(operator, tensor, axes, keepdims=0), step.input.shape[-1:])
