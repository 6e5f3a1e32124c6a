"""Make a model of 2.5 GB: a folder to fill, and in it model.onnx, weights.bin, evaluation.npz and calibration.npz."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

if TYPE_CHECKING:
    from typing import IO

FEATURES: Final = 64
WIDTH: Final = 8000
LAYERS: Final = 10
CLASSES: Final = 10
ROWS: Final = 64
GAIN: Final = 1.1
"""Neither do answers to different rows become one, nor does a small difference become a large one on the way."""


def main() -> None:
    """Write products of random matrices with tangents between them; the truth is what they answer."""
    folder = Path(sys.argv[1])
    random = np.random.default_rng(7)
    shapes = [(FEATURES, WIDTH), *[(WIDTH, WIDTH)] * LAYERS, (WIDTH, CLASSES)]
    nodes, x = [], "x"
    with (folder / "weights.bin").open("wb") as file:
        tensors = [write(file, f"w{place}", shape, random) for place, shape in enumerate(shapes)]
    for place in range(len(shapes)):
        is_last = place == len(shapes) - 1
        nodes.append(helper.make_node("MatMul", [x, f"w{place}"], ["scores" if is_last else f"p{place}"]))
        if not is_last:
            x = f"h{place}"
            nodes.append(helper.make_node("Tanh", [f"p{place}"], [x]))
    nodes.append(helper.make_node("Softmax", ["scores"], ["probabilities"], axis=-1))
    graph = helper.make_graph(
        nodes,
        "large",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", FEATURES])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", CLASSES])],
        tensors,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    onnx.save(model, folder / "model.onnx")
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    rows = random.standard_normal((ROWS, FEATURES), dtype=np.float32)
    labels = session.run(None, {"x": rows})[0].argmax(axis=1)
    assert len(set(labels.tolist())) > CLASSES // 2, "nearly all rows have one answer"
    part = {"inputs/x": rows, "labels": labels, "classes": np.arange(CLASSES)}
    np.savez(folder / "evaluation.npz", **part)
    np.savez(folder / "calibration.npz", **{"inputs/x": random.standard_normal((ROWS, FEATURES), dtype=np.float32)})


def write(file: IO[bytes], name: str, shape: tuple[int, int], random: np.random.Generator) -> TensorProto:
    """Write a matrix, and return what the graph says of it."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape, data_location=TensorProto.EXTERNAL)
    begin = file.tell()
    for first in range(0, shape[0], 500):
        rows = min(500, shape[0] - first)
        numbers = random.standard_normal((rows, shape[1]), dtype=np.float32)
        file.write((numbers * np.float32(GAIN / np.sqrt(shape[0]))).tobytes())
    for key, value in (("location", "weights.bin"), ("offset", begin), ("length", file.tell() - begin)):
        tensor.external_data.add(key=key, value=str(value))
    return tensor


if __name__ == "__main__":
    main()
