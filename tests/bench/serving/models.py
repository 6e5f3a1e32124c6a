"""Make the models that are served: the same bytes from the same seed, with the onnx package and nothing else.

In: a folder, and names of models, or none for all. Out: NAME.onnx in it for each of them.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

OPERATORS, ML_OPERATORS, IR = 20, 3, 10
# Of BERT-mini: layers, hidden size, heads, size of the feed-forward layer, vocabulary, positions.
LAYERS, HIDDEN, HEADS, INNER, VOCABULARY, POSITIONS = 4, 256, 4, 1024, 30522, 512
TREES, DEPTH, FEATURES, CLASSES = 100, 6, 20, 3
IMAGE = [3, 224, 224]


class Graph:
    """Collects the nodes and weights of a graph, and names what they give."""

    def __init__(self, seed: int) -> None:
        """Begin with nothing."""
        self.random = np.random.default_rng(seed)
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, operator: str, *inputs: str, output: str | None = None, **attributes: object) -> str:
        """Add a node with one output."""
        name = output or f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def constant(self, array: NDArray[np.generic]) -> str:
        """Add a given array."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, *shape: int) -> str:
        """Add random numbers, smaller the more of them are summed up."""
        scale = 1 / np.sqrt(np.prod(shape[:-1])) if len(shape) > 1 else 0.1
        return self.constant((self.random.standard_normal(shape) * scale).astype(np.float32))

    def dense(self, value: str, before: int, after: int, output: str | None = None) -> str:
        """Multiply by a matrix and add a vector."""
        product = self.add("MatMul", value, self.weight(before, after))
        return self.add("Add", product, self.weight(after), output=output)

    def model(self, inputs: dict[str, tuple[int, list[object]]], outputs: dict[str, list[object]]) -> ModelProto:
        """Close the graph."""
        graph = helper.make_graph(
            self.nodes,
            "bench",
            [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
            self.weights,
        )
        operators = [helper.make_opsetid("", OPERATORS), helper.make_opsetid("ai.onnx.ml", ML_OPERATORS)]
        model = helper.make_model(graph, opset_imports=operators, ir_version=IR, producer_name="modelwright-bench")
        checker.check_model(model, full_check=True)
        return model


def mlp() -> ModelProto:
    """Make a perceptron of 784-256-128-10."""
    graph, value, sizes = Graph(1), "x", [784, 256, 128, 10]
    for before, after in itertools.pairwise(sizes):
        value = graph.add("Gemm", value, graph.weight(before, after), graph.weight(after))
        if after != sizes[-1]:
            value = graph.add("Relu", value)
    graph.add("Softmax", value, output="y", axis=-1)
    return graph.model({"x": (TensorProto.FLOAT, ["n", 784])}, {"y": ["n", 10]})


def cnn() -> ModelProto:
    """Make two convolutions over 28x28 and a dense layer."""
    graph, value = Graph(2), "x"
    for before, after in ((1, 8), (8, 16)):
        kernel = graph.constant((graph.random.standard_normal((after, before, 3, 3)) / 5).astype(np.float32))
        value = graph.add("Conv", value, kernel, graph.weight(after), kernel_shape=[3, 3], pads=[1, 1, 1, 1])
        value = graph.add("MaxPool", graph.add("Relu", value), kernel_shape=[2, 2], strides=[2, 2])
    value = graph.add("Gemm", graph.add("Flatten", value), graph.weight(16 * 7 * 7, 10), graph.weight(10))
    graph.add("Softmax", value, output="y", axis=-1)
    return graph.model({"x": (TensorProto.FLOAT, ["n", 1, 28, 28])}, {"y": ["n", 10]})


def linear() -> ModelProto:
    """Make a linear model of ten numbers."""
    graph = Graph(3)
    graph.add("Gemm", "x", graph.weight(10, 1), graph.weight(1), output="y")
    return graph.model({"x": (TensorProto.FLOAT, ["n", 10])}, {"y": ["n", 1]})


def forest() -> ModelProto:
    """Make a hundred full trees that vote for three classes."""
    graph = Graph(4)
    inner, leaves = 2**DEPTH - 1, 2**DEPTH
    size = inner + leaves
    places = np.arange(size)
    is_inner = places < inner
    nodes: dict[str, list[object]] = {
        "nodes_treeids": np.repeat(np.arange(TREES), size).tolist(),
        "nodes_nodeids": np.tile(places, TREES).tolist(),
        "nodes_modes": np.tile(np.where(is_inner, "BRANCH_LEQ", "LEAF"), TREES).tolist(),
        "nodes_featureids": np.where(
            np.tile(is_inner, TREES), graph.random.integers(0, FEATURES, TREES * size), 0
        ).tolist(),
        "nodes_values": graph.random.standard_normal(TREES * size).astype(np.float32).tolist(),
        "nodes_truenodeids": np.tile(np.where(is_inner, 2 * places + 1, 0), TREES).tolist(),
        "nodes_falsenodeids": np.tile(np.where(is_inner, 2 * places + 2, 0), TREES).tolist(),
    }
    votes = graph.random.dirichlet(np.ones(CLASSES), TREES * leaves).astype(np.float32) / TREES
    leaf = np.repeat(np.tile(places[inner:], TREES), CLASSES)
    nodes |= {
        "class_treeids": np.repeat(np.arange(TREES), leaves * CLASSES).tolist(),
        "class_nodeids": leaf.tolist(),
        "class_ids": np.tile(np.arange(CLASSES), TREES * leaves).tolist(),
        "class_weights": votes.ravel().tolist(),
        "classlabels_int64s": list(range(CLASSES)),
    }
    graph.nodes.append(
        helper.make_node(
            "TreeEnsembleClassifier", ["x"], ["label", "y"], domain="ai.onnx.ml", post_transform="NONE", **nodes
        )
    )
    return graph.model({"x": (TensorProto.FLOAT, ["n", FEATURES])}, {"y": ["n", CLASSES]})


def image_in() -> ModelProto:
    """Take an image and answer with the mean of each channel."""
    graph = Graph(5)
    pooled = graph.add("Flatten", graph.add("GlobalAveragePool", "x"))
    graph.add("Gemm", pooled, graph.weight(3, 10), graph.weight(10), output="y")
    return graph.model({"x": (TensorProto.FLOAT, ["n", *IMAGE])}, {"y": ["n", 10]})


def image_through() -> ModelProto:
    """Take an image and answer with one of the same size."""
    graph = Graph(6)
    graph.add("Add", "x", graph.weight(3, 1, 1), output="y")
    return graph.model({"x": (TensorProto.FLOAT, ["n", *IMAGE])}, {"y": ["n", *IMAGE]})


def normalize(graph: Graph, value: str) -> str:
    """Normalise the last axis."""
    scale = graph.constant(np.ones(HIDDEN, np.float32))
    return graph.add("LayerNormalization", value, scale, graph.weight(HIDDEN), axis=-1, epsilon=1e-12)


def attention(graph: Graph, value: str, bias: str) -> str:
    """Let every token look at all that the mask leaves."""
    size = HIDDEN // HEADS
    split = graph.constant(np.array([0, 0, HEADS, size], np.int64))
    joined = graph.constant(np.array([0, 0, HIDDEN], np.int64))
    query, key, values = (
        graph.add("Transpose", graph.add("Reshape", graph.dense(value, HIDDEN, HIDDEN), split), perm=order)
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    root = graph.constant(np.array(np.sqrt(size), np.float32))
    scores = graph.add("Add", graph.add("Div", graph.add("MatMul", query, key), root), bias)
    seen = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), values)
    seen = graph.add("Reshape", graph.add("Transpose", seen, perm=[0, 2, 1, 3]), joined)
    return graph.dense(seen, HIDDEN, HIDDEN)


