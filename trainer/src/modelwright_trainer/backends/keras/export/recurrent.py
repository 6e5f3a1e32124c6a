"""In go recurrent layers, out come ONNX's own operators, which take the length of each row.

Steps behind a row's length change no state; their outputs are 0, where Keras repeats the last one. No layer shows them:
all that look at other steps than their own are given the lengths.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .value import Value, move_axes, weight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from modelwright_trainer.graph.builder import Graph

    from .value import Step


@dataclass(frozen=True)
class Kind:
    """A recurrent operator, beside Keras' layer."""

    operator: str
    gates: tuple[int, ...]
    """Keras' place of each gate of ONNX."""
    activations: tuple[str, ...]
    """Which of Keras' parameters each activation of ONNX is."""


KINDS: Final = {
    # Keras has one gate alone.
    "SimpleRNN": Kind("RNN", (0,), ("activation",)),
    # Keras has update, reset and hidden gate, as ONNX has.
    "GRU": Kind("GRU", (0, 1, 2), ("recurrent_activation", "activation")),
    # Keras has input, forget, cell and output gate, ONNX input, output, forget and cell gate.
    "LSTM": Kind("LSTM", (0, 3, 1, 2), ("recurrent_activation", "activation", "activation")),
}

ACTIVATIONS: Final[dict[str, tuple[str, tuple[float, ...], tuple[float, ...]]]] = {
    "elu": ("Elu", (1.0,), ()),
    "hard_sigmoid": ("HardSigmoid", (1 / 6,), (0.5,)),
    "linear": ("Affine", (1.0,), (0.0,)),
    "relu": ("Relu", (), ()),
    "sigmoid": ("Sigmoid", (), ()),
    "softsign": ("Softsign", (), ()),
    "tanh": ("Tanh", (), ()),
}
"""What the operators know, with alpha and beta where they take some: ONNX Runtime gives each its own in turn."""

CONCATENATE: Final = "concat"


def add_simple_rnn(graph: Graph, step: Step) -> Value:
    """Add a plain recurrent layer."""
    return _add_one_way(graph, step, KINDS["SimpleRNN"])


def add_gru(graph: Graph, step: Step) -> Value:
    """Add gated recurrent units."""
    return _add_one_way(graph, step, KINDS["GRU"])


def add_lstm(graph: Graph, step: Step) -> Value:
    """Add long short-term memory."""
    return _add_one_way(graph, step, KINDS["LSTM"])


def _add_one_way(graph: Graph, step: Step, kind: Kind) -> Value:
    parameters = step.parameters
    found = _recur(graph, step, kind, parameters, [step.weights], "forward")
    units = parameters["units"]
    if not parameters["return_sequences"]:
        return Value(graph.add("Squeeze", found, graph.whole(0)), (units,))
    # What comes out has time, directions, rows and units for axes.
    steps = move_axes(graph, graph.add("Squeeze", found, graph.whole(1)), 1, 0, 2)
    return Value(steps, (step.input.shape[0], units))


def add_bidirectional(graph: Graph, step: Step) -> Value:
    """Add a layer that goes both ways."""
    layer = step.parameters["layer"]
    inner = layer.parameters
    both = [
        {name.removeprefix(way): values for name, values in step.weights.items() if name.startswith(way)}
        for way in ("forward/", "backward/")
    ]
    found = _recur(graph, step, KINDS[layer.type], inner, both, "bidirectional")
    units, sequences, mode = inner["units"], inner["return_sequences"], step.parameters["merge_mode"]
    axis = 1 if sequences else 0
    if mode == CONCATENATE:
        if sequences:
            apart = move_axes(graph, found, 2, 0, 1, 3)
            return Value(graph.add("Reshape", apart, graph.whole(0, 0, 2 * units)), (step.input.shape[0], 2 * units))
        return Value(graph.add("Flatten", move_axes(graph, found, 1, 0, 2), axis=1), (2 * units,))
    merged = graph.add(
        {"sum": "ReduceSum", "ave": "ReduceMean", "mul": "ReduceProd"}[mode], found, graph.whole(axis), keepdims=0
    )
    if sequences:
        return Value(move_axes(graph, merged, 1, 0, 2), (step.input.shape[0], units))
    return Value(merged, (units,))


def _recur(  # noqa: PLR0913, PLR0917  (an operator's own inputs)
    graph: Graph,
    step: Step,
    kind: Kind,
    parameters: Mapping[str, Any],
    ways: Sequence[Mapping[str, NDArray[Any]]],
    direction: str,
) -> str:
    """Return all steps (time, directions, rows, units), or the last state (directions, rows, units)."""
    units = parameters["units"]
    after = kind.operator == "GRU" and parameters["reset_after"]
    parts = [
        move_axes(graph, step.input.name, 1, 0, 2),
        weight(graph, np.stack([_gates(kind, way["kernel"], units) for way in ways])),
        weight(graph, np.stack([_gates(kind, way["recurrent_kernel"], units) for way in ways])),
        weight(
            graph,
            np.stack([_biases(kind, way, parameters, after=after) for way in ways]),
        ),
    ]
    if step.input.padding is not None:
        parts.append(graph.cast(step.input.padding.lengths, "int32"))
    named = [ACTIVATIONS[parameters[name]] for name in kind.activations] * len(ways)
    attributes: dict[str, Any] = {"hidden_size": units, "direction": direction}
    attributes["activations"] = [operator for operator, _, _ in named]
    for place, name in enumerate(("activation_alpha", "activation_beta"), start=1):
        if values := [value for one in named for value in one[place]]:
            attributes[name] = values
    if kind.operator == "GRU":
        attributes["linear_before_reset"] = int(after)
    wanted = 0 if parameters["return_sequences"] else 1
    return graph.add_many(kind.operator, tuple(parts), 1, skipped=wanted, **attributes)[wanted]


def _gates(kind: Kind, matrix: NDArray[Any], units: int) -> NDArray[Any]:
    """Bring Keras' (inputs, gates * units) to ONNX's (gates * units, inputs)."""
    gates = np.asarray(matrix).reshape(-1, len(kind.gates), units)[:, kind.gates]
    return gates.reshape(len(matrix), -1).T


def _biases(kind: Kind, way: Mapping[str, NDArray[Any]], parameters: Mapping[str, Any], *, after: bool) -> NDArray[Any]:
    """Give the biases of the input and those of the state, one behind the other; only `reset_after` has the latter."""
    units = parameters["units"]
    both = np.zeros((2, len(kind.gates) * units))
    if parameters["use_bias"]:
        both[: 2 if after else 1] = way["bias"]
    return both.reshape(2, -1, units)[:, kind.gates].reshape(-1)
