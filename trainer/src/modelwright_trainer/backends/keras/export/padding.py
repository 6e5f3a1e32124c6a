"""In go the lengths of rows as they are asked for, out comes which steps are a row's own, or an error of the run.

A row has one step at least, as in training: one of no steps counts as one step of zeros, and a text without tokens as
one token of padding. All else that is no length of a row in these steps ends the request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .value import Padding, Value, add_range, add_steps, integer, keep_own

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph


def add_padding(graph: Graph, sequences: Value, lengths: str) -> Value:
    """Add zeros behind each row's length, whatever is asked there, and the lengths that all layers go by."""
    steps = add_steps(graph, sequences.name)
    # A negative index would count from the end, so it becomes one that no table has.
    negative = graph.add("Less", lengths, integer(graph, 0))
    index = graph.add("Where", negative, integer(graph, int(np.iinfo(np.int64).max)), _one_at_least(graph, lengths))
    # To look a length up in the numbers up to that of the steps is an error of the run where it is beyond them.
    numbers = add_range(graph, graph.add("Add", steps, integer(graph, 1)))
    checked = graph.add("Gather", numbers, index, axis=0)
    asked = keep_own(graph, sequences.name, _mask(graph, steps, lengths), 0.0)
    return Value(asked, sequences.shape, Padding(checked, _mask(graph, steps, checked)))


def add_token_padding(graph: Graph, tokens: Value) -> Padding:
    """Add the lengths of texts: tokens other than 0 all stand before those that are."""
    own = graph.cast(graph.add("Not", graph.add("Equal", tokens.name, integer(graph, 0))), "int64")
    lengths = _one_at_least(graph, graph.add("ReduceSum", own, graph.whole(1), keepdims=0))
    return Padding(lengths, _mask(graph, add_steps(graph, tokens.name), lengths))


def _one_at_least(graph: Graph, lengths: str) -> str:
    """Put 1 in place of what is less. ONNX Runtime's Max of INT64 would do the same, but says 1 for 2^31."""
    one = integer(graph, 1)
    return graph.add("Where", graph.add("Less", lengths, one), one, lengths)


def _mask(graph: Graph, steps: str, lengths: str) -> str:
    """Add which steps come before a row's length: BOOL (rows, time)."""
    return graph.add("Less", add_range(graph, steps), graph.add("Unsqueeze", lengths, graph.whole(1)))
