"""Faults that are easily made in an exporter, planted one at a time: the comparison with Keras notices each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from against_keras import Case, compare, prepared
from export_cases import CHANNELS, LARGE, LONG, layer
from modelwright_trainer.backends.keras.export import (
    EXPORTERS,
    activations,
    attention,
    padding,
    pooling,
    recurrent,
    text,
    windows,
)
from modelwright_trainer.graph.builder import Graph
from onnx.shape_inference import InferenceError

if TYPE_CHECKING:
    from collections.abc import Callable

    Patch = pytest.MonkeyPatch
    Change = Callable[[list[str], dict[str, Any]], None]


@dataclass(frozen=True)
class Fault:
    """What is wrong, how it comes to be, and which network shows it."""

    name: str
    plant: Callable[[Patch], None]
    case: Case


def _steps(*layers: dict[str, Any], padded: bool = True) -> Case:
    return Case(f"fault {layers} {padded}", layers, (LONG, CHANNELS), padded=padded)


def _images(*layers: dict[str, Any]) -> Case:
    return Case(f"fault {layers}", layers, LARGE)


def _words(*layers: dict[str, Any], length: int = 12) -> Case:
    numbers = layer("TextVectorization", output_sequence_length=length)
    return Case(f"fault {layers} {length}", (numbers, *layers), (20,), text=True)


def _change(operator: str, change: Change) -> Callable[[Patch], None]:
    """Plant a fault in each node of an operator; one that finds no such node is none."""

    def plant(patch: Patch) -> None:
        original = Graph.add_many

        def add_many(  # noqa: PLR0913, PLR0917 - as it is
            self: Graph,
            name: str,
            inputs: tuple[str, ...],
            outputs: int,
            domain: str = "",
            skipped: int = 0,
            **rest: Any,
        ) -> list[str]:
            given = list(inputs)
            if name == operator:
                change(given, rest)
                name = rest.pop("operator", name)
            return original(self, name, tuple(given), outputs, domain, skipped, **rest)

        patch.setattr(Graph, "add_many", add_many)

    return plant


def _set(operator: str, /, **attributes: Any) -> Callable[[Patch], None]:
    return _change(operator, lambda _, given: given.update(attributes))


def _without_mask(type_: str, first: int = 0) -> Callable[[Patch], None]:
    """Let layers of a type forget their padding, from one of them on."""

    def plant(patch: Patch) -> None:
        original = EXPORTERS[type_]
        count = iter(range(100))

        def forget(graph: Graph, step: Any) -> Any:
            if next(count) < first:
                return original(graph, step)
            return original(graph, replace(step, inputs=tuple(replace(value, padding=None) for value in step.inputs)))

        patch.setitem(EXPORTERS, type_, forget)

    return plant


def _gates(kind: str, *order: int) -> Callable[[Patch], None]:
    swapped = replace(recurrent.KINDS[kind], gates=order)
    return lambda patch: patch.setitem(recurrent.KINDS, kind, swapped)


def _pads(change: Callable[[int, int], tuple[int, int]]) -> Callable[[Patch], None]:
    original = windows.same_pads

    def changed(*sizes: Any) -> tuple[int, int] | None:
        found = original(*sizes)
        return None if found is None else change(*found)

    return lambda patch: patch.setattr(windows, "same_pads", changed)


def _drop_sum(patch: Patch) -> None:
    """Take the mean over all steps and not over a row's own."""
    original = pooling.add_global_average

    def forget(graph: Graph, step: Any) -> Any:
        return original(graph, replace(step, inputs=(replace(step.input, padding=None),)))

    patch.setitem(EXPORTERS, "GlobalAveragePooling1D", forget)


def _swap(inputs: list[str], _: dict[str, Any]) -> None:
    inputs[0], inputs[1] = inputs[1], inputs[0]


def _shifted_positions(graph: Graph, step: Any) -> Any:
    return text.add_positions(graph, replace(step, weights={"embeddings": step.weights["embeddings"][1:]}))


def _longer_mask(patch: Patch) -> None:
    original = padding._mask

    def longer(graph: Graph, steps: str, lengths: str) -> str:
        return original(graph, steps, graph.add("Add", lengths, graph.constant(np.array(1))))

    patch.setattr(padding, "_mask", longer)


def _swap_ways(patch: Patch) -> None:
    original = EXPORTERS["Bidirectional"]
    other = {"forward": "backward", "backward": "forward"}

    def swapped(graph: Graph, step: Any) -> Any:
        parts = [(name.partition("/"), values) for name, values in step.weights.items()]
        weights = {f"{other[way]}/{variable}": values for (way, _, variable), values in parts}
        return original(graph, replace(step, weights=weights))

    patch.setitem(EXPORTERS, "Bidirectional", swapped)


