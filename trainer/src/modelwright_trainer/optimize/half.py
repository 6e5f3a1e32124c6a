"""Weights of FP16: in goes a graph, out comes one of about half the size that takes and gives what it did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import onnx

from .families import WEIGHTED, RefusedError, network_of, nodes_of, used_by
from .weights import NETWORK

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .weights import Weights
    from .words import Request


SMALLEST: Final = float(np.finfo(np.float16).tiny)
LARGEST: Final = float(np.finfo(np.float16).max)


def halve(model: onnx.ModelProto, weights: Weights, request: Request) -> onnx.ModelProto:
    """Return the graph with the network's weights and arithmetic in FP16; preparation stays in FP32.

    The converter casts whatever goes into a graph, and there columns of any size would lose their digits or become
    infinite. So it is given the network alone, and preparation is put in front of what it made.
    """
    # Of two converters that were tried, the one whose graphs load for attention and masked recurrent layers.
    from onnxruntime.transformers.float16 import (  # noqa: PLC0415
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )

    given = weights.as_stand_ins(onnx.shape_inference.infer_shapes(weights.as_inputs(model)))
    for place, node in enumerate(given.graph.node):
        node.name = f"{node.op_type}_{place}"
    network = network_of(given)
    preparation = [node for node in given.graph.node if node.name not in network]
    alone = _cut_out(given, network)
    # A stand-in has the least and the greatest number of what it stands for.
    _refuse_range(alone, request)
    # Types are known already, and stand in the graph.
    kept = sorted({*DEFAULT_OP_BLOCK_LIST, *_without_halves(alone)})
    made: onnx.ModelProto = convert_float_to_float16(
        alone, keep_io_types=True, disable_shape_infer=True, op_block_list=kept
    )
    _put_in_front(made, preparation, given)
    return made


def _without_halves(model: onnx.ModelProto) -> set[str]:
    """Return the operators that ONNX has for FP32 and not for FP16, of which the converter knows some."""
    versions = {entry.domain: entry.version for entry in model.opset_import}
    found = set()
    for node in nodes_of(model.graph):
        if not onnx.defs.has(node.op_type, versions.get(node.domain, 1), node.domain):
            continue
        schema = onnx.defs.get_schema(node.op_type, versions.get(node.domain, 1), node.domain)
        if any("tensor(float)" in one.types and "tensor(float16)" not in one.types for one in schema.inputs):
            found.add(node.op_type)
    return found


def _cut_out(model: onnx.ModelProto, network: set[str]) -> onnx.ModelProto:
    """Return the network as a model of its own, whose inputs are what preparation hands over."""
    graph = model.graph
    nodes = [node for node in graph.node if node.name in network]
    used = set().union(*(used_by(node) for node in nodes))
    constants = {tensor.name for tensor in graph.initializer}
    inside = {name for node in nodes for name in node.output}
    known = {port.name: port for port in (*graph.value_info, *graph.input, *graph.output)}
    handed = sorted(used - inside - constants - {""})
    # What is known of no tensor is known of its kind: preparation gives FP32.
    ports = [
        known.get(name) or onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in handed
    ]
    alone = onnx.helper.make_graph(
        nodes,
        "model",
        ports,
        [port for port in graph.output if port.name in inside],
        [tensor for tensor in graph.initializer if tensor.name in used],
        value_info=[port for port in graph.value_info if port.name in inside],
    )
    return onnx.helper.make_model(alone, opset_imports=model.opset_import, ir_version=model.ir_version)


def _refuse_range(model: onnx.ModelProto, request: Request) -> None:
    """Refuse weights that FP16 cannot hold: the converter takes the nearest that it can, in silence."""
    # A mask of attention has numbers that are to be beyond all others, and stay that.
    weights = {name for node in nodes_of(model.graph) if node.op_type in WEIGHTED for name in node.input[1:]}
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or tensor.name not in weights:
            continue
        sizes = np.abs(onnx.numpy_helper.to_array(tensor))
        most = float(sizes[np.isfinite(sizes)].max(initial=0.0))
        if most > LARGEST:
            why = f"its weights {tensor.name!r} go up to {most:.3g}, and FP16 holds numbers up to {LARGEST:.0f}"
        elif 0 < most < SMALLEST:
            why = f"none of its weights {tensor.name!r} is above {most:.3g}, and FP16 tells such numbers hardly apart"
        else:
            continue
        raise RefusedError(request, f"{why}; scale what the model takes or gives, or leave this variant out")


def _put_in_front(made: onnx.ModelProto, preparation: list[onnx.NodeProto], given: onnx.ModelProto) -> None:
    """Put what was cut off in front of the network again, each with its own constants."""
    graph = made.graph
    needed = set().union(*(used_by(node) for node in preparation)) if preparation else set()
    shared = needed.intersection(tensor.name for tensor in graph.initializer)
    for tensor in graph.initializer:
        if tensor.name in shared:
            tensor.name += NETWORK
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name in shared:
                node.input[place] = name + NETWORK
    nodes = _in_order([*preparation, *graph.node])
    constants = [tensor for tensor in given.graph.initializer if tensor.name in needed]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    del graph.input[:]
    graph.input.extend(given.graph.input)
    del graph.output[:]
    graph.output.extend(given.graph.output)


def _in_order(nodes: Iterable[onnx.NodeProto]) -> list[onnx.NodeProto]:
    """Return nodes so that each stands behind those that it takes from, as the format wants it; else as they were."""
    waiting = list(nodes)
    missing = {name for node in waiting for name in node.output}
    ordered = []
    while waiting:
        later = []
        for node in waiting:
            if used_by(node) & missing:
                later.append(node)
            else:
                ordered.append(node)
                missing.difference_update(node.output)
        if len(later) == len(waiting):
            message = "the converted graph has a circle"
            raise ValueError(message)
        waiting = later
    return ordered
