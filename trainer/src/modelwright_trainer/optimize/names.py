"""Names of tensors: in goes a graph, out comes one with names that can equal none of those that tools make of them.

A tool names what it makes after what it makes it of, as `W_quantized`, and looks whether that is taken in some cases
only. Graphs of others, and columns of users, may have any name. So tools see names of which none begins another and
none is what a tool begins with; at the end inputs and outputs have their own again.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx

GIVEN: Final = re.compile(r"n\d+\.")
"""Such a name ends where it ends, so that none begins another."""
INNER: Final = "inner"


class Names:
    """The names that tensors of a graph had."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        """Give all tensors of a graph, and of graphs within it, other names."""
        self._given: dict[str, str] = {}
        self._ports = [port.name for port in (*graph.input, *graph.output)]
        _change(graph, self._give)
        self._before = {given: name for name, given in self._given.items()}

    def _give(self, name: str) -> str:
        return self._given.setdefault(name, f"n{len(self._given)}.")

    def before(self, name: str) -> str:
        """Return what a tensor was called."""
        return self._before[name]

    def told(self, words: str) -> str:
        """Return words about the graph with the names that it came with."""
        return GIVEN.sub(lambda found: self._before.get(found.group(), found.group()), words)

    def restore(self, graph: onnx.GraphProto) -> None:
        """Give inputs and outputs the names that they had, and another one to whatever has one of these."""
        ports = {self._given[name]: name for name in self._ports}
        taken = {name for graph in _graphs(graph) for name in _names(graph)}
        inner = {}
        for name in taken.intersection(ports.values()) - ports.keys():
            fresh = name
            while fresh in taken or fresh in ports.values():
                fresh += INNER
            taken.add(fresh)
            inner[name] = fresh
        changed = ports | inner
        _change(graph, lambda name: changed.get(name, name))


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """Give a graph and all within it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _graphs(inner)


def _named(graph: onnx.GraphProto) -> Iterator[onnx.ValueInfoProto | onnx.TensorProto]:
    yield from (*graph.input, *graph.output, *graph.value_info, *graph.initializer)
    yield from (tensor.values for tensor in graph.sparse_initializer)


def _names(graph: onnx.GraphProto) -> Iterator[str]:
    yield from (one.name for one in _named(graph))
    for node in graph.node:
        yield from (*node.input, *node.output)


def _change(graph: onnx.GraphProto, name: Callable[[str], str]) -> None:
    for inner in _graphs(graph):
        # It says of tensors by their names how they were quantised, which no variant can need.
        del inner.quantization_annotation[:]
        for one in _named(inner):
            one.name = name(one.name)
        for node in inner.node:
            for names in (node.input, node.output):
                # An empty one stands for none.
                names[:] = [one and name(one) for one in names]
