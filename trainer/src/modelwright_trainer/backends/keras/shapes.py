"""In go layers and the shape of the data, out comes what goes from layer to layer, or which cannot stand there."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

from modelwright_trainer.config import INPUT
from modelwright_trainer.failure import Reason, RunError

from .table import LAYERS
from .words import Padded, Takes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .network import Layer

Shape: TypeAlias = tuple[int | None, ...]
"""Without the axis of rows; `None` is not known yet, or varies."""


@dataclass(frozen=True)
class Value:
    """What goes into or out of a layer."""

    shape: Shape
    takes: Takes = Takes.NUMBERS
    padded: bool = False


@dataclass(frozen=True)
class Input:
    """The data: a table (width,), images (height, width, channels), steps (time, channels), text ()."""

    shape: Shape
    text: bool = False
    padded: bool = False
    """Whether rows have lengths of their own."""

    @property
    def value(self) -> Value:
        """What the first layer stands behind."""
        return Value(self.shape, Takes.TEXT if self.text else Takes.NUMBERS, self.padded)


SHAPES: dict[int, str] = {0: "text", 1: "(width)", 2: "(steps, channels)", 3: "(height, width, channels)"}


def follow(layers: Sequence[Layer], source: Input) -> dict[str, Value]:
    """Return what comes out of each layer, and of `input`."""
    values = {INPUT: source.value}
    for layer in layers:
        given = [values[name] for name in layer.inputs]
        _validate_inputs(layer, given)
        values[layer.name] = _RULES.get(layer.type, _same)(layer, given)
    return values


def refuse_layer(layer: Layer, words: str) -> NoReturn:
    """End the run for a layer that cannot stand where it does."""
    raise RunError(Reason.INVALID_NETWORK, f"{layer.path}, the {layer.type} {layer.name!r}, {words}")


def refuse_value(layer: Layer, parameter: str, words: str) -> NoReturn:
    """End the run for a parameter that does not go with what the layer stands behind."""
    value = layer.parameters[parameter]
    shown = list(value) if isinstance(value, tuple) else value
    raise RunError(Reason.INVALID_NETWORK, f"{layer.at(parameter)} is {shown!r}: {words}")


def shown(shape: Shape) -> str:
    """Write a shape for a message."""
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


def _validate_inputs(layer: Layer, given: list[Value]) -> None:
    entry = LAYERS[layer.type]
    for name, value in zip(layer.inputs, given, strict=True):
        whose = "the data" if name == INPUT else f"the layer {name!r}"
        if value.takes is not entry.takes:
            refuse_layer(layer, f"stands behind {whose}, {_MISMATCHES[entry.takes, value.takes]}")
        if entry.takes is Takes.NUMBERS and len(value.shape) not in entry.ranks:
            wanted = " or ".join(SHAPES[rank] for rank in entry.ranks)
            hint = _HINTS.get((max(entry.ranks), len(value.shape)), "")
            refuse_layer(
                layer,
                f"takes the shape {wanted} for each row, and {whose} gives {shown(value.shape)}{hint}",
            )
        if value.padded and entry.padded is Padded.REFUSED:
            refuse_layer(
                layer,
                f"would take padding for data: what {whose} gives has a length of its own for each row; put an RNN, a "
                "MultiHeadAttention, a TransformerEncoder or a GlobalAveragePooling1D there, or give sequences of one "
                "length, without `lengths` and maxLength",
            )


_MISMATCHES: dict[tuple[Takes, Takes], str] = {
    (Takes.NUMBERS, Takes.TEXT): "which is text: put a TextVectorization and an Embedding before it",
    (Takes.NUMBERS, Takes.TOKENS): "which gives numbers of tokens: put an Embedding before it",
    (Takes.TEXT, Takes.NUMBERS): "which gives numbers, and it takes text: give the data as data.text",
    (Takes.TEXT, Takes.TOKENS): "which gives numbers of tokens already: once is enough",
    (Takes.TOKENS, Takes.TEXT): "which is text: put a TextVectorization before it",
    (Takes.TOKENS, Takes.NUMBERS): (
        "which gives no tokens: it stands behind a TextVectorization only (give columns of words a step oneHot in "
        "preprocess)"
    ),
}
_HINTS: dict[tuple[int, int], str] = {
    (2, 1): "; where this layer has an RNN before it, give that return_sequences: true",
    (3, 1): ": images are given as data.images",
}


def _same(_layer: Layer, given: list[Value]) -> Value:
    return given[0]


def _dense(layer: Layer, given: list[Value]) -> Value:
    return replace(given[0], shape=(*given[0].shape[:-1], layer["units"]))


def _flatten(_layer: Layer, given: list[Value]) -> Value:
    return Value((product(given[0].shape),))


def product(shape: Shape) -> int | None:
    """Return how many numbers a shape has, where that is known."""
    return None if None in shape else math.prod(size for size in shape if size is not None)


def _window(layer: Layer, axis: int, size: int | None, parameter: str) -> int | None:
    """Return how often a window fits along an axis."""
    if size is None:
        return None
    window: int = layer[parameter][axis]
    dilation: int = layer.parameters.get("dilation_rate", (1, 1))[axis]
    stride: int = (layer["strides"] or layer[parameter])[axis]
    reach = dilation * (window - 1) + 1
    if layer["padding"] != "valid":
        return -(-size // stride)
    if reach > size:
        spread = f" (with its dilation_rate over {reach})" if dilation > 1 else ""
        refuse_value(
            layer,
            parameter,
            f"{window}{spread} does not fit into {size} along axis {axis + 1} of what comes in; make it smaller, or "
            "give padding: same",
        )
    return (size - reach) // stride + 1


def _convolution(layer: Layer, given: list[Value]) -> Value:
    sizes = tuple(_window(layer, axis, size, "kernel_size") for axis, size in enumerate(given[0].shape[:-1]))
    return Value((*sizes, layer["filters"]))


def _pooling(layer: Layer, given: list[Value]) -> Value:
    sizes = tuple(_window(layer, axis, size, "pool_size") for axis, size in enumerate(given[0].shape[:-1]))
    return Value((*sizes, given[0].shape[-1]))


def _global_pooling(_layer: Layer, given: list[Value]) -> Value:
    return Value(given[0].shape[-1:])


def _recurrent(layer: Layer, given: list[Value]) -> Value:
    if layer["return_sequences"]:
        return replace(given[0], shape=(given[0].shape[0], layer["units"]))
    return Value((layer["units"],))


def _bidirectional(layer: Layer, given: list[Value]) -> Value:
    inner = _recurrent(layer["layer"], given)
    width = inner.shape[-1]
    if layer["merge_mode"] == "concat" and width is not None:
        width *= 2
    return replace(inner, shape=(*inner.shape[:-1], width))


def _vectorization(layer: Layer, _given: list[Value]) -> Value:
    return Value((layer["output_sequence_length"],), Takes.TOKENS)


def _embedding(layer: Layer, given: list[Value]) -> Value:
    return Value((*given[0].shape, layer["output_dim"]), padded=layer["mask_zero"])


def _position(layer: Layer, given: list[Value]) -> Value:
    steps, length = given[0].shape[0], layer["sequence_length"]
    if steps is not None and length is not None and length < steps:
        refuse_value(layer, "sequence_length", f"what comes in has {steps} steps; it must be that at least")
    return given[0]


def _attention(layer: Layer, given: list[Value]) -> Value:
    """Take the query, the value, and the key where it is another one."""
    if len(given) > 3:  # noqa: PLR2004 - query, value, key
        refuse_layer(layer, f"takes a query, a value and a key, and {len(given)} inputs are given")
    if len(given) == 3 and differ(given[1].shape[0], given[2].shape[0]):  # noqa: PLR2004
        refuse_layer(layer, f"has a value of {given[1].shape[0]} steps and a key of {given[2].shape[0]}: both are one")
    if len(given) == 3 and given[1].padded != given[2].padded:  # noqa: PLR2004
        refuse_layer(layer, "has lengths for one of value and key, and none for the other")
    key_size = layer["key_dim"]
    query, value = given[0].shape[0], given[min(1, len(given) - 1)].shape[0]
    if layer["use_bias"]:
        for steps, size in ((query, key_size), (value, key_size), (value, layer["value_dim"] or key_size)):
            _refuse_confusion(layer, steps, size)
    width = layer["output_shape"] or given[0].shape[-1]
    return replace(given[0], shape=(given[0].shape[0], width))


def _refuse_confusion(layer: Layer, steps: int | None, size: int | None) -> None:
    """Refuse a bias that Keras 3.15.1 adds to steps in place of heads: of size 1, where there are as many of both."""
    if size == 1 and layer["num_heads"] > 1 and layer["num_heads"] == steps:
        refuse_value(
            layer,
            "num_heads",
            "there are as many steps, and heads of size 1, which Keras mixes up: give a key_dim (or value_dim) above "
            f"1, or other heads than {steps}",
        )


def _transformer(layer: Layer, given: list[Value]) -> Value:
    width, heads = given[0].shape[-1], layer["num_heads"]
    if width is not None and layer["key_dim"] is None and width % heads:
        refuse_value(
            layer, "num_heads", f"it does not divide the {width} channels that come in; give key_dim, or other heads"
        )
    _refuse_confusion(layer, given[0].shape[0], layer["key_dim"] or (None if width is None else width // heads))
    return given[0]


def differ(one: Any, other: Any) -> bool:
    """Whether two sizes are known and not the same."""
    return one is not None and other is not None and one != other


def _add(layer: Layer, given: list[Value]) -> Value:
    _refuse_few(layer, given)
    shapes = [value.shape for value in given]
    for name, shape in zip(layer.inputs, shapes, strict=True):
        if len(shape) != len(shapes[0]) or any(map(differ, shape, shapes[0])):
            refuse_layer(
                layer,
                f"adds {layer.inputs[0]!r} of the shape {shown(shapes[0])} and {name!r} of {shown(shape)}: they must "
                "be the same",
            )
    sizes = tuple(_known(*(shape[axis] for shape in shapes)) for axis in range(len(shapes[0])))
    return Value(sizes, padded=any(value.padded for value in given))


def _concatenate(layer: Layer, given: list[Value]) -> Value:
    _refuse_few(layer, given)
    shapes = [value.shape for value in given]
    rank = len(shapes[0])
    # Axis 0 counts the rows.
    axis = layer["axis"] - 1 if layer["axis"] >= 0 else rank + layer["axis"]
    if not 0 <= axis < rank:
        refuse_value(layer, "axis", f"what comes in has the axes 1 to {rank} beside the rows, which are axis 0")
    padded = any(value.padded for value in given)
    if padded and axis != rank - 1:
        refuse_value(layer, "axis", "steps that are padded can be put together along their channels (-1) only")
    for name, shape in zip(layer.inputs, shapes, strict=True):
        if len(shape) != rank or any(
            differ(one, other) for at, (one, other) in enumerate(zip(shape, shapes[0], strict=True)) if at != axis
        ):
            refuse_layer(
                layer,
                f"puts {layer.inputs[0]!r} of the shape {shown(shapes[0])} and {name!r} of {shown(shape)} together "
                f"along axis {axis + 1}: all other axes must be the same",
            )
    joined = [shape[axis] for shape in shapes]
    total = None if None in joined else sum(size for size in joined if size is not None)
    sizes = tuple(total if at == axis else _known(*(shape[at] for shape in shapes)) for at in range(rank))
    return Value(sizes, padded=padded)


def _known(*sizes: int | None) -> int | None:
    return next((size for size in sizes if size is not None), None)


def _refuse_few(layer: Layer, given: list[Value]) -> None:
    if len(given) < 2:  # noqa: PLR2004
        refuse_layer(layer, f"has {len(given)} input: it takes 2 at least, named by inputs")


_RULES: dict[str, Callable[[Layer, list[Value]], Value]] = {
    "Add": _add,
    "AveragePooling1D": _pooling,
    "AveragePooling2D": _pooling,
    "Bidirectional": _bidirectional,
    "Concatenate": _concatenate,
    "Conv1D": _convolution,
    "Conv2D": _convolution,
    "Dense": _dense,
    "Embedding": _embedding,
    "Flatten": _flatten,
    "GRU": _recurrent,
    "GlobalAveragePooling1D": _global_pooling,
    "GlobalAveragePooling2D": _global_pooling,
    "GlobalMaxPooling1D": _global_pooling,
    "GlobalMaxPooling2D": _global_pooling,
    "LSTM": _recurrent,
    "MaxPooling1D": _pooling,
    "MaxPooling2D": _pooling,
    "MultiHeadAttention": _attention,
    "PositionEmbedding": _position,
    "SeparableConv2D": _convolution,
    "SimpleRNN": _recurrent,
    "TextVectorization": _vectorization,
    "TransformerEncoder": _transformer,
}
"""The layers that are not here give what they are given."""
