"""Our own exporter: in goes a network of layers with its weights, out come the nodes of a graph.

Operators are the standard's, but for one that parts text. Bytes depend on nothing but the network and its weights.
"""

from .walk import EXPORTERS, add_layers, add_network

__all__ = ["EXPORTERS", "add_layers", "add_network"]