def _flip_reset(_: list[str], given: dict[str, Any]) -> None:
    given["linear_before_reset"] = 1 - given["linear_before_reset"]


def _shift_causal(_: list[str], given: dict[str, Any]) -> None:
    before, after = given["pads"]
    given["pads"] = [before - 1, after + 1]


LSTM = _steps(layer("LSTM", units=5))
TWO_BLOCKS = (
    layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
    layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
    layer("GlobalMaxPooling1D"),
)
BOTH_WAYS = _steps(layer("Bidirectional", layer=layer("GRU", units=5)))
STRIDED = _images(layer("Conv2D", filters=5, kernel_size=[4, 2], padding="same"))
MASKED = layer("Embedding", input_dim=16, output_dim=CHANNELS, mask_zero=True)

FAULTS = [
    Fault("input and forget gate of an LSTM swapped", _gates("LSTM", 1, 3, 0, 2), LSTM),
    Fault("gates of an LSTM in Keras' order", _gates("LSTM", 0, 1, 2, 3), LSTM),
    Fault("update and reset gate of a GRU swapped", _gates("GRU", 1, 0, 2), _steps(layer("GRU", units=5))),
    Fault("a GRU resets on the other side", _change("GRU", _flip_reset), _steps(layer("GRU", units=5))),
    Fault(
        "a GRU resets on the other side, again",
        _change("GRU", _flip_reset),
        _steps(layer("GRU", units=5, reset_after=False)),
    ),
    Fault(
        "activations of an LSTM swapped",
        _change("LSTM", lambda _, given: given["activations"].reverse()),
        LSTM,
    ),
    Fault(
        "the first state in place of the last", _set("LSTM", direction="reverse"), _steps(LSTM.layers[0], padded=False)
    ),
    Fault("an LSTM forgets padding", _without_mask("LSTM"), LSTM),
    Fault("a GRU forgets padding", _without_mask("GRU"), _steps(layer("GRU", units=5))),
    Fault("a SimpleRNN forgets padding", _without_mask("SimpleRNN"), _steps(layer("SimpleRNN", units=5))),
    Fault("a Bidirectional forgets padding", _without_mask("Bidirectional"), BOTH_WAYS),
    Fault(
        "a second RNN forgets padding",
        _without_mask("GRU"),
        _steps(layer("LSTM", units=5, return_sequences=True), layer("GRU", units=5)),
    ),
    Fault(
        "attention forgets padding",
        _without_mask("MultiHeadAttention"),
        _steps(layer("MultiHeadAttention", num_heads=2, key_dim=3)),
    ),
    Fault("a block forgets padding", _without_mask("TransformerEncoder"), _steps(*TWO_BLOCKS)),
    Fault("the second block forgets padding, as in Keras", _without_mask("TransformerEncoder", 1), _steps(*TWO_BLOCKS)),
    Fault("a text's second block forgets padding", _without_mask("TransformerEncoder", 1), _words(MASKED, *TWO_BLOCKS)),
    Fault("a mean counts padding", _drop_sum, _steps(layer("GlobalAveragePooling1D"))),
    Fault("a maximum sees padding", _without_mask("GlobalMaxPooling1D"), _steps(*TWO_BLOCKS)),
    Fault("one step too many is a row's own", _longer_mask, _steps(*TWO_BLOCKS)),
    Fault("a Bidirectional's ways swapped", _swap_ways, BOTH_WAYS),
    Fault(
        "a mean in place of a sum",
        _set("ReduceSum", operator="ReduceMean"),
        _steps(layer("Bidirectional", layer=layer("LSTM", units=5), merge_mode="sum"), padded=False),
    ),
    Fault("pads off by one", _pads(lambda before, after: (before + 1, after - 1)), STRIDED),
    Fault("SAME_LOWER in place of SAME_UPPER", _pads(lambda before, after: (after, before)), STRIDED),
    Fault(
        "SAME_LOWER where sizes are open",
        _set("Conv", auto_pad="SAME_LOWER"),
        Case(
            "open", (layer("Conv1D", filters=5, kernel_size=4, strides=3, padding="same"),), (LONG, CHANNELS), free=True
        ),
    ),
    Fault(
        "SAME_LOWER of a pooling",
        _pads(lambda before, after: (after, before)),
        _images(layer("AveragePooling2D", pool_size=2, strides=1, padding="same")),
    ),
    Fault(
        "a pooling's pads off by one",
        _pads(lambda before, after: (before - 1, after + 1)),
        _images(layer("MaxPooling2D", pool_size=3, strides=1, padding="same")),
    ),
    Fault(
        "a causal convolution sees the next step",
        _change("Conv", _shift_causal),
        _steps(layer("Conv1D", filters=5, kernel_size=3, padding="causal"), padded=False),
    ),
    Fault(
        "pads are counted in a mean",
        _set("AveragePool", count_include_pad=1),
        _images(layer("AveragePooling2D", pool_size=3, strides=1, padding="same")),
    ),
    Fault(
        "no dilation",
        _set("Conv", dilations=[1, 1]),
        _images(layer("Conv2D", filters=5, kernel_size=3, dilation_rate=2, padding="same")),
    ),
    Fault(
        "an axis of images is turned",
        _change("Transpose", lambda _, given: given.update(perm=[0, 3, 2, 1]) if given["perm"][1] == 3 else None),
        _images(layer("Conv2D", filters=5, kernel_size=3), layer("Flatten")),
    ),
    Fault("ONNX's epsilon", _set("LayerNormalization", epsilon=1e-5), _steps(layer("LayerNormalization"))),
    Fault(
        "another axis is normalized",
        _set("Softmax", axis=1),
        _steps(layer("Activation", activation="softmax"), padded=False),
    ),
    Fault(
        "attention without its scale",
        lambda patch: patch.setattr(f"{attention.__name__}.math.sqrt", lambda _: 1.0),
        _steps(layer("MultiHeadAttention", num_heads=2, key_dim=3)),
    ),
    Fault("gelu by tanh", _set("Gelu", approximate="tanh"), _images(layer("Activation", activation="gelu"))),
    Fault(
        "ONNX's slope of leaky_relu",
        lambda patch: patch.setitem(
            activations.ACTIVATIONS, "leaky_relu", lambda graph, one: graph.add("LeakyRelu", one)
        ),
        _images(layer("Activation", activation="leaky_relu")),
    ),
    Fault(
        "ONNX's alpha of HardSigmoid",
        _set("HardSigmoid", alpha=0.2),
        _images(layer("Activation", activation="hard_sigmoid")),
    ),
    Fault(
        "parts in another order",
        _change("Concat", _swap),
        _steps(layer("Dense", units=CHANNELS, name="left"), layer("Concatenate", "left", "input")),
    ),
    Fault("text is not lowered", _set("StringNormalizer", case_change_action="NONE"), _words(MASKED)),
    Fault("words are numbered from 3", lambda patch: patch.setattr(text, "FIRST", 3), _words(MASKED)),
    Fault("unknown words are padding", lambda patch: patch.setattr(text, "UNKNOWN", 0), _words(MASKED)),
    Fault("apostrophes part words", _set("Tokenizer", tokenexp="[a-z0-9]+"), _words(MASKED)),
    Fault("the first word is lost", _change("Slice", lambda given, _: given.__setitem__(1, given[3])), _words(MASKED)),
    Fault(
        "positions are counted from 1",
        lambda patch: patch.setitem(EXPORTERS, "PositionEmbedding", _shifted_positions),
        _steps(layer("PositionEmbedding", sequence_length=LONG + 1)),
    ),
]
"""Each is caught."""


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_planted_fault_is_noticed(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    assert compare(fault.case) == ""
    fault.plant(monkeypatch)
    try:
        found = compare(fault.case)
    except InferenceError as error:
        found = str(error)
    assert found != ""


WEIGHTED = [
    *(
        _steps(layer("Dense", units=CHANNELS, name="first"), one)
        for one in (
            layer("Dense", units=5),
            layer("SimpleRNN", units=5),
            layer("LSTM", units=5),
            layer("GRU", units=5),
            layer("GRU", units=5, reset_after=False),
            layer("Bidirectional", layer=layer("LSTM", units=5)),
            layer("MultiHeadAttention", num_heads=2, key_dim=3),
            layer("TransformerEncoder", num_heads=2, intermediate_dim=8),
            layer("TransformerEncoder", num_heads=2, intermediate_dim=8, norm_first=True),
            layer("BatchNormalization"),
            layer("LayerNormalization"),
            layer("PositionEmbedding", sequence_length=LONG),
        )
    ),
    _steps(layer("Conv1D", filters=5, kernel_size=3), padded=False),
    _images(layer("Conv2D", filters=5, kernel_size=3)),
    _images(layer("SeparableConv2D", filters=5, kernel_size=3)),
    _words(MASKED),
]


@pytest.mark.parametrize("case", WEIGHTED, ids=lambda case: case.layers[-1]["type"])
def test_each_weight_that_is_dropped_is_noticed(case: Case) -> None:
    weights, _, _ = prepared(case)
    # A bias of keys moves all scores of a query alike, and so none of its shares.
    idle = {"key/bias", "attention/key/bias"}
    unnoticed = []
    for name, own in weights.items():
        for variable, values in own.items():
            if variable in idle or values.dtype == object:
                continue
            dropped = {**weights, name: {**own, variable: np.zeros_like(values)}}
            if compare(case, dropped) == "":
                unnoticed.append(f"{name}/{variable}")
    assert unnoticed == []
