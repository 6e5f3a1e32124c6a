"""Names of tensors: a variant is the same whatever a graph calls them, those that the tools make included."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.optimize import weights as apart
from modelwright_trainer.optimize.families import nodes_of
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import Order, Request
from test_optimize import DYNAMIC, HALF, STATIC, answer, leave, refusal, run, weights
from test_optimize_weights import CASES

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DRAWN = 4


def prepared() -> Graph:
    """Give a network behind preparation that takes the same constant as it does."""
    graph = Graph()
    scale = graph.constant(weights(16, seed=2))
    x = graph.add("Mul", graph.input("x", "float32", (ROWS, 16)), scale)
    x = graph.add("Mul", graph.add("MatMul", x, graph.constant(weights(16, 16))), scale)
    answer(graph, graph.add("MatMul", graph.add("Tanh", x), graph.constant(weights(16, 5, seed=9))), 5)
    return graph


ALL: dict[str, tuple[Any, dict[str, NDArray[Any]], tuple[Request, ...]]] = CASES | {
    "prepared": (prepared, {"x": weights(40, 16, seed=3)}, (DYNAMIC, STATIC, HALF)),
}


def tensors_of(model: onnx.ModelProto) -> list[str]:
    """Return the names of all tensors, in their order."""
    names = [one.name for one in (*model.graph.input, *model.graph.initializer)]
    for node in nodes_of(model.graph):
        names += [*node.input, *node.output]
    return list(dict.fromkeys(filter(None, names)))


def rename(model: onnx.ModelProto, old: str, new: str) -> onnx.ModelProto:
    """Return the graph with another name for one tensor."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for one in (*made.graph.input, *made.graph.output, *made.graph.initializer):
        one.name = new if one.name == old else one.name
    for node in nodes_of(made.graph):
        for names in (node.input, node.output):
            names[:] = [new if name == old else name for name in names]
    return made


def made_of(
    folder: Path, model: onnx.ModelProto, rows: dict[str, NDArray[Any]], request: Request
) -> tuple[onnx.ModelProto, list[bytes]]:
    """Make a variant, and return it with its answers."""
    folder.mkdir()
    leave(folder, Graph(), **rows)
    onnx.save(model, folder / "model.onnx")
    make_variants(Order(folder, (request,)))
    path = folder / "variants" / request.name / "model.onnx"
    return onnx.load(path), [one.tobytes() for one in run(path, rows)]


@pytest.mark.parametrize("name", ALL)
def test_names_that_the_tools_make_may_be_those_of_a_graph(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGE", 256)
    make, rows, requests = ALL[name]
    model = make().finish()
    random = np.random.default_rng(11)
    for number, request in enumerate(requests):
        variant, answers = made_of(tmp_path / f"{number}", model, rows, request)
        nodes = [node.name for node in variant.graph.node if node.name]
        known = tensors_of(model)
        taken = ["n0.", "n1.", "n2.inner"]
        taken += sorted({*tensors_of(variant), *nodes} - set(known))
        for tensor in model.graph.initializer:
            taken += [f"{tensor.name}{end}" for end in ("_quantized", "_scale", "_zero_point", "\tnetwork", "_weight")]
        for draw in range(DRAWN):
            old, new = str(random.choice(known)), str(random.choice(taken))
            given = rename(model, old, new)
            inputs = {new if port == old else port: values for port, values in rows.items()}
            made, found = made_of(tmp_path / f"{number}-{draw}", given, inputs, request)
            assert found == answers, (request, old, new)
            for ours, theirs in ((made.graph.input, given.graph.input), (made.graph.output, given.graph.output)):
                assert [(port.name, port.type) for port in ours] == [(port.name, port.type) for port in theirs]


def test_a_refusal_names_weights_as_the_graph_does(tmp_path: Path) -> None:
    model = prepared().finish()
    large = next(one for one in model.graph.initializer if list(one.dims) == [16, 5])
    given = rename(model, large.name, "head/kernel")
    for one in given.graph.initializer:
        if one.name == "head/kernel":
            one.CopyFrom(onnx.numpy_helper.from_array(np.full((16, 5), 1e6, np.float32), "head/kernel"))
    leave(tmp_path, Graph(), x=weights(40, 16, seed=3))
    onnx.save(given, tmp_path / "model.onnx")
    assert "its weights 'head/kernel' go up to 1e+06" in refusal(tmp_path, HALF)
