"""In go a network, its weights and what the preparation left in a graph, out comes the tensor that answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.backends.keras.network import INPUT, Input
from modelwright_trainer.config import Task
from modelwright_trainer.graph.answer import Answer

from .attention import add_attention, add_transformer_encoder
from .convolution import add_convolution, add_separable_convolution
from .dense import add_activation_layer, add_dense, add_flatten, add_nothing, add_rescaling
from .merge import add_concatenation, add_sum
from .normalization import add_batch_normalization, add_layer_normalization
from .padding import add_padding, add_token_padding
from .pooling import add_average_pooling, add_global_average, add_global_max, add_max_pooling
from .recurrent import add_bidirectional, add_gru, add_lstm, add_simple_rnn
from .text import add_embedding, add_positions, add_vectorization
from .value import Step, Value, number

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from modelwright_trainer.backends.keras.network import Network
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs, Tensor

EXPORTERS: Final[dict[str, Callable[[Graph, Step], Value]]] = {
    "Activation": add_activation_layer,
    "Add": add_sum,
    "AveragePooling1D": add_average_pooling,
    "AveragePooling2D": add_average_pooling,
    "BatchNormalization": add_batch_normalization,
    "Bidirectional": add_bidirectional,
    "Concatenate": add_concatenation,
    "Conv1D": add_convolution,
    "Conv2D": add_convolution,
    "Dense": add_dense,
    "Dropout": add_nothing,
    "Embedding": add_embedding,
    "Flatten": add_flatten,
    "GRU": add_gru,
    "GlobalAveragePooling1D": add_global_average,
    "GlobalAveragePooling2D": add_global_average,
    "GlobalMaxPooling1D": add_global_max,
    "GlobalMaxPooling2D": add_global_max,
    "LSTM": add_lstm,
    "LayerNormalization": add_layer_normalization,
    "MaxPooling1D": add_max_pooling,
    "MaxPooling2D": add_max_pooling,
    "MultiHeadAttention": add_attention,
    "PositionEmbedding": add_positions,
    "Rescaling": add_rescaling,
    "SeparableConv2D": add_separable_convolution,
    "SimpleRNN": add_simple_rnn,
    "TextVectorization": add_vectorization,
    "TransformerEncoder": add_transformer_encoder,
}
"""What adds each type of layer."""

LENGTHS: Final = "lengths"
TEXT: Final = "text"
HALF: Final = 0.5
ONE: Final = (1,)


def add_network(
    graph: Graph, network: Network, task: Task, weights: Mapping[str, Mapping[str, NDArray[Any]]], inputs: GraphInputs
) -> str | Answer:
    """Add all layers; return the prediction (rows,), or the class and the probabilities of all."""
    last = add_layers(graph, network, weights, inputs)
    if task is Task.REGRESSION:
        return graph.add("Squeeze", last.name, graph.whole(1))
    if last.shape == ONE:
        # One probability, of the second class.
        second = graph.cast(graph.add("Greater", last.name, number(graph, HALF)), "int64")
        first = graph.add("Sub", number(graph, 1), last.name)
        both = graph.add("Concat", first, last.name, axis=1)
        return Answer(graph.add("Squeeze", second, graph.whole(1)), both)
    return Answer(graph.add("ArgMax", last.name, axis=1, keepdims=0), last.name)


def add_layers(
    graph: Graph, network: Network, weights: Mapping[str, Mapping[str, NDArray[Any]]], inputs: GraphInputs
) -> Value:
    """Add all layers; return what comes out of the last one."""
    source, value = _add_input(graph, inputs)
    expected = network.follow(source)
    values = {INPUT: value}
    # All that is padded in a network is padded alike: by the lengths that were given, or by the tokens.
    padding = value.padding
    for layer in network.layers:
        step = Step(tuple(values[name] for name in layer.inputs), layer.parameters, weights.get(layer.name, {}))
        if expected[layer.name].padded and padding is None:
            padding = add_token_padding(graph, step.input)
        found = EXPORTERS[layer.type](graph, step)
        values[layer.name] = replace(found, padding=padding if expected[layer.name].padded else None)
    return values[network.last.name]


def _add_input(graph: Graph, inputs: GraphInputs) -> tuple[Input, Value]:
    """Bring what is asked to the numbers that the first layers see."""
    (data,) = (tensor for name, tensor in inputs.items() if name != LENGTHS)
    if TEXT in inputs:
        return Input((), text=True), Value(data.name, ())
    shape = _sizes(data)
    name = data.name if data.kind == "float32" else graph.cast(data.name, "float32")
    value = Value(name, shape)
    if LENGTHS in inputs:
        value = add_padding(graph, value, inputs[LENGTHS].name)
    return Input(shape, padded=LENGTHS in inputs), value


def _sizes(tensor: Tensor) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in tensor.shape[1:])
