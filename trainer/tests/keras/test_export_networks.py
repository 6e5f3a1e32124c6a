"""Networks of many layers, drawn by the table with all that it allows: ONNX Runtime says what Keras says."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from against_keras import Case, compare, export, load, prepared
from export_cases import layer
from modelwright_trainer.backends.keras.choices import ACTIVATIONS
from modelwright_trainer.backends.keras.export import add_network
from modelwright_trainer.backends.keras.network import Input
from modelwright_trainer.backends.keras.parse import _parse_layer
from modelwright_trainer.backends.keras.shapes import Value, follow
from modelwright_trainer.backends.keras.table import LAYERS
from modelwright_trainer.backends.keras.words import Kind, Parameter, Takes
from modelwright_trainer.config import RunLayer, Task
from modelwright_trainer.failure import RunError
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.graph.inputs import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS = 60
MOST_LAYERS = 8
MOST_NUMBERS = 5000
"""That come out of a layer for one row."""
FIXED: dict[str, Any] = {"input_dim": 16, "output_sequence_length": 9, "sequence_length": 60, "max_wavelength": 100.0}
"""Parameters that must go with the data."""
TAME = ("sigmoid", "hard_sigmoid", "tanh", "softsign")
Layer = dict[str, Any]


class Drawing:
    """A network that grows by a layer at a time."""

    def __init__(self, seed: int) -> None:
        """Draw the data."""
        self.random = np.random.default_rng(seed)
        self.seed = seed
        self.layers: list[Layer] = []
        kind = seed % 5
        time = int(self.random.integers(1, 13))
        self.padded = kind == 0
        self.text = kind == 1
        self.shape: tuple[int, ...] = {2: (7,), 3: (9, 8, 3)}.get(kind, (time, 4))
        if self.text:
            self.shape = (12,)
            self.add(layer("TextVectorization", output_sequence_length=9))

    @property
    def source(self) -> Input:
        """The data, as the network sees it."""
        return Input((), text=True) if self.text else Input(self.shape, padded=self.padded)

    def values(self, more: Layer | None = None) -> dict[str, Value]:
        """Follow what goes from layer to layer."""
        parsed: list[Any] = []
        every = [*self.layers, *([] if more is None else [more])]
        for one in every:
            given = RunLayer(one["name"], one["type"], one.get("inputs"), one["parameters"])
            parsed.append(_parse_layer(given, "layers[0]", parsed, ()))
        return follow(parsed, self.source)

    def add(self, one: Layer) -> bool:
        """Add a layer, where it can stand there."""
        one = one | {"name": f"l{len(self.layers)}"}
        try:
            shape = self.values(one)[one["name"]].shape
        except RunError:
            return False
        if not 0 < np.prod([size or 1 for size in shape]) <= MOST_NUMBERS or any(size == 0 for size in shape):
            return False
        self.layers.append(one)
        return True

    def pick(self, *of: Any) -> Any:
        """Pick one."""
        return of[int(self.random.integers(len(of)))]

    def toss(self) -> bool:
        """Pick yes or no."""
        return bool(self.random.random() < 0.5)

    def parameter(self, name: str, parameter: Parameter) -> Any:
        """Draw a value of a parameter."""
        if name in FIXED:
            return FIXED[name]
        draw: dict[Kind, Callable[[], Any]] = {
            Kind.BOOLEAN: self.toss,
            Kind.WORD: lambda: self.pick(*parameter.words),
            Kind.ACTIVATION: lambda: self.pick(*(one for one in ACTIVATIONS if one != "exponential")),
            Kind.LAYER: lambda: self.draw(self.pick(*parameter.words)),
            Kind.INTEGERS: lambda: [int(one) for one in self.random.integers(1, 4, parameter.axes)],
            Kind.INTEGER: lambda: int(self.random.integers(1, 6)),
            Kind.NUMBER: lambda: float(self.random.uniform(0.01, 0.5)),
        }
        drawn = draw[parameter.kind]()
        if name == "axis":
            return self.pick(-1, -2)
        # Under gates without bounds, states of Keras itself grow beyond all numbers.
        return "sigmoid" if name == "recurrent_activation" and drawn not in TAME else drawn

    def draw(self, type_: str) -> Layer:
        """Draw a layer of a type; half of what need not be given is left out."""
        given = {}
        for name, parameter in LAYERS[type_].parameters.items():
            idle = parameter.kind in {Kind.INITIALIZER, Kind.REGULARIZER} or name == "max_tokens"
            if not idle and (parameter.required or self.toss()):
                given[name] = self.parameter(name, parameter)
        return layer(type_, **given)

    def grow(self) -> None:
        """Try a layer behind one or several of those that are there."""
        known = ["input", *(one["name"] for one in self.layers)]
        one = self.draw(self.pick(*LAYERS))
        count = int(self.random.integers(1, 4)) if LAYERS[one["type"]].several else 1
        recent = known[-3:]
        self.add(one | {"inputs": tuple(self.pick(*recent) for _ in range(count))})

    def finish(self) -> tuple[Layer, ...]:
        """Bring all that nothing takes yet to one list of numbers, and that to probabilities."""
        flat = []
        for name in self.unused():
            value = self.values()[name]
            if value.takes is Takes.TOKENS:
                self.add(layer("Embedding", name, input_dim=16, output_dim=3, mask_zero=self.toss()))
                name, value = self.layers[-1]["name"], self.values()[self.layers[-1]["name"]]  # noqa: PLW2901
            if len(value.shape) > 1:
                steps = ("GlobalAveragePooling1D", "GlobalMaxPooling1D")
                ways = ("GlobalAveragePooling2D", "Flatten") if len(value.shape) == 3 else steps
                self.add(layer(self.pick(*ways), name))
                name = self.layers[-1]["name"]  # noqa: PLW2901
            flat.append(name)
        if len(flat) > 1:
            self.add(layer("Concatenate", *flat))
        self.add(layer("Dense", units=3, activation="softmax"))
        return tuple(self.layers)

    def unused(self) -> list[str]:
        """Give the layers that no other takes."""
        used = {name for one in self.layers for name in one.get("inputs", ())}
        names = [one["name"] for one in self.layers]
        used |= {before for before, one in zip(["input", *names], self.layers, strict=False) if "inputs" not in one}
        return [name for name in names if name not in used] or ["input"]


@cache
def draw_network(seed: int) -> Case:
    """Draw a network and the data for it."""
    drawing = Drawing(seed)
    for _ in range(400):
        if len(drawing.layers) >= 2 + seed % MOST_LAYERS:
            break
        drawing.grow()
    layers = drawing.finish()
    return Case(f"network {seed}", layers, drawing.shape, padded=drawing.padded, text=drawing.text, seed=seed)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_a_network_answers_as_keras_does(seed: int) -> None:
    case = draw_network(seed)
    assert compare(case) == "", [
        (one["name"], one["type"], one.get("inputs"), one["parameters"]) for one in case.layers
    ]


@pytest.mark.parametrize("seed", range(5))
def test_a_network_is_written_in_the_same_bytes_each_time(seed: int) -> None:
    case = draw_network(seed)
    weights, _, _ = prepared(case)
    assert export(case, weights) == export(case, {name: dict(own) for name, own in reversed(weights.items())})


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "linear"])
def test_a_network_answers_as_its_task_asks(activation: str) -> None:
    units = 3 if activation == "softmax" else 1
    case = Case(f"answers {activation}", (layer("Dense", units=units, activation=activation),), (4,))
    weights, rows, expected = prepared(case)
    graph = Graph()
    tensor = Tensor(graph.input("x", "float32", (ROWS, 4)), "float32", (ROWS, 4))
    task = Task.REGRESSION if activation == "linear" else Task.CLASSIFICATION
    answer = add_network(graph, case.network, task, weights, {"features": tensor})
    if isinstance(answer, str):
        assert task is Task.REGRESSION
        graph.output("prediction", answer, "float32", (ROWS,))
        (prediction,) = load(b"".join(graph.pieces())).run(None, rows)
        np.testing.assert_allclose(prediction, expected[:, 0], atol=1e-5)
        return
    graph.output("index", answer.index, "int64", (ROWS,))
    assert answer.probabilities is not None
    graph.output("probabilities", answer.probabilities, "float32", (ROWS, 3 if units == 3 else 2))
    index, probabilities = load(b"".join(graph.pieces())).run(None, rows)
    both = np.concatenate([1 - expected, expected], axis=1) if units == 1 else expected
    np.testing.assert_allclose(probabilities, both, atol=1e-6)
    np.testing.assert_array_equal(index, both.argmax(axis=1))


EXPORT = """
import hashlib, pickle, sys
from modelwright_trainer.backends.keras.export import add_layers
from modelwright_trainer.graph.builder import Graph
from modelwright_trainer.graph.inputs import Tensor
network, weights, inputs = pickle.load(sys.stdin.buffer)
graph = Graph()
tensors = {name: Tensor(graph.input(name, kind, shape), kind, shape) for name, kind, shape in inputs}
graph.output("y", add_layers(graph, network, weights, tensors).name, "float32", ("rows", 3))
print(hashlib.sha256(b"".join(graph.pieces())).hexdigest(), "tensorflow" in sys.modules or "keras" in sys.modules)
"""


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_processes_write_the_same_bytes_and_need_no_tensorflow(seed: int) -> None:
    case = draw_network(seed)
    weights, _, _ = prepared(case)
    shapes: dict[int, list[tuple[str, str, tuple[str | int, ...]]]] = {
        0: [("sequences", "float32", ("rows", "time", 4)), ("lengths", "int64", ("rows",))],
        1: [("text", "text", ("rows", 1))],
        3: [("images", "uint8", ("rows", *case.shape))],
    }
    given = pickle.dumps((case.network, weights, shapes[seed]))
    found = set()
    for hashes in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": hashes}
        command = [sys.executable, "-c", EXPORT]
        done = subprocess.run(command, input=given, capture_output=True, check=True, env=environment)  # noqa: S603 - it is written here
        found.add(done.stdout.decode())
    assert len(found) == 1
    assert found.pop().endswith("False\n")


def test_networks_that_are_drawn_have_every_type_of_layer() -> None:
    drawn = {one["type"] for seed in range(NETWORKS) for one in draw_network(seed).layers}
    assert sorted(set(LAYERS) - drawn) == []
