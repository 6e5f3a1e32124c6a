"""Weights of eight bits: in go a graph and rows to calibrate by, out comes a quantised graph.

Two settings are never others. Weights have seven bits of the eight and activations are unsigned: on processors without
VNNI, sums of pairs of products overflow otherwise, and answers are wrong without an error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from .families import RefusedError, network_of, nodes_of
from .words import Quantize, Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from .rows import Rows

BATCH: Final = 8
"""Rows of a run while ranges are measured: every tensor of the graph is looked at, so that few rows fit anywhere."""
STATIC: Final = (
    "Conv",
    "ConvTranspose",
    "MatMul",
    "Gemm",
    "MaxPool",
    "AveragePool",
    "GlobalAveragePool",
    "Relu",
    "Reshape",
    "Transpose",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
)
"""What is quantised by ranges; probabilities, normalisations and sums with a bias keep their digits."""
DYNAMIC: Final = ("MatMul", "LSTM", "Gather", "Attention", "Conv")
INTEGER: Final = ("MatMulInteger", "ConvInteger", "DynamicQuantizeLSTM", "DynamicQuantizeMatMul", "QAttention")


def quantize(model: onnx.ModelProto, request: Request, rows: Rows | None, work: Path) -> onnx.ModelProto:
    """Return the graph with its weights as integers. `work` is a folder for files in between."""
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic, quantize_static  # noqa: PLC0415

    # It says at every step which step might have been left out.
    logging.getLogger().setLevel(logging.ERROR)
    given, prepared, made = (work / name for name in ("given.onnx", "prepared.onnx", "made.onnx"))
    onnx.save(model, given)
    # Symbols need a package of 26 MiB, and add nothing to what exporters declare.
    quant_pre_process(given, prepared, skip_symbolic_shape=True)
    _name_nodes(prepared)
    network = network_of(onnx.load(prepared))
    outside = [node.name for node in onnx.load(prepared).graph.node if node.name not in network]
    options: dict[str, Any] = {
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "nodes_to_exclude": outside,
    }
    if request.quantize is Quantize.DYNAMIC:
        quantize_dynamic(prepared, made, op_types_to_quantize=list(DYNAMIC), **options)
    else:
        if rows is None:
            why = (
                "it needs rows to measure the ranges of activations by, and calibration.npz is missing; let train "
                "write it, or give spec.evaluation.data"
            )
            raise RefusedError(request, why)
        quantize_static(
            prepared,
            made,
            _Reader(rows),
            op_types_to_quantize=list(STATIC),
            activation_type=QuantType.QUInt8,
            # What a product gives goes on in FP32: probabilities are made of it.
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"]},
            **options,
        )
    quantised = onnx.load(made)
    if not _has_integers(quantised):
        raise RefusedError(request, "ONNX Runtime found nothing in it that it can quantise so; leave this variant out")
    return quantised


class _Reader:
    """Gives rows as calibration asks for them."""

    def __init__(self, rows: Rows) -> None:
        self._batches: Iterator[dict[str, NDArray[Any]]] = rows.batches(BATCH)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next rows, or nothing behind the last."""
        return next(self._batches, None)


def _name_nodes(path: Path) -> None:
    """Give each node a name of its own, by its place: what is made of a node is named after it."""
    model = onnx.load(path)
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{place}"
    onnx.save(model, path)


def _has_integers(model: onnx.ModelProto) -> bool:
    small = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type in {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
        and np.prod(tensor.dims, dtype=np.int64) > 1
    }
    used = {name for node in nodes_of(model.graph) for name in node.input}
    return bool(small & used)
