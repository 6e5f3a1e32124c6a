"""In go layers of several inputs, out come their operators."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .value import Value

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

    from .value import Step


def add_sum(graph: Graph, step: Step) -> Value:
    """Add the sum of all inputs, from the first to the last as Keras does."""
    first, *others = step.inputs
    tensor = first.name
    for other in others:
        tensor = graph.add("Add", tensor, other.name)
    return Value(tensor, _known(step.inputs))


def _known(values: tuple[Value, ...]) -> tuple[int | None, ...]:
    """Give the shape that all values have, where any of them tells."""
    shapes = zip(*(value.shape for value in values), strict=True)
    return tuple(next((size for size in sizes if size is not None), None) for sizes in shapes)


def add_concatenation(graph: Graph, step: Step) -> Value:
    """Put all inputs one behind the other, along an axis that is counted with the rows'."""
    rank = len(step.input.shape) + 1
    axis = step.parameters["axis"] % rank
    sizes = [value.shape[axis - 1] for value in step.inputs]
    known = [size for size in sizes if size is not None]
    shape = list(step.input.shape)
    shape[axis - 1] = sum(known) if len(known) == len(sizes) else None
    return Value(graph.add("Concat", *(value.name for value in step.inputs), axis=axis), tuple(shape))
