"""Weights of eight bits: in go a graph and rows to calibrate by, out comes a quantised graph.

Two settings are never others. Weights have seven bits of the eight and activations are unsigned: on processors without
VNNI, sums of pairs of products overflow otherwise, and answers are wrong without an error.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from .families import RefusedError, network_of, nodes_of
from .words import Quantize, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from .rows import Rows
    from .weights import Weights

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


def quantize(model: onnx.ModelProto, weights: Weights, request: Request, rows: Rows | None) -> onnx.ModelProto:
    """Return the graph with its weights as integers."""
    from onnxruntime.quantization import QuantType, quant_pre_process, quantize_dynamic, quantize_static  # noqa: PLC0415

    # It says at every step which step might have been left out.
    logging.getLogger().setLevel(logging.ERROR)
    work = Path(tempfile.mkdtemp())
    given, light, prepared, made = (work / f"{name}.onnx" for name in ("given", "light", "prepared", "made"))
    onnx.save(weights.as_inputs(model), given)
    # Symbols need a package of 26 MiB, and add nothing to what exporters declare.
    quant_pre_process(given, light, skip_symbolic_shape=True)
    graph = onnx.load(light)
    _name_nodes(graph)
    whole = weights.as_stand_ins(graph)
    onnx.save(whole, prepared)
    network = network_of(whole)
    more: dict[str, Any] = {"DefaultTensorType": onnx.TensorProto.FLOAT} if weights.tensors else {}
    options: dict[str, Any] = {
        "reduce_range": True,
        "weight_type": QuantType.QInt8,
        "nodes_to_exclude": [node.name for node in whole.graph.node if node.name not in network],
    }
    if request.quantize is Quantize.DYNAMIC:
        # What a product by a stand-in gives has no shape, and so no datatype; it is that of all weights.
        quantize_dynamic(prepared, made, op_types_to_quantize=list(DYNAMIC), extra_options=more, **options)
    else:
        if rows is None:
            why = (
                "it needs rows to measure the ranges of activations by, and calibration.npz is missing; let train "
                "write it, or give spec.evaluation.data"
            )
            raise RefusedError(request, why)
        onnx.save(graph, light)
        quantize_static(
            prepared,
            made,
            None,
            op_types_to_quantize=list(STATIC),
            activation_type=QuantType.QUInt8,
            # What a product gives goes on in FP32: probabilities are made of it.
            extra_options={"OpTypesToExcludeOutputQuantization": ["MatMul", "Gemm"], **more},
            calibration_cache_path=_measure(light, weights, rows, work),
            **options,
        )
    quantised = onnx.load(made)
    if not _has_integers(quantised):
        raise RefusedError(request, "ONNX Runtime found nothing in it that it can quantise so; leave this variant out")
    return quantised


def _measure(light: Path, weights: Weights, rows: Rows, work: Path) -> Path:
    """Run rows through a graph that says the ranges of its activations, and return the file with them."""
    from onnxruntime.quantization.calibrate import MinMaxCalibrater, save_tensors_data  # noqa: PLC0415

    class Calibrater(MinMaxCalibrater):  # type: ignore[misc]
        """Given weights as inputs, it has no range of theirs to measure."""

        def select_tensors_to_calibrate(self, model: onnx.ModelProto) -> tuple[set[str], dict[str, Any]]:
            tensors, ports = super().select_tensors_to_calibrate(model)
            return tensors - weights.tensors.keys(), ports

    augmented = weights.beside_them("augmented.onnx")
    calibrater = Calibrater(light, list(STATIC), augmented_model_path=str(augmented))
    calibrater.augment_graph()
    onnx.save(weights.as_constants(onnx.load(augmented, load_external_data=False)), augmented)
    calibrater.create_inference_session()
    calibrater.collect_data(_Reader(rows))
    found = work / "ranges.json"
    save_tensors_data(calibrater.compute_data(), found)
    return found


class _Reader:
    """Gives rows as calibration asks for them."""

    def __init__(self, rows: Rows) -> None:
        self._batches: Iterator[dict[str, NDArray[Any]]] = rows.batches(BATCH)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        """Return the next rows, or nothing behind the last."""
        return next(self._batches, None)


def _name_nodes(model: onnx.ModelProto) -> None:
    """Give each node a name of its own, by its place: what is made of a node is named after it."""
    for place, node in enumerate(model.graph.node):
        node.name = f"{node.op_type}_{place}"


def _has_integers(model: onnx.ModelProto) -> bool:
    small = {
        tensor.name
        for tensor in model.graph.initializer
        if tensor.data_type in {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
        and np.prod(tensor.dims, dtype=np.int64) > 1
    }
    used = {name for node in nodes_of(model.graph) for name in node.input}
    return bool(small & used)
