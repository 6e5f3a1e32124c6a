"""In go fitted chains, out comes the part of the graph from the inputs to the features.

Columns of numbers with the same kinds of steps are worked on together, each other column by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelwright_trainer.prepare import FillNumbers, FillTexts, OneHot, Ordinal, Scale

from .builder import ROWS

if TYPE_CHECKING:
    from modelwright_trainer.prepare import Chain, Preparer

    from .builder import Graph


def add_preparation(graph: Graph, preparer: Preparer, *, single_input: bool) -> str:
    """Declare the inputs and add all steps; return the features, FP32 of shape (rows, width)."""
    chains = preparer.chains
    sources: list[str] = []
    whole = ""
    if single_input:
        whole = graph.input("x", "float32", (ROWS, len(chains)))
    else:
        sources = [graph.input(chain.name, "text" if chain.is_text else "float32", (ROWS, 1)) for chain in chains]
    parts: list[str] = []
    order: list[int] = []
    for members in group_chains(chains):
        if not single_input:
            found = [sources[index] for index in members]
            tensor = found[0] if len(found) == 1 else graph.add("Concat", *found, axis=1)
        elif members == list(range(len(chains))):
            tensor = whole
        else:
            tensor = graph.add("Gather", whole, graph.whole(*members), axis=1)
        parts.append(_add_steps(graph, [chains[index] for index in members], tensor))
        order.extend(members)
    features = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    return _restore_order(graph, features, chains, order)


def group_chains(chains: tuple[Chain, ...]) -> list[list[int]]:
    """Group columns of numbers that go through the same kinds of steps; others stay alone."""
    groups: dict[object, list[int]] = {}
    for index, chain in enumerate(chains):
        together = all(isinstance(step, FillNumbers | Scale) for step in chain.steps) and not chain.is_text
        key = tuple(type(step).__name__ for step in chain.steps) if together else index
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _add_steps(graph: Graph, chains: list[Chain], tensor: str) -> str:
    """Add the steps of columns that all have the same kinds of them."""
    for steps in zip(*(chain.steps for chain in chains), strict=True):
        first = steps[0]
        if isinstance(first, FillNumbers):
            fill = np.array([[step.value for step in steps]], dtype=np.float32)
            tensor = graph.add("Where", graph.add("IsNaN", tensor), graph.constant(fill), tensor)
        elif isinstance(first, Scale):
            offset = np.array([[step.offset for step in steps]], dtype=np.float32)
            factor = np.array([[step.factor for step in steps]], dtype=np.float32)
            tensor = graph.add("Mul", graph.add("Sub", tensor, graph.constant(offset)), graph.constant(factor))
        elif isinstance(first, FillTexts):
            empty = graph.add("Equal", tensor, graph.constant(np.array([[""]], dtype=object)))
            tensor = graph.add("Where", empty, graph.constant(np.array([[first.value]], dtype=object)), tensor)
        elif isinstance(first, OneHot):
            kind = object if isinstance(first.values[0], str) else np.float32
            known = graph.constant(np.array([first.values], dtype=kind))
            tensor = graph.cast(graph.add("Equal", tensor, known), "float32")
        else:
            tensor = _add_ordinal(graph, first, tensor)
    return tensor


def _add_ordinal(graph: Graph, step: Ordinal, tensor: str) -> str:
    ml = "ai.onnx.ml"
    numbers = [float(index) for index in range(len(step.values))]
    if isinstance(step.values[0], str):
        return graph.add(
            "LabelEncoder",
            tensor,
            domain=ml,
            keys_strings=list(step.values),
            values_floats=numbers,
            default_float=-1.0,
        )
    return graph.add(
        "LabelEncoder", tensor, domain=ml, keys_floats=list(step.values), values_floats=numbers, default_float=-1.0
    )


def _restore_order(graph: Graph, features: str, chains: tuple[Chain, ...], order: list[int]) -> str:
    """Bring the features back to the order of the data."""
    if order == sorted(order):
        return features
    starts = {}
    position = 0
    for index in order:
        starts[index] = position
        position += chains[index].width
    wanted = [starts[index] + offset for index, chain in enumerate(chains) for offset in range(chain.width)]
    return graph.add("Gather", features, graph.whole(*wanted), axis=1)
