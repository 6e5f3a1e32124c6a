"""Large weights: kept apart they give the same variants, lie where they lay, and are in memory one at a time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.optimize import weights as apart
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import Order, Quantize, Request, Target
from test_optimize import DYNAMIC, HALF, STATIC, answer, images, leave, recurrent, run, sequences, weights
from test_optimize import convolutional as convolutional_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def perceptron(width: int = 64) -> Graph:
    """Give a product, and one by a matrix that is turned, with a bias: ONNX Runtime's tools turn it back."""
    graph = Graph()
    x = graph.add("MatMul", graph.input("x", "float32", (ROWS, 16)), graph.constant(weights(16, width)))
    turned = graph.constant(weights(width, width, seed=8))
    x = graph.add("Gemm", graph.add("Relu", x), turned, graph.constant(weights(width)), transB=1)
    answer(graph, graph.add("MatMul", graph.add("Tanh", x), graph.constant(weights(width, 5, seed=9))), 5)
    return graph


def embedded() -> Graph:
    """Rows of a table of words, and two products by the same matrix."""
    graph = Graph()
    words = graph.add("Gather", graph.constant(weights(50, 32)), graph.input("words", "int64", (ROWS, 6)))
    x = graph.add("ReduceMean", words, graph.whole(1), keepdims=0)
    shared = graph.constant(weights(32, 32, seed=8))
    x = graph.add("MatMul", graph.add("Tanh", graph.add("MatMul", x, shared)), shared)
    answer(graph, graph.add("MatMul", x, graph.constant(weights(32, 5, seed=9))), 5)
    return graph


def convolutional() -> Graph:
    return convolutional_of()


CASES: dict[str, tuple[Any, dict[str, NDArray[Any]], tuple[Request, ...]]] = {
    "perceptron": (perceptron, {"x": weights(40, 16, seed=3)}, (DYNAMIC, STATIC, HALF)),
    "embedded": (
        embedded,
        {"words": np.random.default_rng(3).integers(0, 50, size=(40, 6))},
        (DYNAMIC, STATIC, HALF),
    ),
    "convolutional": (convolutional, {"images": images()}, (STATIC, HALF)),
    "recurrent": (recurrent, sequences(), (DYNAMIC, HALF)),
}


def lay_beside(folder: Path) -> None:
    """Have all weights of a model lie beside its graph."""
    path = folder / "model.onnx"
    model = onnx.load(path)
    path.unlink()
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (folder / "weights.bin").stat().st_size > 0