def bert_mini() -> ModelProto:
    """Make a transformer of BERT-mini's size with random weights: token ids and a mask in, two scores out."""
    graph = Graph(7)
    length = graph.add("Shape", "input_ids", start=1, end=2)
    ones = graph.constant(np.array([0], np.int64))
    positions = graph.add("Slice", graph.weight(POSITIONS, HIDDEN), ones, length, ones)
    value = normalize(
        graph, graph.add("Add", graph.add("Gather", graph.weight(VOCABULARY, HIDDEN), "input_ids"), positions)
    )
    mask = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    mask = graph.add("Unsqueeze", mask, graph.constant(np.array([1, 2], np.int64)))
    hidden = graph.add("Sub", graph.constant(np.array(1, np.float32)), mask)
    bias = graph.add("Mul", hidden, graph.constant(np.array(-1e4, np.float32)))
    for _ in range(LAYERS):
        value = normalize(graph, graph.add("Add", value, attention(graph, value, bias)))
        inner = graph.add("Gelu", graph.dense(value, HIDDEN, INNER))
        value = normalize(graph, graph.add("Add", value, graph.dense(inner, INNER, HIDDEN)))
    first = graph.add("Gather", value, graph.constant(np.array(0, np.int64)), axis=1)
    graph.dense(graph.add("Tanh", graph.dense(first, HIDDEN, HIDDEN)), HIDDEN, 2, output="y")
    tokens: tuple[int, list[object]] = (TensorProto.INT64, ["n", "length"])
    return graph.model({"input_ids": tokens, "attention_mask": tokens}, {"y": ["n", 2]})


MODELS: dict[str, Callable[[], ModelProto]] = {
    "mlp": mlp,
    "cnn": cnn,
    "forest": forest,
    "linear": linear,
    "image": image_in,
    "image-through": image_through,
    "bert-mini": bert_mini,
}


def main() -> None:
    """Write the models."""
    folder, *names = sys.argv[1:]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name in names or MODELS:
        Path(folder, f"{name}.onnx").write_bytes(MODELS[name]().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
