"""In go a tensor and the name of an activation as Keras has it, out come its operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .value import number

if TYPE_CHECKING:
    from collections.abc import Callable

    from modelwright_trainer.graph.builder import Graph

LEAK: Final = 0.2
"""Keras' slope of `leaky_relu`."""


def add_activation(graph: Graph, tensor: str, name: str) -> str:
    """Add an activation; softmax goes along the last axis."""
    return ACTIVATIONS[name](graph, tensor)


def _plain(operator: str, **attributes: Any) -> Callable[[Graph, str], str]:
    return lambda graph, tensor: graph.add(operator, tensor, **attributes)


def _clip(graph: Graph, tensor: str, low: float, high: float) -> str:
    return graph.add("Clip", tensor, number(graph, low), number(graph, high))


def _relu6(graph: Graph, tensor: str) -> str:
    return _clip(graph, tensor, 0, 6)


def _hard_tanh(graph: Graph, tensor: str) -> str:
    return _clip(graph, tensor, -1, 1)


def _silu(graph: Graph, tensor: str) -> str:
    return graph.add("Mul", tensor, graph.add("Sigmoid", tensor))


def _log_sigmoid(graph: Graph, tensor: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", tensor)))


ACTIVATIONS: Final[dict[str, Callable[[Graph, str], str]]] = {
    "celu": _plain("Celu"),
    "elu": _plain("Elu"),
    "exponential": _plain("Exp"),
    "gelu": _plain("Gelu"),
    "hard_sigmoid": _plain("HardSigmoid", alpha=1 / 6, beta=0.5),
    "hard_silu": _plain("HardSwish"),
    "hard_tanh": _hard_tanh,
    "leaky_relu": _plain("LeakyRelu", alpha=LEAK),
    "linear": lambda _, tensor: tensor,
    "log_sigmoid": _log_sigmoid,
    "mish": _plain("Mish"),
    "relu": _plain("Relu"),
    "relu6": _relu6,
    "selu": _plain("Selu"),
    "sigmoid": _plain("Sigmoid"),
    "silu": _silu,
    "softmax": _plain("Softmax", axis=-1),
    "softplus": _plain("Softplus"),
    "softsign": _plain("Softsign"),
    "tanh": _plain("Tanh"),
}
"""All of the table."""
