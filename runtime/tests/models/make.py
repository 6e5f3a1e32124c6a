"""Makes the ONNX files beside it: `pip install onnx==1.23.2 numpy && python make.py`.

The files are committed, so tests need no Python.
"""

import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx import helper as h

HERE = pathlib.Path(__file__).parent
DATATYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bytes": TensorProto.STRING,
}


def save(  # noqa: PLR0913, a graph has that many parts
    name: str,
    nodes: list[Any],
    inputs: list[Any],
    outputs: list[Any],
    initializers: Sequence[Any] = (),
    *,
    more: Sequence[Any] = (),
) -> None:
    """Check one graph and write it; `more` are operator sets besides the usual one."""
    graph = h.make_graph(nodes, name, inputs, outputs, list(initializers))
    opsets = [h.make_opsetid("", 17), *more]
    model = h.make_model(graph, opset_imports=opsets, ir_version=8, producer_name="modelwright-tests")
    onnx.checker.check_model(model)
    onnx.save(model, HERE / f"{name}.onnx")


def tensor(name: str, kind: int, shape: list[int | str]) -> Any:  # noqa: ANN401, onnx has no types
    """Describe one input or output."""
    return h.make_tensor_value_info(name, kind, shape)


def constant(name: str, array: Any) -> Any:  # noqa: ANN401, onnx has no types
    """Put an array into the graph."""
    return onnx.numpy_helper.from_array(np.asarray(array), name)


def main() -> None:
    """Make every file."""
    weight = np.arange(12, dtype=np.float32).reshape(4, 3) / 8
    save(
        "linear",
        [h.make_node("MatMul", ["x", "w"], ["xw"]), h.make_node("Add", ["xw", "b"], ["y"])],
        [tensor("x", TensorProto.FLOAT, ["batch", 4])],
        [tensor("y", TensorProto.FLOAT, ["batch", 3])],
        [constant("w", weight), constant("b", np.array([0.5, -1, 2], dtype=np.float32))],
    )
    for name, kind in DATATYPES.items():
        save(
            f"identity_{name}",
            [h.make_node("Identity", ["x"], ["y"])],
            [tensor("x", kind, ["n", "m"])],
            [tensor("y", kind, ["n", "m"])],
        )
    save(
        "two_in_two_out",
        [h.make_node("Add", ["a", "b"], ["sum"]), h.make_node("ArgMax", ["sum"], ["label"], axis=1, keepdims=0)],
        [tensor("a", TensorProto.FLOAT, ["n", 3]), tensor("b", TensorProto.FLOAT, ["n", 3])],
        [tensor("sum", TensorProto.FLOAT, ["n", 3]), tensor("label", TensorProto.INT64, ["n"])],
    )
    save(
        "divide",
        [h.make_node("Div", ["a", "b"], ["y"])],
        [tensor("a", TensorProto.FLOAT, ["n"]), tensor("b", TensorProto.FLOAT, ["n"])],
        [tensor("y", TensorProto.FLOAT, ["n"])],
    )
    save(
        "lookup",
        [h.make_node("Gather", ["table", "index"], ["y"])],
        [tensor("index", TensorProto.INT64, ["n"])],
        [tensor("y", TensorProto.FLOAT, ["n"])],
        [constant("table", np.array([1, 2, 3], dtype=np.float32))],
    )
    # The sine of a huge multiple: one unit in the last place of the input decides the answer.
    save(
        "edge",
        [
            h.make_node("Mul", ["x", "huge"], ["large"]),
            h.make_node("Sin", ["large"], ["y"]),
        ],
        [tensor("x", TensorProto.FLOAT, ["n"])],
        [tensor("y", TensorProto.FLOAT, ["n"])],
        [constant("huge", np.float32(1e12))],
    )
    body = h.make_graph(
        [
            h.make_node("Identity", ["continue_in"], ["continue_out"]),
            h.make_node("MatMul", ["state_in", "matrix"], ["state_out"]),
        ],
        "body",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("continue_in", TensorProto.BOOL, []),
            tensor("state_in", TensorProto.FLOAT, [64, 64]),
        ],
        [tensor("continue_out", TensorProto.BOOL, []), tensor("state_out", TensorProto.FLOAT, [64, 64])],
    )
    save(
        "slow",
        [
            h.make_node("Add", ["zero", "x"], ["start"]),
            h.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
            h.make_node("ReduceSum", ["end"], ["y"], keepdims=0),
        ],
        [tensor("rounds", TensorProto.INT64, []), tensor("x", TensorProto.FLOAT, [])],
        [tensor("y", TensorProto.FLOAT, [])],
        [
            constant("zero", np.zeros((64, 64), dtype=np.float32)),
            constant("matrix", np.eye(64, dtype=np.float32)),
        ],
    )
    # However many rows are answered, it takes as long.
    body = h.make_graph(
        [
            h.make_node("Identity", ["continue_in"], ["continue_out"]),
            h.make_node("Cos", ["state_in"], ["state_out"]),
        ],
        "body",
        [
            tensor("i", TensorProto.INT64, []),
            tensor("continue_in", TensorProto.BOOL, []),
            tensor("state_in", TensorProto.FLOAT, []),
        ],
        [tensor("continue_out", TensorProto.BOOL, []), tensor("state_out", TensorProto.FLOAT, [])],
    )
    save(
        "fixed_cost",
        [
            h.make_node("Loop", ["rounds", "", "start"], ["end"], body=body),
            h.make_node("Add", ["x", "end"], ["y"]),
        ],
        [tensor("x", TensorProto.FLOAT, ["n"])],
        [tensor("y", TensorProto.FLOAT, ["n"])],
        [constant("rounds", np.int64(50_000)), constant("start", np.float32(0.5))],
    )
    element = h.make_tensor_type_proto(TensorProto.FLOAT, ["n"])
    save(
        "sequence",
        [h.make_node("SequenceConstruct", ["x", "x"], ["pair"])],
        [tensor("x", TensorProto.FLOAT, ["n"])],
        [h.make_value_info("pair", h.make_sequence_type_proto(element))],
    )
    # As scikit-learn's classifiers are exported by default.
    number = h.make_tensor_type_proto(TensorProto.FLOAT, None)
    maps: list[tuple[str, int, dict[str, Any]]] = [
        ("zipmap", TensorProto.STRING, {"classlabels_strings": ["cat", "dog", "bird"]}),
        ("zipmap_int64", TensorProto.INT64, {"classlabels_int64s": [7, -3, 12]}),
    ]
    for name, key, labels in maps:
        rows = h.make_sequence_type_proto(h.make_map_type_proto(key, number))
        save(
            name,
            [h.make_node("ZipMap", ["x"], ["probabilities"], domain="ai.onnx.ml", **labels)],
            [tensor("x", TensorProto.FLOAT, ["n", 3])],
            [h.make_value_info("probabilities", rows)],
            more=[h.make_opsetid("ai.onnx.ml", 3)],
        )
    trained()
    brought()


