"""In go a network and its shapes, out comes what its weights take in memory: refused where they cannot fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.room import memory_limit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelwright_trainer.material import Material

    from .network import Layer, Network
    from .shapes import Value

BYTES: Final = 4
TENSORFLOW: Final = 600 * 2**20
"""What TensorFlow takes before it has any weight."""
SLOTS: Final = {"Adam": 2, "AdamW": 2, "RMSprop": 1, "SGD": 0}
"""Numbers that an optimizer keeps for each weight, with its usual parameters."""
GATES: Final = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}


def count_weights(layer: Layer, given: list[Value]) -> int:
    """Return how many weights a layer has, once all widths are known."""
    width = (given[0].shape or (0,))[-1] or 0
    bias = int(layer.parameters.get("use_bias", True))
    count = _COUNTS.get(layer.type)
    return 0 if count is None else count(layer, width, bias)


def _recurrent(layer: Layer, width: int, bias: int) -> int:
    units = layer["units"]
    double = layer.type == "GRU" and layer["reset_after"]
    return int(GATES[layer.type] * units * (width + units + bias * (1 + double)))


def _separable(layer: Layer, width: int, bias: int) -> int:
    spread = width * layer["depth_multiplier"]
    return int(math.prod(layer["kernel_size"]) * spread + layer["filters"] * (spread + bias))


def _attend(width: int, heads: int, sizes: tuple[int, int, int], *, bias: int) -> int:
    key, value, out = sizes
    return heads * (2 * key + value) * (width + bias) + out * (heads * value + bias)


def _attention(layer: Layer, width: int, bias: int) -> int:
    key, out = layer["key_dim"], layer["output_shape"] or width
    return _attend(width, layer["num_heads"], (key, layer["value_dim"] or key, out), bias=bias)


def _transformer(layer: Layer, width: int, _bias: int) -> int:
    heads, inner = layer["num_heads"], layer["intermediate_dim"]
    key = layer["key_dim"] or width // heads
    return int(_attend(width, heads, (key, key, width), bias=1) + 4 * width + inner * (width + 1) + width * (inner + 1))


_COUNTS: Final[dict[str, Any]] = {
    "BatchNormalization": lambda layer, width, _bias: width * (2 + layer["center"] + layer["scale"]),
    "Bidirectional": lambda layer, width, _bias: 2 * _recurrent(layer["layer"], width, layer["layer"]["use_bias"]),
    "Conv1D": lambda layer, width, bias: layer["filters"] * (math.prod(layer["kernel_size"]) * width + bias),
    "Conv2D": lambda layer, width, bias: layer["filters"] * (math.prod(layer["kernel_size"]) * width + bias),
    "Dense": lambda layer, width, bias: layer["units"] * (width + bias),
    "Embedding": lambda layer, _width, _bias: layer["input_dim"] * layer["output_dim"],
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "LayerNormalization": lambda layer, width, _bias: width * (layer["center"] + layer["scale"]),
    "MultiHeadAttention": _attention,
    "SeparableConv2D": _separable,
    "SimpleRNN": _recurrent,
    "TransformerEncoder": _transformer,
}


def count_each(network: Network, values: Mapping[str, Value]) -> dict[str, int]:
    """Return the number of weights of each layer."""
    found = {}
    for layer in network.layers:
        given = [values[name] for name in layer.inputs]
        found[layer.name] = count_weights(layer, given)
        if layer.type == "PositionEmbedding":
            steps, width = given[0].shape
            found[layer.name] = (layer["sequence_length"] or steps or 0) * (width or 0)
    return found


def check_memory(network: Network, values: Mapping[str, Value], material: Material, limit: int | None = None) -> None:
    """Refuse a network whose weights, gradients and the optimizer's numbers cannot fit into this container."""
    limit = memory_limit() if limit is None else limit
    if limit is None:
        return
    counts = count_each(network, values)
    weights = sum(counts.values())
    copies = 2 + SLOTS[network.optimizer.type]
    copies += any(one.parameters.get("restore_best_weights") for one in network.callbacks)
    data = sum(values.nbytes for part in (material.train, material.validation) for values in part.inputs.values())
    needed = TENSORFLOW + weights * copies * BYTES + data
    if needed <= limit:
        return
    largest = max(counts, key=lambda name: counts[name])
    mib = 2**20
    message = (
        f"{network.path}: candidate {network.name!r} has {weights} weights, {counts[largest]} of them in the layer "
        f"{largest!r}; with gradients and what {network.optimizer.type} keeps they take "
        f"{weights * copies * BYTES // mib} MiB, the data {data // mib} MiB and TensorFlow {TENSORFLOW // mib} MiB, "
        f"together {needed // mib} MiB, and the container may use {limit // mib} MiB: give spec.training.resources "
        "more memory, or make the layer smaller"
    )
    raise RunError(Reason.OUT_OF_MEMORY, message)
