"""Every layer, with the parameters of the table, few steps and many: ONNX Runtime says what Keras says of each row."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from against_keras import Case, ask, compare, differences
from export_cases import CASES
from modelwright_trainer.backends.keras.export import EXPORTERS
from modelwright_trainer.backends.keras.export.value import Step, Value
from modelwright_trainer.backends.keras.network import Layer
from modelwright_trainer.backends.keras.table import LAYERS
from modelwright_trainer.backends.keras.words import Kind
from modelwright_trainer.graph.builder import ROWS, Graph


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_exported_layer_answers_as_keras_does(case: Case) -> None:
    assert compare(case) == ""


@pytest.mark.parametrize("groups", [2, 3, 6])
def test_a_convolution_in_groups_answers_as_keras_does(groups: int) -> None:
    """The table takes one group; the exporter takes all."""
    made = keras.layers.Conv2D(6, 3, groups=groups, bias_initializer="normal")
    asked = np.random.default_rng(groups).normal(size=(5, 7, 8, 6)).astype(np.float32)
    expected = np.asarray(made(asked))
    weights = {variable.name: np.asarray(variable) for variable in made.weights}
    parameters = {
        "strides": (1, 1),
        "dilation_rate": (1, 1),
        "padding": "valid",
        "groups": groups,
        "use_bias": True,
        "activation": "linear",
    }
    graph = Graph()
    value = Value(graph.input("x", "float32", (ROWS, 7, 8, 6)), (7, 8, 6))
    found = EXPORTERS["Conv2D"](graph, Step((value,), parameters, weights))
    assert found.shape == (5, 6, 6)
    graph.output("y", found.name, "float32", (ROWS, 5, 6, 6))
    assert differences(expected, ask(b"".join(graph.pieces()), {"x": asked})) == ""


def test_each_layer_of_the_table_is_exported() -> None:
    assert sorted(EXPORTERS) == sorted(LAYERS)


def asked() -> dict[tuple[str, str], list[Any]]:
    """Give the values of each parameter that some case has, defaults among them."""
    found: dict[tuple[str, str], list[Any]] = {}

    def note(layer: Layer) -> None:
        for name, value in layer.parameters.items():
            values = found.setdefault((layer.type, name), [])
            plain = value.type if isinstance(value, Layer) else value
            if plain not in values:
                values.append(plain)
            if isinstance(value, Layer):
                note(value)

    for case in CASES:
        for layer in case.network.layers:
            note(layer)
    return found


def test_each_parameter_of_the_table_has_several_values_in_the_cases() -> None:
    values = asked()
    missing = []
    for type_, entry in LAYERS.items():
        for name, parameter in entry.parameters.items():
            given = values.get((type_, name), [])
            if len(given) < 2:
                missing.append(f"{type_}.{name} has only {given}")
            expected = {Kind.BOOLEAN: [False, True]}.get(parameter.kind, list(parameter.words))
            missing += [f"{type_}.{name} is never {one!r}" for one in expected if one not in given]
    assert missing == []