def in_order(path: Path) -> bytes:
    """Return a graph with its constants in the order of their names, none of which says that it lies where it lies."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        tensor.ClearField("data_location")
    tensors = sorted(model.graph.initializer, key=lambda tensor: tensor.name)
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


@pytest.mark.parametrize("name", CASES)
def test_weights_that_are_kept_apart_give_the_same_bytes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, rows, requests = CASES[name]
    for request in requests:
        seen = []
        for most in (2**62, 1):
            monkeypatch.setattr(apart, "LARGE", most)
            folder = tmp_path / f"{request.quantize}-{most}"
            folder.mkdir()
            make_variants(Order(leave(folder, make(), **rows), (request,)))
            seen.append(in_order(folder / "variants/small/model.onnx"))
        assert seen[0] == seen[1], request


@pytest.mark.parametrize("name", CASES)
def test_variants_of_weights_beside_a_graph_have_theirs_beside_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGE", 256)
    make, rows, requests = CASES[name]
    for request in requests:
        answers = []
        for place in ("inside", "beside"):
            folder = tmp_path / f"{request.quantize}-{place}"
            folder.mkdir()
            leave(folder, make(), **rows)
            before = {"model.onnx", "calibration.npz"}
            if place == "beside":
                lay_beside(folder)
                before |= {"weights.bin"}
            report = make_variants(Order(folder, (request,)))
            made = folder / "variants/small"
            assert {path.name for path in folder.iterdir()} == before | {"variants", "optimize.json"}
            if name in {"perceptron", "embedded"}:
                assert (made / "model.onnx.data").exists() == (place == "beside"), request
            assert report["variants"][0]["bytes"] == sum(path.stat().st_size for path in made.iterdir())
            assert report["originalBytes"] >= sum(
                (folder / file).stat().st_size for file in before - {"calibration.npz"}
            )
            session = onnxruntime.InferenceSession(made / "model.onnx", providers=["CPUExecutionProvider"])
            answers.append(session.run(["probabilities"], rows)[0])
        assert answers[0].tobytes() == answers[1].tobytes(), request


def name_no_lengths(folder: Path, kept: str, length: str | None = None) -> None:
    """Leave out what the format lets an entry leave out: where a tensor ends, and begins if a file has it alone."""
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for index, tensor in enumerate(model.graph.initializer):
        said = {entry.key: entry.value for entry in tensor.external_data}
        if kept == "location":
            begin, count = int(said["offset"]), int(said["length"])
            content = (folder / "weights.bin").read_bytes()[begin : begin + count]
            (folder / f"weights-{index}.bin").write_bytes(content)
            said = {"location": f"weights-{index}.bin"}
        said.pop("length", None)
        said |= {} if length is None else {"length": length}
        del tensor.external_data[:]
        for key, value in said.items():
            tensor.external_data.add(key=key, value=value)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


@pytest.mark.parametrize("said", [("location", None), ("offset", None), ("offset", "0")])
@pytest.mark.parametrize("name", CASES)
def test_weights_may_lie_beside_a_graph_without_their_lengths(
    name: str, said: tuple[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some are kept apart, and some are not.
    monkeypatch.setattr(apart, "LARGE", 256)
    make, rows, requests = CASES[name]
    seen: list[Any] = []
    answers: list[bytes] = []
    for is_short in (False, True):
        folder = tmp_path / f"{is_short}"
        folder.mkdir()
        leave(folder, make(), **rows)
        lay_beside(folder)
        if is_short:
            name_no_lengths(folder, *said)
        if name == "perceptron":
            # What serves it takes it; of others it does not look into constants elsewhere.
            answers.append(run(folder / "model.onnx", rows)[0].tobytes())
        report = make_variants(Order(folder, requests[:1]))
        seen.append((in_order(folder / "variants/small/model.onnx"), report["variants"]))
    assert seen[0] == seen[1]
    assert len(set(answers)) == int(name == "perceptron")


@pytest.mark.parametrize("large", [256, 2**20])
def test_weights_that_end_before_their_file_should_are_refused_by_name(
    large: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGE", large)
    leave(tmp_path, perceptron(), x=weights(40, 16, seed=3))
    lay_beside(tmp_path)
    name_no_lengths(tmp_path, "offset")
    path = tmp_path / "weights.bin"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(RunError, match="is not whole") as caught:
        make_variants(Order(tmp_path, (HALF,)))
    assert caught.value.reason is Reason.CANNOT_OPTIMIZE
    size = path.stat().st_size
    assert f"weights.bin has {size} bytes" in caught.value.message
    assert "fetch the whole file" in caught.value.message


def test_weights_of_a_branch_may_lie_beside_the_graph(tmp_path: Path) -> None:
    def branch(name: str) -> onnx.GraphProto:
        product = onnx.helper.make_node("MatMul", ["hidden", f"of {name}"], [name])
        port = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        return onnx.helper.make_graph(
            [product], name, [], [port], [onnx.numpy_helper.from_array(weights(16, 16, seed=5), f"of {name}")]
        )

    graph = Graph()
    x = graph.add("MatMul", graph.input("x", "float32", (ROWS, 16)), graph.constant(weights(16, 16)))
    answer(graph, graph.add("MatMul", graph.add("Tanh", x), graph.constant(weights(16, 5, seed=9))), 5)
    model = graph.finish()
    (tanh,) = (node for node in model.graph.node if node.op_type == "Tanh")
    place = list(model.graph.node).index(tanh)
    then = onnx.helper.make_node(
        "If", ["so"], [tanh.output[0]], then_branch=branch("there"), else_branch=branch("else")
    )
    nodes = [*model.graph.node[:place], onnx.helper.make_node("Identity", [tanh.input[0]], ["hidden"]), then]
    nodes += model.graph.node[place + 1 :]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "so"))  # noqa: FBT003
    onnx.save(model, tmp_path / "model.onnx")
    lay_beside(tmp_path)
    for request in (DYNAMIC, HALF):
        make_variants(Order(tmp_path, (request,)))
        session = onnxruntime.InferenceSession(
            tmp_path / "variants/small/model.onnx", providers=["CPUExecutionProvider"]
        )
        assert session.run(["probabilities"], {"x": weights(4, 16)})[0].shape == (4, 5)


def test_weights_that_are_written_as_numbers_are_moved_like_those_that_are_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGE", 256)
    rows = {"x": weights(40, 16, seed=3)}
    leave(tmp_path, perceptron(), **rows)
    lay_beside(tmp_path)
    answers = []
    for as_numbers in (False, True):
        if as_numbers:
            model = onnx.load(tmp_path / "model.onnx")
            first = next(one for one in model.graph.initializer if list(one.dims) == [16, 64])
            values = onnx.numpy_helper.to_array(first).ravel().tolist()
            rest = [one for one in model.graph.initializer if one.name != first.name]
            del model.graph.initializer[:]
            (tmp_path / "weights.bin").unlink()
            model.graph.initializer.extend(rest)
            onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin")
            model = onnx.load(tmp_path / "model.onnx", load_external_data=False)
            model.graph.initializer.append(
                onnx.helper.make_tensor(first.name, onnx.TensorProto.FLOAT, [16, 64], values)
            )
            (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
        make_variants(Order(tmp_path, (HALF,)))
        session = onnxruntime.InferenceSession(
            tmp_path / "variants/small/model.onnx", providers=["CPUExecutionProvider"]
        )
        answers.append(session.run(["probabilities"], rows)[0].tobytes())
    assert answers[0] == answers[1]


def test_no_more_than_one_file_holds_is_taken_of_weights_that_must_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apart, "LARGE", 256)
    monkeypatch.setattr(apart, "LARGEST_FILE", 200)
    leave(tmp_path, convolutional(), images=images())
    with pytest.raises(RunError, match="more than 2 GiB of weights that are not those of matrix products"):
        make_variants(Order(tmp_path, (STATIC, Request("a", Quantize.DYNAMIC, Target.SIZE))))


def took(folder: Path, width: int) -> tuple[int, int]:
    """Return the bytes of a model, and the most memory of the process that made a variant of it."""
    folder.mkdir()
    graph = Graph()
    x = graph.input("x", "float32", (ROWS, width))
    for layer in range(16):
        x = graph.add("Tanh", graph.add("MatMul", x, graph.constant(weights(width, width, seed=layer))))
    answer(graph, x, width)
    leave(folder, graph)
    lay_beside(folder)
    size = (folder / "weights.bin").stat().st_size
    order = {"directory": str(folder), "variants": [{"name": "d", "quantize": "Dynamic", "for": "Size"}]}
    # What getrusage says begins with the process that this one was forked from.
    code = (
        "import sys; from modelwright_trainer.optimize.__main__ import main; code = main(); "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]); sys.exit(code)"
    )
    end = subprocess.run(  # noqa: S603 - the module under test
        [sys.executable, "-c", code, "--termination-log", str(folder / "log")],
        env=os.environ | {"MODELWRIGHT_OPTIMIZE": json.dumps(order)},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return size, int(end.stdout.splitlines()[-1]) * 1024


def test_a_model_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    _, without = took(tmp_path / "small", 16)
    size, memory = took(tmp_path / "large", 2000)
    assert size >= 256_000_000
    # Its integers are a quarter of it, and are loaded to be looked at.
    assert memory - without < 0.9 * size, (memory - without) / size
