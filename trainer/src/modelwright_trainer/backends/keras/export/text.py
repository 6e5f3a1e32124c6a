"""In go text and tokens, out come their numbers and what was learned of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from modelwright_trainer.graph.builder import MICROSOFT

from .value import Value, weight

if TYPE_CHECKING:
    from modelwright_trainer.graph.builder import Graph

    from .value import Step

TOKEN: Final = "[a-z0-9']+"  # noqa: S105  (a pattern)
PADDING: Final = 0
UNKNOWN: Final = 1
FIRST: Final = 2
"""The number of the first word of a vocabulary."""


def add_vectorization(graph: Graph, step: Step) -> Value:
    """Add what makes text (rows, 1) tokens (rows, length): ASCII letters lowered, parted, numbered, cut or padded."""
    length = step.parameters["output_sequence_length"]
    words = [str(word) for word in step.weights["vocabulary"]]
    # It takes texts on one axis only. Of no other locale than C is it known that it is installed where the graph runs.
    flat = graph.add("Reshape", step.input.name, graph.whole(-1))
    lowered = graph.add("StringNormalizer", flat, case_change_action="LOWER", locale="C")
    tokens = graph.add("Tokenizer", lowered, domain=MICROSOFT, mark=0, mincharnum=1, pad_value="", tokenexp=TOKEN)
    numbers = graph.add(
        "LabelEncoder",
        tokens,
        domain="ai.onnx.ml",
        keys_strings=["", *words],
        values_int64s=[PADDING, *range(FIRST, FIRST + len(words))],
        default_int64=UNKNOWN,
    )
    # There are as many columns as the longest text of a request has tokens: these two make it the same for all.
    padding = graph.constant(np.array(PADDING, dtype=np.int64))
    padded = graph.add("Pad", numbers, graph.whole(0, 0, 0, length), padding)
    return Value(graph.add("Slice", padded, graph.whole(0), graph.whole(length), graph.whole(1)), (length,))


def add_embedding(graph: Graph, step: Step) -> Value:
    """Add what was learned of each token, of which none is beyond the table."""
    table = step.weights["embeddings"]
    tensor = graph.add("Gather", weight(graph, table), step.input.name, axis=0)
    return Value(tensor, (*step.input.shape, table.shape[1]))


def add_positions(graph: Graph, step: Step) -> Value:
    """Add to each step what tells its place. More steps than the table has are an error of the run."""
    table = step.weights["embeddings"]
    steps = step.input.shape[0]
    if steps is not None:
        found = weight(graph, table[:steps])
    else:
        # A slice beyond the end of a table is a shorter one, and one of a single row would be added to all steps. To
        # look up how many rows to take is an error of the run where there are fewer.
        count = graph.add("Shape", step.input.name, start=1, end=2)
        known = graph.add("Gather", graph.whole(*range(len(table) + 1)), count, axis=0)
        found = graph.add("Slice", weight(graph, table), graph.whole(0), known, graph.whole(0))
    return Value(graph.add("Add", step.input.name, found), step.input.shape)
