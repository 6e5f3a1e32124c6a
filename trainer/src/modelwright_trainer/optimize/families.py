"""What a graph is made of, and what can gain there: in goes a graph and a request, out comes a refusal or nothing.

The figures in the words were measured; docs/variants.md has the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx

from modelwright_trainer.failure import Reason, RunError

from .words import Quantize, Request, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

CONVOLUTIONS: Final = ("Conv", "ConvTranspose")
RECURRENT: Final = ("RNN", "GRU", "LSTM")
PRODUCTS: Final = ("MatMul", "Gemm")
WEIGHTED: Final = (*CONVOLUTIONS, *RECURRENT, *PRODUCTS, "Attention")
QUANTIZED: Final = ("QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "ConvInteger", "QLinearMatMul")
SMALLEST: Final = 64
"""Elements of a tensor of weights; in smaller ones there is nothing to gain."""


class RefusedError(RunError):
    """A variant that cannot be made, or would gain nothing."""

    def __init__(self, request: Request, why: str) -> None:
        """Name the request before the reason."""
        super().__init__(Reason.CANNOT_OPTIMIZE, f"{request} is refused: {why}")


def refuse_family(model: onnx.ModelProto, request: Request) -> None:
    """Refuse what ONNX Runtime cannot quantise, or is known to be slower for it."""
    operators = {node.op_type for node in nodes_of(model.graph)}
    if any(name.startswith("TreeEnsemble") for name in operators):
        why = (
            "the model is made of trees, and their thresholds and sums have no form of 8 or 16 bits in ONNX; train "
            "fewer or smaller trees instead (max_depth, n_estimators)"
        )
        raise RefusedError(request, why)
    if any(name in operators for name in QUANTIZED):
        raise RefusedError(request, "the model is quantised already; leave this variant out")
    if request.quantize is None:
        if request.target is Target.LATENCY:
            why = "on a CPU, FP16 saves bytes and no time, since it is computed in FP32; say for: Size"
            raise RefusedError(request, why)
        return
    recurrent = sorted(operators.intersection(RECURRENT))
    if request.quantize is Quantize.DYNAMIC:
        if request.target is Target.LATENCY and operators.intersection(CONVOLUTIONS):
            why = (
                "convolutions are four to five times slower where activations are scaled in each run; say quantize: "
                "Static, or for: Size"
            )
            raise RefusedError(request, why)
        if recurrent and "LSTM" not in recurrent:
            why = f"ONNX Runtime has 8 bits for LSTM only, and this model has {' and '.join(recurrent)}; leave it out"
            raise RefusedError(request, why)
    elif recurrent:
        why = f"{' and '.join(recurrent)} stay in FP32 where activations are scaled once; say quantize: Dynamic"
        raise RefusedError(request, why)


def refuse_no_weights(model: onnx.ModelProto, request: Request) -> None:
    """Refuse a graph without weights in FP32 that a smaller type would help."""
    kinds = constants_of(model.graph)
    found = []
    for node in nodes_of(model.graph):
        if node.op_type in WEIGHTED:
            for name in node.input[1:]:
                kind, count = kinds.get(name, (0, 0))
                if count >= SMALLEST:
                    found.append(kind)
    if onnx.TensorProto.FLOAT in found:
        return
    if onnx.TensorProto.DOUBLE in found:
        why = (
            "its weights are computed in FP64, as those of linear models and vector machines are, and only FP32 can be "
            "made smaller; leave this variant out"
        )
        raise RefusedError(request, why)
    why = (
        f"there is no matrix product, convolution or recurrent layer with at least {SMALLEST} weights in it; leave "
        "this variant out"
    )
    raise RefusedError(request, why)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Give every node, those within others too."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from nodes_of(attribute.g)


def used_by(node: onnx.NodeProto) -> set[str]:
    """Return the names of the tensors that a node takes, those that graphs within it take from outside too."""
    used = set(node.input)
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            inner = attribute.g
            own = {tensor.name for tensor in inner.initializer} | {port.name for port in inner.input}
            own |= {name for one in inner.node for name in one.output}
            used |= set().union(*(used_by(one) for one in inner.node)) - own
    return used - {""}


def constants_of(graph: onnx.GraphProto) -> dict[str, tuple[int, int]]:
    """Return datatype and number of elements of each tensor of fixed values."""
    found = {tensor.name: _kind(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.type == onnx.AttributeProto.TENSOR:
                    found[node.output[0]] = _kind(attribute.t)
    return found


def _kind(tensor: onnx.TensorProto) -> tuple[int, int]:
    return tensor.data_type, int(np.prod(tensor.dims, dtype=np.int64))


def network_of(model: onnx.ModelProto) -> set[str]:
    """Return the names of the nodes from the first weights on, as data flows.

    What lies before them is preparation. There numbers have whatever size the user's columns have, which neither eight
    bits nor FP16 hold: it stays as it is.
    """
    constants = constants_of(model.graph)
    reached: set[Any] = set()
    names = set()
    for node in model.graph.node:
        begins = node.op_type in WEIGHTED and any(name in constants for name in node.input[1:])
        if begins or used_by(node) & reached:
            names.add(node.name)
            reached.update(node.output)
    return names
