"""Graphs as exporters write them, of random weights: PyTorch's with sizes that are computed as they run, TensorFlow's with
channels last, and ONNX Runtime's own quantized and fused ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper


class Graph:
    """Collects nodes and weights."""

    def __init__(self, opset: int = 17, seed: int = 0) -> None:
        self.opset = opset
        self.drawn = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.stored: list[TensorProto] = []

    def __call__(self, operator: str, *inputs: str, outputs: int = 1, domain: str = "", **settings: Any) -> Any:
        """Adds a node, and names what it gives."""
        names = [f"v{len(self.nodes)}_{at}" for at in range(outputs)]
        self.nodes.append(
            helper.make_node(
                operator, list(inputs), names, name=f"{operator}_{len(self.nodes)}", domain=domain, **settings
            )
        )
        return names[0] if outputs == 1 else names

    def store(self, array: NDArray[Any]) -> str:
        name = f"w{len(self.stored)}"
        self.stored.append(numpy_helper.from_array(array.copy(order="C"), name))
        return name

    def ints(self, *numbers: int) -> str:
        return self.store(np.array(numbers, np.int64))

    def scalar(self, number: int) -> str:
        return self.store(np.array(number, np.int64))

    def number(self, number: float) -> str:
        return self.store(np.array(number, np.float32))

    def weight(self, *shape: int) -> str:
        return self.store((self.drawn.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32))

    def size(self, value: str, axis: int) -> str:
        """The size of an axis, as a scalar."""
        return self("Gather", self("Shape", value), self.scalar(axis), axis=0)

    def shape(self, *parts: str | int) -> str:
        """A shape of scalars and numbers."""
        lone = [self.ints(part) if isinstance(part, int) else self("Unsqueeze", part, self.ints(0)) for part in parts]
        return self("Concat", *lone, axis=0)

    def view(self, value: str, *parts: str | int) -> str:
        return self("Reshape", value, self.shape(*parts))

    def linear(self, value: str, before: int, after: int) -> str:
        return self("Add", self("MatMul", value, self.weight(before, after)), self.weight(after))

    def model(self, inputs: dict[str, tuple[int, list[Any]]], outputs: list[str], **domains: int) -> ModelProto:
        ports = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()]
        given = [helper.make_empty_tensor_value_info(name) for name in outputs]
        for port in given:
            port.type.tensor_type.elem_type = TensorProto.FLOAT
        sets = [helper.make_opsetid("", self.opset)] + [
            helper.make_opsetid(name.replace("_", "."), version) for name, version in domains.items()
        ]
        return helper.make_model(
            helper.make_graph(self.nodes, "g", ports, given, self.stored), opset_imports=sets, ir_version=9
        )


def bert(hidden: int = 16, heads: int = 2, layers: int = 2, opset: int = 14) -> ModelProto:
    """Builds an encoder as PyTorch exports it: every view by Shape, Gather and Concat, positions by Slice, the mask by Where."""
    g = Graph(opset)
    rows, time = g.size("input_ids", 0), g.size("input_ids", 1)
    positions = g("Slice", g.store(np.arange(32)[None]), g.ints(0), g("Unsqueeze", time, g.ints(0)), g.ints(1))
    # token_type_ids are zeros of the shape of the ids, expanded from a buffer.
    kinds = g("Slice", g.store(np.zeros((1, 32), np.int64)), g.ints(0), g("Unsqueeze", time, g.ints(0)), g.ints(1))
    wanted = g.shape(rows, time)
    asked = g(
        "Where",
        g(
            "Equal",
            wanted,
            g(
                "Mul",
                g("ConstantOfShape", g.ints(2), value=helper.make_tensor("one", TensorProto.INT64, [1], [1])),
                g.scalar(-1),
            ),
        ),
        g("ConstantOfShape", g.ints(2), value=helper.make_tensor("one", TensorProto.INT64, [1], [1])),
        wanted,
    )
    kinds = g("Expand", kinds, asked)
    x = g("Add", g("Gather", g.weight(50, hidden), "input_ids"), g("Gather", g.weight(2, hidden), kinds))
    x = g("Add", x, g("Gather", g.weight(32, hidden), positions))
    norm = lambda value: (
        g("LayerNormalization", value, g.weight(hidden), g.weight(hidden), axis=-1)
        if opset >= 17
        else _layer_norm(g, value, hidden)
    )
    x = norm(x)
    mask = g("Unsqueeze", g("Unsqueeze", "attention_mask", g.ints(1)), g.ints(2))
    mask = g("Mul", g("Sub", g.number(1), g("Cast", mask, to=TensorProto.FLOAT)), g.number(-1e4))
    for _ in range(layers):
        parts = []
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]):
            y = g.linear(x, hidden, hidden)
            y = g.view(y, g.size(y, 0), g.size(y, 1), heads, hidden // heads)
            parts.append(g("Transpose", y, perm=order))
        scores = g("Add", g("Div", g("MatMul", parts[0], parts[1]), g.number((hidden // heads) ** 0.5)), mask)
        y = g("Transpose", g("MatMul", g("Softmax", scores, axis=-1), parts[2]), perm=[0, 2, 1, 3])
        y = g.view(y, g.size(y, 0), g.size(y, 1), hidden)
        x = norm(g("Add", g.linear(y, hidden, hidden), x))
        y = g.linear(x, hidden, 4 * hidden)
        y = g("Mul", g("Mul", y, g("Add", g("Erf", g("Div", y, g.number(2**0.5))), g.number(1))), g.number(0.5))
        x = norm(g("Add", g.linear(y, 4 * hidden, hidden), x))
    pooled = g(
        "Tanh", g("Gemm", g("Gather", x, g.scalar(0), axis=1), g.weight(hidden, hidden), g.weight(hidden), transB=1)
    )
    ids = (TensorProto.INT64, ["batch", "time"])
    return g.model({"input_ids": ids, "attention_mask": ids}, [x, pooled])


def _layer_norm(g: Graph, value: str, hidden: int) -> str:
    centred = g("Sub", value, g("ReduceMean", value, axes=[-1]))
    variance = g("ReduceMean", g("Pow", centred, g.number(2)), axes=[-1])
    scaled = g("Div", centred, g("Sqrt", g("Add", variance, g.number(1e-5))))
    return g("Add", g("Mul", scaled, g.weight(hidden)), g.weight(hidden))


def vision_transformer(hidden: int = 16, heads: int = 2) -> ModelProto:
    """Builds one with a class token that is expanded by the number of rows, and heads that are put beside the rows."""
    g = Graph(17)
    x = g("Conv", "pixels", g.weight(hidden, 3, 4, 4), strides=[4, 4], kernel_shape=[4, 4])
    rows, width, high = g.size(x, 0), g.size(x, 2), g.size(x, 3)
    x = g("Transpose", g.view(x, rows, hidden, g("Mul", width, high)), perm=[0, 2, 1])
    wanted = g.shape(g.size(x, 0), -1, -1)
    ones = g("ConstantOfShape", g.ints(3), value=helper.make_tensor("one", TensorProto.INT64, [1], [1]))
    asked = g("Where", g("Equal", wanted, g("Mul", ones, g.scalar(-1))), ones, wanted)
    x = g("Concat", g("Expand", g.weight(1, 1, hidden), asked), x, axis=1)
    # As multi-head attention that has time first: [T, N, E], heads beside rows.
    t = g("Transpose", x, perm=[1, 0, 2])
    time, rows = g.size(t, 0), g.size(t, 1)
    beside = g("Mul", rows, g.scalar(heads))
    q, k, v = (
        g("Transpose", g.view(g.linear(t, hidden, hidden), time, beside, hidden // heads), perm=[1, 0, 2])
        for _ in range(3)
    )
    scores = g("Softmax", g("MatMul", q, g("Transpose", k, perm=[0, 2, 1])), axis=-1)
    y = g.view(g("Transpose", g("MatMul", scores, v), perm=[1, 0, 2]), time, rows, hidden)
    x = g("Add", x, g("Transpose", g.linear(y, hidden, hidden), perm=[1, 0, 2]))
    first = g("Gather", x, g.scalar(0), axis=1)
    return g.model(
        {"pixels": (TensorProto.FLOAT, ["batch", 3, 16, 16])},
        [g("Gemm", first, g.weight(5, hidden), g.weight(5), transB=1)],
    )


def windows(hidden: int = 8, window: int = 4) -> ModelProto:
    """Builds attention within windows (Swin): windows are put beside the rows, and the mask of each is a constant."""
    g = Graph(17)
    rows, side = g.size("pixels", 0), 8
    count = (side // window) ** 2
    parts = g.view("pixels", rows, side // window, window, side // window, window, hidden)
    parts = g("Reshape", g("Transpose", parts, perm=[0, 1, 3, 2, 4, 5]), g.ints(-1, window, window, hidden))
    lines = g("Reshape", parts, g.ints(-1, window * window, hidden))
    scores = g(
        "MatMul", g.linear(lines, hidden, hidden), g("Transpose", g.linear(lines, hidden, hidden), perm=[0, 2, 1])
    )
    beside = g.size(scores, 0)
    scores = g.view(scores, g("Div", beside, g.scalar(count)), count, 1, window * window, window * window)
    scores = g("Add", scores, g.weight(1, count, 1, window * window, window * window))
    scores = g("Softmax", g("Reshape", scores, g.ints(-1, window * window, window * window)), axis=-1)
    y = g("Reshape", g("MatMul", scores, lines), g.ints(-1, window, window, hidden))
    whole = g.view(y, g("Div", g.size(y, 0), g.scalar(count)), side // window, side // window, window, window, hidden)
    whole = g("Transpose", whole, perm=[0, 1, 3, 2, 4, 5])
    y = g.view(whole, g.size(whole, 0), side, side, hidden)
    return g.model({"pixels": (TensorProto.FLOAT, ["batch", 8, 8, hidden])}, [g("Add", y, "pixels")])


def resnet() -> ModelProto:
    """Builds blocks with BatchNormalization, flattened by Shape, Gather, Unsqueeze and Concat."""
    g = Graph(13)
    normal = lambda value, width: g(
        "BatchNormalization",
        value,
        *(g.store(np.abs(g.drawn.standard_normal(width)).astype(np.float32) + 0.1) for _ in range(4)),
    )
    x = g(
        "Relu",
        normal(g("Conv", "image", g.weight(8, 3, 7, 7), kernel_shape=[7, 7], strides=[2, 2], pads=[3, 3, 3, 3]), 8),
    )
    x = g("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    y = normal(g("Conv", x, g.weight(8, 8, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1]), 8)
    x = g("Relu", g("Add", x, y))
    # AdaptiveAvgPool to 1 x 1, then view(size(0), -1).
    x = g("GlobalAveragePool", x)
    x = g.view(x, g.size(x, 0), -1)
    return g.model(
        {"image": (TensorProto.FLOAT, ["batch", 3, "high", "wide"])},
        [g("Gemm", x, g.weight(5, 8), g.weight(5), transB=1)],
    )


def padded_image() -> ModelProto:
    """Builds upsampling by computed sizes, and pads whose list is computed as PyTorch exports F.pad."""
    g = Graph(13)
    zeros = g("ConstantOfShape", g.ints(4), value=helper.make_tensor("zero", TensorProto.INT64, [1], [0]))
    pads = g("Concat", g.ints(1, 1, 1, 1), zeros, axis=0)
    pads = g(
        "Transpose",
        g("Slice", g("Reshape", pads, g.ints(-1, 2)), g.ints(-1), g.ints(-(2**63) + 1), g.ints(0), g.ints(-1)),
        perm=[1, 0],
    )
    x = g("Pad", "image", g("Cast", g("Reshape", pads, g.ints(-1)), to=TensorProto.INT64), g.number(0), mode="constant")
    x = g("Conv", x, g.weight(4, 3, 3, 3), kernel_shape=[3, 3])
    bigger = lambda axis: g(
        "Cast",
        g("Floor", g("Mul", g("Cast", g.size(x, axis), to=TensorProto.FLOAT), g.number(2))),
        to=TensorProto.INT64,
    )
    wanted = g(
        "Concat", g("Slice", g("Shape", x), g.ints(0), g.ints(2), g.ints(0)), g.shape(bigger(2), bigger(3)), axis=0
    )
    x = g(
        "Resize", x, "", "", wanted, mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )
    return g.model({"image": (TensorProto.FLOAT, ["batch", 3, "high", "wide"])}, [x])


def channels_last() -> ModelProto:
    """Builds a network as tf2onnx writes it: Transposes around convolutions, -1 first in Reshapes, StridedSlices to far ends."""
    g = Graph(13)
    x = g("Transpose", "images", perm=[0, 3, 1, 2])
    x = g("Relu", g("Conv", x, g.weight(8, 3, 3, 3), g.weight(8), kernel_shape=[3, 3], auto_pad="SAME_UPPER"))
    x = g("Transpose", g("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]), perm=[0, 2, 3, 1])
    far = g(
        "Slice",
        x,
        g.ints(0, 0, 0, 0),
        g.ints(1_000_000_000, 1_000_000_000, 1_000_000_000, 1_000_000_000),
        g.ints(0, 1, 2, 3),
    )
    x = g("Reshape", far, g.ints(-1, 8 * 8 * 8))
    rows = g(
        "Squeeze",
        g("Slice", g("Cast", g("Shape", x), to=TensorProto.INT32), g.ints(0), g.ints(1), g.ints(0)),
        g.ints(0),
    )
    back = g("Concat", g("Unsqueeze", g("Cast", rows, to=TensorProto.INT64), g.ints(0)), g.ints(64), g.ints(8), axis=0)
    x = g("ReduceMean", g("Reshape", x, back), axes=[1], keepdims=0)
    return g.model({"images": (TensorProto.FLOAT, ["unk__1", 16, 16, 3])}, [g("Softmax", g.linear(x, 8, 4), axis=1)])


def recurrent() -> ModelProto:
    """Builds an LSTM as PyTorch exports batch_first: time and rows change places, the first state is expanded by the rows."""
    g, hidden = Graph(14), 6
    x = g("Transpose", g("Gather", g.weight(40, 8), "ids"), perm=[1, 0, 2])
    state = g(
        "ConstantOfShape",
        g.shape(1, g.size(x, 1), hidden),
        value=helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
    )
    y, _, _ = g(
        "LSTM",
        x,
        g.weight(1, 4 * hidden, 8),
        g.weight(1, 4 * hidden, hidden),
        g.weight(1, 8 * hidden),
        "",
        state,
        state,
        outputs=3,
        hidden_size=hidden,
    )
    y = g("Transpose", g("Squeeze", y, g.ints(1)), perm=[1, 0, 2])
    return g.model({"ids": (TensorProto.INT64, ["batch", "time"])}, [g.linear(y, hidden, 3)])


def fused() -> ModelProto:
    """Builds what ONNX Runtime's optimizer for transformers leaves."""
    g, hidden, own = Graph(17), 16, "com.microsoft"
    x, mask, _ = g(
        "EmbedLayerNormalization",
        "ids",
        "",
        g.weight(50, hidden),
        g.weight(32, hidden),
        "",
        g.weight(hidden),
        g.weight(hidden),
        "mask",
        outputs=3,
        domain=own,
    )
    y = g("Attention", x, g.weight(hidden, 3 * hidden), g.weight(3 * hidden), mask, domain=own, num_heads=2)
    x = g(
        "SkipLayerNormalization",
        x,
        g("MatMul", y, g.weight(hidden, hidden)),
        g.weight(hidden),
        g.weight(hidden),
        g.weight(hidden),
        domain=own,
    )
    y = g("FastGelu", g("MatMul", x, g.weight(hidden, 32)), g.weight(32), domain=own)
    x = g(
        "SkipLayerNormalization",
        x,
        g("MatMul", y, g.weight(32, hidden)),
        g.weight(hidden),
        g.weight(hidden),
        domain=own,
    )
    ids = (TensorProto.INT32, ["batch", "time"])
    return g.model({"ids": ids, "mask": ids}, [x], com_microsoft=1)


Inputs = dict[str, tuple[type, tuple[int, ...]]]
EXPORTED: dict[str, tuple[Callable[[], ModelProto], Inputs]] = {
    "bert, opset 14": (lambda: bert(opset=14), {"input_ids": (np.int64, (7,)), "attention_mask": (np.int64, (7,))}),
    "bert, opset 17": (lambda: bert(opset=17), {"input_ids": (np.int64, (5,)), "attention_mask": (np.int64, (5,))}),
    "vision transformer": (vision_transformer, {"pixels": (np.float32, (3, 16, 16))}),
    "windows": (windows, {"pixels": (np.float32, (8, 8, 8))}),
    "resnet": (resnet, {"image": (np.float32, (3, 32, 40))}),
    "padded image": (padded_image, {"image": (np.float32, (3, 9, 7))}),
    "channels last": (channels_last, {"images": (np.float32, (16, 16, 3))}),
    "recurrent": (recurrent, {"ids": (np.int64, (6,))}),
    "fused": (fused, {"ids": (np.int32, (6,)), "mask": (np.int32, (6,))}),
}
