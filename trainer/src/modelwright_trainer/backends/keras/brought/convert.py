"""In goes a `.keras` file, out comes `model.onnx`, once ONNX Runtime answers as Keras does."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np
import onnx

from modelwright_trainer.backends.keras.memory import BYTES, count_each
from modelwright_trainer.backends.keras.network import INPUT
from modelwright_trainer.export import LARGEST_MODEL, run_model
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.graph.inputs import Tensor
from modelwright_trainer.graph.packed import total
from modelwright_trainer.log import log
from modelwright_trainer.room import Room

from .archive import read_keras
from .layers import read_layers

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from modelwright_trainer.backends.keras.network import Input

    from .layers import Brought

MODEL_FILE: Final = "model.onnx"
OUTPUT: Final = "output"
TOLERANCE: Final = 1e-5
"""By how much an answer may differ, in parts of the largest."""
ASKED_ROWS: Final = 16
SIZES: Final = (9, 10, 11, 12, 32, 33, 128, 129, 256, 257)
"""Of an axis that the model leaves open: what strides leave over differs from size to size."""
MOST_SIZES: Final = 4
"""The first so many are asked that its layers leave something of."""
SCALES: Final = (1.0, 10.0, 100.0)
"""Of the numbers that are asked, as far as Keras' own answers are finite: to the first they must be."""
SEED: Final = 7


def convert(source: Path, output: Path) -> dict[str, Any]:
    """Leave the graph in the output folder; return what is reported."""
    file = read_keras(source)
    brought = read_layers(file.config)
    closings = close(brought)
    check_size(source, brought, closings[0])
    # These load TensorFlow, which all that can be refused without it is not worth.
    import_module("modelwright_trainer.backends.keras.start").start()
    build = import_module("modelwright_trainer.backends.keras.build")
    weights_of = import_module(".weights", __package__).read_weights
    model = build.build_model(brought.network, closings[0], SEED)
    variables = build.variables_of(model)
    shapes = {layer: {name: tuple(one.shape) for name, one in named.items()} for layer, named in variables.items()}
    kinds = {layer.name: layer.type for layer in brought.network.layers}
    weights = weights_of(file.weights, brought.groups, kinds, shapes)
    for layer, named in variables.items():
        for name, one in named.items():
            one.assign(weights[layer][name])
    content = write_graph(brought, weights)
    largest = max(_compare(content, brought, closed, model) for closed in closings)
    output.mkdir(parents=True, exist_ok=True)
    with (output / MODEL_FILE).open("wb") as written:
        written.writelines(content)
    log("keras converted", layers=len(brought.network.layers), bytes=total(content), difference=largest)
    return {"layers": len(brought.network.layers), "bytes": total(content)}


def close(brought: Brought) -> list[Input]:
    """Return inputs with a size for each axis that the model leaves open."""
    if None not in brought.source.shape:
        return [brought.source]
    found: list[Input] = []
    for size in SIZES:
        closed = replace(brought.source, shape=tuple(one or size for one in brought.source.shape))
        try:
            brought.network.follow(closed)
        except RunError:
            if size == SIZES[-1] and not found:
                raise
        else:
            found.append(closed)
    return found[:MOST_SIZES]


def check_size(source: Path, brought: Brought, closed: Input) -> None:
    """Refuse layers that say of themselves that they are larger than there is room for, before one is made."""
    counts = count_each(brought.network, brought.network.follow(closed))
    largest = max(counts, key=lambda name: counts[name])
    Room(source.name).take(sum(counts.values()) * BYTES, f"of weights, {counts[largest]} of them in {largest!r},")


def write_graph(brought: Brought, weights: dict[str, dict[str, NDArray[Any]]]) -> list[bytes]:
    """Write the graph. The same network and weights give the same bytes."""
    add_layers = import_module("modelwright_trainer.backends.keras.export").add_layers
    graph = Graph()
    shape = (ROWS, *(size or f"axis{index + 1}" for index, size in enumerate(brought.source.shape)))
    taken = Tensor(graph.input(brought.input, "float32", shape), "float32", shape)
    found = add_layers(graph, brought.network, weights, {"features": taken})
    sizes = tuple(size or f"given{index + 1}" for index, size in enumerate(found.shape))
    graph.output(name_output(brought), found.name, "float32", (ROWS, *sizes))
    content = graph.pieces()
    if total(content) > LARGEST_MODEL:
        message = f"spec.source: the model has {total(content)} bytes as ONNX, more than the 2 GiB of one file"
        raise RunError(Reason.TOO_LARGE, message)
    onnx.checker.check_model(b"".join(content))
    return content


def name_output(brought: Brought) -> str:
    """Return what the answer is called: no name is there twice."""
    return OUTPUT if brought.input != OUTPUT else f"{OUTPUT}_1"


def _compare(content: list[bytes], brought: Brought, closed: Input, model: Any) -> float:
    """Hold the graph against Keras on numbers of several sizes, and return the largest difference in parts of them."""
    random = np.random.Generator(np.random.PCG64(SEED))
    shape = (ASKED_ROWS, *closed.shape)
    name = name_output(brought)
    largest = 0.0
    for scale in SCALES:
        asked = (random.standard_normal(shape) * scale).astype(np.float32)
        expected = np.asarray(model({INPUT: asked}, training=False))
        if not np.isfinite(expected).all():
            if scale == SCALES[0]:
                _refuse("Keras itself answers numbers around 1 by what is not finite, and no graph can be held to that")
            break
        found = run_model(content, {brought.input: asked}, [name])[name]
        if found.shape != expected.shape or not np.isfinite(found).all():
            _refuse(
                f"ONNX Runtime answers {found.shape}, finite or not, where Keras answers {expected.shape}: this is a "
                "fault of the trainer"
            )
        of = max(float(np.abs(expected).max()), float(np.finfo(np.float32).tiny))
        largest = max(largest, float(np.abs(found - expected).max()) / of)
    if largest > TOLERANCE:
        _refuse(
            f"ONNX Runtime answers otherwise than Keras, by {largest:.3g} of the largest answer, and at most "
            f"{TOLERANCE} is taken: this is a fault of the trainer"
        )
    return largest


def _refuse(why: str) -> NoReturn:
    raise RunError(Reason.NOT_REPRODUCIBLE, f"spec.source: {why}; export the model to ONNX yourself")
