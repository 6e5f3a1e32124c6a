"""Variants: what can be made of which family, its bytes, its answers, and the words where it cannot be made."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.graph.builder import ROWS, Graph
from modelwright_trainer.optimize.families import nodes_of
from modelwright_trainer.optimize.make import make_variants
from modelwright_trainer.optimize.words import LONGEST_NAME, MOST_VARIANTS, Order, Quantize, Request, Target, read_order

if TYPE_CHECKING:
    from conftest import Bench
    from numpy.typing import NDArray

DYNAMIC = Request("small", Quantize.DYNAMIC, Target.SIZE)
STATIC = Request("small", Quantize.STATIC, Target.SIZE)
HALF = Request("small", None, Target.SIZE)
FAST = Request("small", Quantize.DYNAMIC, Target.LATENCY)


def weights(*shape: int, seed: int = 7) -> NDArray[Any]:
    random = np.random.default_rng(seed)
    return (random.normal(size=shape) / np.sqrt(np.prod(shape[1:]) or 1)).astype(np.float32)


def answer(graph: Graph, scores: str, classes: int) -> None:
    graph.output("probabilities", graph.add("Softmax", scores, axis=-1), "float32", (ROWS, classes))
    graph.output("label", graph.add("ArgMax", scores, axis=1, keepdims=0), "int64", (ROWS,))


def convolutional() -> Graph:
    """As a network of Keras' Conv2D, MaxPooling2D, Flatten and Dense is written, behind pixels of 0 to 255."""
    graph = Graph()
    pixels = graph.add("Div", graph.input("images", "float32", (ROWS, 12, 12, 1)), graph.constant(np.float32([255])))
    x = graph.add("Transpose", pixels, perm=[0, 3, 1, 2])
    x = graph.add("Conv", x, graph.constant(weights(8, 1, 3, 3)), graph.constant(weights(8)), kernel_shape=[3, 3])
    x = graph.add("MaxPool", graph.add("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    x = graph.add("Reshape", graph.add("Transpose", x, perm=[0, 2, 3, 1]), graph.whole(0, 200))
    x = graph.add("Add", graph.add("MatMul", x, graph.constant(weights(10, 200).T)), graph.constant(weights(10)))
    answer(graph, x, 10)
    return graph


def recurrent(operator: str = "LSTM") -> Graph:
    """As a network of Keras' LSTM (or another) and Dense is written, with lengths."""
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
    graph = Graph()
    x = graph.input("sequences", "float32", (ROWS, "time", 6))
    lengths = graph.add("Cast", graph.input("lengths", "int64", (ROWS,)), to=onnx.TensorProto.INT32)
    x = graph.add("Transpose", x, perm=[1, 0, 2])
    w, r = (graph.constant(weights(1, gates * 32, width, seed=width)) for width in (6, 32))
    bias = graph.constant(np.zeros((1, 2 * gates * 32), np.float32))
    more: dict[str, Any] = {"linear_before_reset": 1} if operator == "GRU" else {}
    last = graph.add_many(operator, (x, w, r, bias, lengths), 2, hidden_size=32, **more)[1]
    last = graph.add("Squeeze", last, graph.whole(0))
    x = graph.add("Add", graph.add("MatMul", last, graph.constant(weights(5, 32).T)), graph.constant(weights(5)))
    answer(graph, x, 5)
    return graph


def counted(graph: Graph, numbers: str) -> Graph:
    """Dense over numbers of which a LabelEncoder makes others, as of words."""
    x = graph.add("Cast", numbers, to=onnx.TensorProto.FLOAT)
    x = graph.add("Reshape", x, graph.whole(-1, 4))
    x = graph.add("Add", graph.add("MatMul", x, graph.constant(weights(64, 4).T)), graph.constant(weights(64)))
    x = graph.add("Add", graph.add("MatMul", x, graph.constant(weights(3, 64).T)), graph.constant(weights(3)))
    answer(graph, x, 3)
    return graph


def worded() -> Graph:
    """As a network over four words of a text is written."""
    graph = Graph()
    texts = graph.add("Reshape", graph.input("text", "text", (ROWS, 1)), graph.whole(-1))
    more: dict[str, Any] = {
        "mark": 0,
        "mincharnum": 1,
        "pad_value": "",
        "tokenexp": "[a-z]+",
        "domain": "com.microsoft",
    }
    tokens = graph.add(
        "Tokenizer", graph.add("StringNormalizer", texts, case_change_action="LOWER", locale="C"), **more
    )
    known: dict[str, Any] = {"keys_strings": ["", "a", "b"], "values_int64s": [0, 1, 2], "default_int64": 1}
    return counted(graph, graph.add("LabelEncoder", tokens, domain="ai.onnx.ml", **known))


def leave(folder: Path, graph: Graph, **rows: NDArray[Any]) -> Path:
    """Write a model and rows of its training part."""
    (folder / "model.onnx").write_bytes(b"".join(graph.pieces()))
    if rows:
        np.savez(folder / "calibration.npz", **{f"inputs/{name}": values for name, values in rows.items()})
    return folder


def images(count: int = 40) -> NDArray[Any]:
    return np.random.default_rng(3).integers(0, 256, size=(count, 12, 12, 1)).astype(np.float32)


def sequences(count: int = 40) -> dict[str, NDArray[Any]]:
    random = np.random.default_rng(3)
    return {
        "sequences": random.normal(size=(count, 9, 6)).astype(np.float32),
        "lengths": random.integers(1, 10, size=count),
    }


def make(folder: Path, *requests: Request) -> onnx.ModelProto:
    make_variants(Order(folder, requests))
    return onnx.load(folder / "variants" / requests[0].name / "model.onnx")


def refusal(folder: Path, *requests: Request) -> str:
    with pytest.raises(RunError) as caught:
        make_variants(Order(folder, requests))
    assert caught.value.reason is Reason.CANNOT_OPTIMIZE
    return caught.value.message


def run(path: Path, inputs: dict[str, NDArray[Any]]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found: list[NDArray[Any]] = session.run(None, inputs)
    return found


def both(folder: Path, inputs: dict[str, NDArray[Any]], request: Request) -> tuple[float, float]:
    """Return the share of equal labels, and the largest difference of a probability."""
    probabilities, labels = run(folder / "model.onnx", inputs)
    others, other_labels = run(folder / "variants" / request.name / "model.onnx", inputs)
    return float((labels == other_labels).mean()), float(np.abs(probabilities - others).max())


def operators(model: onnx.ModelProto) -> set[str]:
    return {node.op_type for node in nodes_of(model.graph)}


def size(folder: Path) -> float:
    path = folder / "variants" / "small" / "model.onnx"
    return path.stat().st_size / (folder / "model.onnx").stat().st_size


@pytest.mark.parametrize("request_", [DYNAMIC, STATIC, HALF], ids=str)
def test_a_perceptron_that_was_trained_here_becomes_smaller_in_each_way(bench: Bench, request_: Request) -> None:
    bench.write_bundled("digits").candidate("MLP", hidden_layer_sizes=[128], max_iter=60, random_state=1).train()
    made = make(bench.out, request_)
    assert size(bench.out) < (0.62 if request_ is HALF else 0.45), size(bench.out)
    evaluation = bench.evaluation()
    inputs = {name[7:]: value for name, value in evaluation.items() if name.startswith("inputs/")}
    names = [output.name for output in made.graph.output]
    found = dict(zip(names, run(bench.out / "variants/small/model.onnx", inputs), strict=True))
    original = evaluation["outputs/label"]
    assert (found["label"] == original).mean() > 0.99
    assert (found["label"] == evaluation["labels"]).mean() > (original == evaluation["labels"]).mean() - 0.01
    ports = [(port.name, port.type) for port in (*made.graph.input, *made.graph.output)]
    given = onnx.load(bench.out / "model.onnx").graph
    assert ports == [(port.name, port.type) for port in (*given.input, *given.output)]


def test_preparation_keeps_its_digits_in_front_of_a_variant(bench: Bench) -> None:
    # A column of large numbers: eight bits, and FP16 too, would make one number of many.
    random = np.random.default_rng(5)
    rows = [[1e6 + 1000 * value, value, int(value > 0)] for value in random.normal(size=400)]
    bench.write_csv(["income", "other", "target"], rows)
    bench.run["preprocess"] = [{"scale": {"method": "Standard"}}]
    bench.candidate("MLP", hidden_layer_sizes=[64], max_iter=200, random_state=1).train()
    inputs = {name[7:]: value for name, value in bench.evaluation().items() if name.startswith("inputs/")}
    for request in (STATIC, DYNAMIC, HALF):
        made = make(bench.out, request)
        names = [output.name for output in made.graph.output]
        found = dict(zip(names, run(bench.out / "variants/small/model.onnx", inputs), strict=True))
        assert (found["label"] == bench.evaluation()["outputs/label"]).mean() > 0.97, request


def test_a_convolutional_network_is_quantised_by_ranges_and_halved(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional(), images=images())
    made = make(folder, STATIC)
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= operators(made)
    assert size(folder) < 0.6
    equal, largest = both(folder, {"images": images(200)}, STATIC)
    assert equal > 0.9
    assert largest < 0.05
    make(folder, HALF)
    assert both(folder, {"images": images(200)}, HALF)[0] > 0.99


def test_convolutions_scaled_in_each_run_are_refused_for_time_and_made_for_size(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional(), images=images())
    message = refusal(folder, FAST)
    assert message.startswith("optimize 'small' (quantize: Dynamic, for: Latency) is refused: ")
    assert "quantize: Static" in message
    assert "ConvInteger" in operators(make(folder, DYNAMIC))


def test_an_lstm_is_quantised_in_each_run_and_halved(tmp_path: Path) -> None:
    folder = leave(tmp_path, recurrent(), **sequences())
    assert "DynamicQuantizeLSTM" in operators(make(folder, FAST))
    assert size(folder) < 0.45
    equal, largest = both(folder, sequences(200), FAST)
    assert equal > 0.95
    assert largest < 0.05
    make(folder, HALF)
    assert both(folder, sequences(200), HALF)[0] > 0.99
    assert "LSTM stay in FP32" in refusal(folder, STATIC)


@pytest.mark.parametrize("request_", [DYNAMIC, STATIC, HALF], ids=["Dynamic", "Static", "fp16"])
def test_a_network_over_words_has_variants(tmp_path: Path, request_: Request) -> None:
    random = np.random.default_rng(3)
    texts = np.array([[" ".join(random.choice(["a", "B", "c"], 4))] for _ in range(40)], object)
    leave(tmp_path, worded(), text=texts.astype(np.str_))
    made = make(tmp_path, request_)
    equal, apart = both(tmp_path, {"text": texts}, request_)
    assert equal > 0.9
    assert apart < 0.05
    assert ("DynamicQuantizeLinear" in operators(made)) == (request_ is DYNAMIC)


def test_a_graph_that_ends_the_inference_of_shapes_by_a_signal_is_refused(tmp_path: Path) -> None:
    graph = Graph()
    rows = graph.add("Size", graph.input("numbers", "float32", (ROWS, 4)))
    bounds = graph.constant(np.int64(0)), rows, graph.constant(np.int64(1))
    counts = graph.add("Range", *bounds, domain="com.microsoft")
    known: dict[str, Any] = {"keys_int64s": [0, 1], "values_floats": [0.0, 1.0], "default_float": 2.0}
    leave(tmp_path, counted(graph, graph.add("LabelEncoder", counts, domain="ai.onnx.ml", **known)))
    words = refusal(tmp_path, HALF)
    assert "signal 11 (SIGSEGV)" in words
    assert "leave optimize out" in words


@pytest.mark.parametrize("operator", ["GRU", "RNN"])
def test_other_recurrent_layers_are_refused_but_for_halves(tmp_path: Path, operator: str) -> None:
    folder = leave(tmp_path, recurrent(operator), **sequences())
    assert f"this model has {operator}" in refusal(folder, FAST)
    assert f"{operator} stay in FP32" in refusal(folder, STATIC)
    make(folder, HALF)
    assert size(folder) < 0.62


def test_weights_have_seven_bits_and_activations_no_sign(tmp_path: Path) -> None:
    # Otherwise sums overflow on processors without VNNI: answers of another processor differ by tenths.
    for folder, graph, rows, request in (
        (tmp_path / "cnn", convolutional(), {"images": images()}, STATIC),
        (tmp_path / "lstm", recurrent(), sequences(), DYNAMIC),
    ):
        folder.mkdir()
        made = make(leave(folder, graph, **rows), request)
        tensors = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
        small = [value for value in tensors.values() if value.dtype == np.int8 and value.size > 64]
        assert small
        assert all(np.abs(value.astype(int)).max() <= 64 for value in small)
        for node in made.graph.node:
            if node.op_type == "QuantizeLinear":
                assert tensors[node.input[2]].dtype == np.uint8, node.name


def test_trees_are_refused_and_so_are_weights_of_64_bits(bench: Bench) -> None:
    bench.write_bundled("iris").candidate("RandomForest", n_estimators=5).train()
    for request in (DYNAMIC, STATIC, HALF):
        assert "made of trees" in refusal(bench.out, request)
    bench.write_bundled("digits").candidate("LogisticRegression", max_iter=50).train()
    for request in (DYNAMIC, STATIC, HALF):
        assert "computed in FP64" in refusal(bench.out, request)


@pytest.mark.parametrize(
    ("by", "words"),
    [(1e7, ["go up to ", "FP16 holds numbers up to 65504"]), (1e-7, ["none of its weights", "hardly apart"])],
)
def test_weights_that_fp16_cannot_hold_are_refused_by_their_name(tmp_path: Path, by: float, words: list[str]) -> None:
    graph = Graph()
    x = graph.input("x", "float32", (ROWS, 32))
    x = graph.add("MatMul", x, graph.constant(weights(32, 16)))
    # What masks are made of is beyond FP16, too, and no weight.
    x = graph.add("Max", x, graph.constant(np.float32(-1e9)))
    x = graph.add("MatMul", x, graph.constant(weights(16, 5) * np.float32(by)))
    answer(graph, x, 5)
    message = refusal(leave(tmp_path, graph), HALF)
    for one in words:
        assert one in message
    folder = tmp_path / "other"
    folder.mkdir()
    graph = Graph()
    x = graph.add("MatMul", graph.input("x", "float32", (ROWS, 32)), graph.constant(weights(32, 16)))
    x = graph.add("Max", x, graph.constant(np.float32(-1e9)))
    answer(graph, graph.add("MatMul", x, graph.constant(weights(16, 5))), 5)
    make(leave(folder, graph), HALF)


def test_all_refusals_come_at_once_and_what_was_refused_leaves_nothing_to_be_found(tmp_path: Path) -> None:
    folder = leave(tmp_path, recurrent("GRU"), **sequences())
    message = refusal(folder, Request("one", Quantize.DYNAMIC, Target.SIZE), Request("two", None, Target.LATENCY))
    assert "optimize 'one' (quantize: Dynamic, for: Size)" in message
    assert "optimize 'two' (weights in FP16, for: Latency)" in message
    assert not (folder / "optimize.json").exists()


def test_ranges_need_rows_and_the_words_say_which(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional())
    assert "calibration.npz is missing" in refusal(folder, STATIC)
    np.savez(folder / "calibration.npz", **{"inputs/other": images()})
    with pytest.raises(RunError, match=r"'inputs/images' is missing; it holds inputs/other") as caught:
        make_variants(Order(folder, (STATIC,)))
    assert caught.value.reason is Reason.INVALID_RUN


def test_a_variant_of_a_variant_is_refused(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional(), images=images())
    make(folder, STATIC)
    (folder / "variants/small/model.onnx").rename(folder / "model.onnx")
    assert "quantised already" in refusal(folder, DYNAMIC)


def call(order: dict[str, Any], folder: Path) -> tuple[int, dict[str, Any]]:
    log = folder / "log"
    log.touch()
    end = subprocess.run(  # noqa: S603 - the module under test
        [sys.executable, "-m", "modelwright_trainer.optimize", "--termination-log", str(log)],
        env=os.environ | {"MODELWRIGHT_OPTIMIZE": json.dumps(order)},
        check=False,
        capture_output=True,
    )
    report: dict[str, Any] = json.loads(log.read_text())
    return end.returncode, report


def test_the_same_graph_and_rows_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    variants = [{"name": "s", "quantize": "Static"}, {"name": "d", "quantize": "Dynamic", "for": "Size"}, {"name": "h"}]
    for graph, rows, wanted in (
        (convolutional(), {"images": images()}, variants),
        (recurrent(), sequences(), variants[1:]),
    ):
        seen = []
        for name in ("one", "two"):
            folder = tmp_path / f"{len(rows)}{name}"
            folder.mkdir()
            leave(folder, graph, **rows)
            code, report = call({"directory": str(folder), "variants": wanted}, folder)
            assert code == 0, report
            assert [one["name"] for one in report["succeeded"]["variants"]] == [one["name"] for one in wanted]
            seen.append([(folder / "variants" / one["name"] / "model.onnx").read_bytes() for one in wanted])
            written = json.loads((folder / "optimize.json").read_text())
            assert written["variants"] == report["succeeded"]["variants"]
        assert seen[0] == seen[1]


def test_a_refusal_is_an_end_that_no_retry_mends(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional(), images=images())
    code, report = call({"directory": str(folder), "variants": [{"name": "d", "quantize": "Dynamic"}]}, folder)
    assert (code, report["failed"]["reason"]) == (64, "CannotOptimize")
    code, report = call({"directory": str(folder / "nowhere"), "variants": [{"name": "d"}]}, folder)
    assert (code, report["failed"]["reason"]) == (64, "InvalidRun")
    (folder / "model.onnx").write_bytes(b"<html>")
    code, report = call({"directory": str(folder), "variants": [{"name": "d"}]}, folder)
    assert (code, report["failed"]["reason"]) == (64, "CannotOptimize")


def test_a_full_disk_says_what_takes_less_of_it(tmp_path: Path) -> None:
    folder = leave(tmp_path, convolutional(), images=images())
    (folder / "optimize.json").symlink_to("/dev/full")
    code, report = call({"directory": str(folder), "variants": [{"name": "h"}]}, folder)
    assert (code, report["failed"]["reason"]) == (64, "NoSpace")
    assert "ask for fewer variants" in report["failed"]["message"]


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("{", "no JSON"),
        ("[]", "expected an object"),
        ({"variants": []}, "needs a folder"),
        ({"directory": "/x", "variants": []}, "expected 1 to 4"),
        ({"directory": "/x", "variants": [{"name": "a"}] * 2}, "two entries with the name 'a'"),
        ({"directory": "/x", "variants": [{"name": "../a"}]}, "is '../a'; expected 1 to 20"),
        ({"directory": "/x", "variants": [{"name": "a" * 21}]}, "expected 1 to 20"),
        ({"directory": "/x", "variants": [{"name": "a", "quantize": "dynamic"}]}, "did you mean 'Dynamic'?"),
        ({"directory": "/x", "variants": [{"name": "a", "for": "Speed"}]}, "expected Latency, Size"),
        ({"directory": "/x", "variants": [{"name": "a", "quantise": "Static"}]}, "did you mean 'quantize'?"),
        ({"directory": "/x", "variants": ["int8"]}, "expected an object"),
    ],
)
def test_an_order_that_is_not_understood_names_the_field(order: object, words: str) -> None:
    with pytest.raises(RunError) as caught:
        read_order(order if isinstance(order, str) else json.dumps(order))
    assert caught.value.reason is Reason.INVALID_RUN
    assert words in caught.value.message


def test_time_is_what_integers_are_for_and_size_what_halves_are_for() -> None:
    order = read_order('{"directory": "/x", "variants": [{"name": "a", "quantize": "Static"}, {"name": "b"}]}')
    assert [request.target for request in order.requests] == [Target.LATENCY, Target.SIZE]


def test_the_limits_are_those_of_the_contract() -> None:
    contract = (Path(__file__).parents[2] / "runtime/contract/src/variants.rs").read_text()
    found = dict(re.findall(r"pub const (MAX_\w+): usize = (\d+);", contract))
    assert found == {"MAX_VARIANTS": str(MOST_VARIANTS), "MAX_NAME": str(LONGEST_NAME)}

    def order(count: int, longest: int) -> str:
        variants = [{"name": str(index).rjust(longest, "v")} for index in range(count)]
        return json.dumps({"directory": "/x", "variants": variants})

    assert len(read_order(order(MOST_VARIANTS, LONGEST_NAME)).requests) == MOST_VARIANTS
    for count, longest, words in (
        (MOST_VARIANTS + 1, LONGEST_NAME, f"optimize has 5 entries; expected 1 to {MOST_VARIANTS}"),
        (1, LONGEST_NAME + 1, f"expected 1 to {LONGEST_NAME} lower-case letters"),
    ):
        with pytest.raises(RunError, match=words):
            read_order(order(count, longest))


def test_the_order_is_what_the_operator_is_tested_to_render() -> None:
    order = read_order((Path(__file__).parents[2] / "runtime/contract/golden/optimize.json").read_text())
    int8, fp16 = order.requests
    assert (str(order.directory), int8.name, int8.quantize, int8.target) == (
        "/modelwright/out",
        "int8",
        Quantize.STATIC,
        Target.LATENCY,
    )
    assert (fp16.quantize, fp16.target) == (None, Target.SIZE)