def brought() -> None:
    """Make the files that strangers bring: each needs more than its signature says."""
    text = [tensor("x", TensorProto.STRING, ["n"])]
    for name, attributes in {"lower_case": {}, "lower_case_nowhere": {"locale": "xx_XX.UTF-8"}}.items():
        save(
            name,
            [h.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", **attributes)],
            text,
            [tensor("y", TensorProto.STRING, ["n"])],
        )
    save(
        "text_number",
        [h.make_node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        text,
        [tensor("y", TensorProto.FLOAT, ["n"])],
    )
    # A step of a recurrent model: the state has the batch on its second axis, and the window is of at least 8 samples.
    window = constant("kernel", np.full((1, 1, 8), 1 / 8, dtype=np.float32))
    save(
        "recurrent",
        [
            h.make_node("Unsqueeze", ["input", "one"], ["sound"]),
            h.make_node("Conv", ["sound", "kernel"], ["filtered"]),
            h.make_node("ReduceMean", ["filtered"], ["level"], axes=[2], keepdims=0),
            h.make_node("Gather", ["state", "zero"], ["before"], axis=0),
            h.make_node("Concat", ["level", "before"], ["y"], axis=1),
            h.make_node("Mul", ["state", "half"], ["state_out"]),
        ],
        [tensor("input", TensorProto.FLOAT, ["batch", "n"]), tensor("state", TensorProto.FLOAT, [2, "batch", 4])],
        [tensor("y", TensorProto.FLOAT, ["batch", 5]), tensor("state_out", TensorProto.FLOAT, [2, "batch", 4])],
        [
            window,
            constant("one", np.array([1])),
            constant("zero", np.int64(0)),
            constant("half", np.float32(0.5)),
        ],
    )
    # A window of sound, as the first steps of a spectrogram take it: all that is free is the number of samples.
    save(
        "window",
        [
            h.make_node("Unsqueeze", ["samples", "axes"], ["sound"]),
            h.make_node("AveragePool", ["sound"], ["frames"], kernel_shape=[30_000], strides=[160]),
        ],
        [tensor("samples", TensorProto.FLOAT, ["n"])],
        [tensor("frames", TensorProto.FLOAT, [1, 1, "frames"])],
        [constant("axes", np.array([0, 1]))],
    )
    # A stored value that a request may give another one.
    save(
        "scaled",
        [h.make_node("Mul", ["x", "w"], ["y"])],
        [tensor("x", TensorProto.FLOAT, ["n", 2]), tensor("w", TensorProto.FLOAT, [2])],
        [tensor("y", TensorProto.FLOAT, ["n", 2])],
        [constant("w", np.array([2, 3], dtype=np.float32))],
    )
    # Noise beside what is no noise.
    save(
        "noisy",
        [
            h.make_node("RandomNormalLike", ["x"], ["noise"]),
            h.make_node("Add", ["x", "noise"], ["noisy"]),
            h.make_node("Mul", ["x", "two"], ["double"]),
        ],
        [tensor("x", TensorProto.FLOAT, ["n", 2])],
        [tensor("noisy", TensorProto.FLOAT, ["n", 2]), tensor("double", TensorProto.FLOAT, ["n", 2])],
        [constant("two", np.float32(2))],
    )
    long = "n" * 300
    save(
        "long_name",
        [h.make_node("Identity", [long], ["y"])],
        [tensor(long, TensorProto.FLOAT, ["n", *[1] * 19])],
        [tensor("y", TensorProto.FLOAT, ["n", *[1] * 19])],
    )


def trained() -> None:
    """Make the files that stand for trained models."""
    weight = constant("w", np.array([[2, 0, -2], [0, 2, -2]], dtype=np.float32))
    scores = h.make_node("MatMul", ["x", "w"], ["scores"])
    features = tensor("x", TensorProto.FLOAT, ["n", 2])
    shares = tensor("probabilities", TensorProto.FLOAT, ["n", 3])
    best = [
        scores,
        h.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        h.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        h.make_node("Gather", ["classes", "best"], ["label"]),
    ]
    integers = constant("classes", np.array([10, 20, 30]))
    label = tensor("label", TensorProto.INT64, ["n"])
    save("classifier", best, [features], [label, shares], [weight, integers])
    texts = constant("classes", np.array(["ant", "bee", "cow"], dtype=object))
    save("classifier_text", best, [features], [tensor("label", TensorProto.STRING, ["n"]), shares], [weight, texts])
    softmax = h.make_node("Softmax", ["scores"], ["dense"], axis=1)
    save("probabilities", [scores, softmax], [features], [tensor("dense", TensorProto.FLOAT, ["n", 3])], [weight])
    save("scores", [scores], [features], [tensor("scores", TensorProto.FLOAT, ["n", 3])], [weight])
    pair = [tensor("x", TensorProto.FLOAT, [2, 2])], [tensor("scores", TensorProto.FLOAT, [2, 3])]
    save("two_at_once", [scores], *pair, [weight])
    save(
        "sigmoid",
        [h.make_node("Sigmoid", ["x"], ["probabilities"])],
        [tensor("x", TensorProto.FLOAT, ["n", 1])],
        [tensor("probabilities", TensorProto.FLOAT, ["n", 1])],
    )
    save(
        "regression",
        [h.make_node("MatMul", ["x", "w"], ["xw"]), h.make_node("Add", ["xw", "b"], ["prediction"])],
        [features],
        [tensor("prediction", TensorProto.FLOAT, ["n", 1])],
        [constant("w", np.array([[1], [2]], dtype=np.float32)), constant("b", np.array([0.5], dtype=np.float32))],
    )
    # One unit in the last place of 0.5 decides the answer.
    save(
        "threshold",
        [h.make_node("GreaterOrEqual", ["x", "half"], ["over"]), h.make_node("Cast", ["over"], ["label"], to=7)],
        [tensor("x", TensorProto.FLOAT, ["n"])],
        [tensor("label", TensorProto.INT64, ["n"])],
        [constant("half", np.float32(0.5))],
    )


def blocked() -> None:
    """Save a convolution as ONNX Runtime 1.31.1 does at its highest level, on x86-64 with AVX2: `make.py blocked`.

    What comes out depends on the processor, so it is made by hand and not with the others.
    """
    import onnxruntime  # noqa: PLC0415, only this one needs it

    random = np.random.default_rng(7)
    graph = h.make_graph(
        [h.make_node("Conv", ["x", "w"], ["y"])],
        "blocked",
        [tensor("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [tensor("y", TensorProto.FLOAT, ["n", 16, 2, 2])],
        [constant("w", random.normal(size=(16, 3, 3, 3)).astype(np.float32))],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(HERE / "blocked.onnx")
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


if __name__ == "__main__":
    blocked() if sys.argv[1:] == ["blocked"] else main()
