"""Shapes and types within a graph, which every tool that makes variants has ONNX infer first."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

import onnx

from modelwright_trainer.failure import Reason, RunError

from .apart import run_apart

if TYPE_CHECKING:
    from pathlib import Path

TOKENIZER: Final = ("com.microsoft", "Tokenizer")
INFER: Final = "import onnx, sys; onnx.shape_inference.infer_shapes(onnx.load(sys.argv[1]))"


def tell_types(model: onnx.ModelProto) -> None:
    """Say of what ONNX does not know that it gives texts: a LabelEncoder that takes what has no type ends it."""
    for node in model.graph.node:
        if (node.domain, node.op_type) == TOKENIZER:
            texts = onnx.helper.make_tensor_value_info(node.output[0], onnx.TensorProto.STRING, None)
            model.graph.value_info.append(texts)


def refuse_fatal(model: onnx.ModelProto, work: Path) -> None:
    """Refuse a graph that ends ONNX's inference by a signal, by having another process end so."""
    path = work / "shapes.onnx"
    onnx.save(model, path)
    # What else it may say of a graph is said by the tool that asks it.
    code, _ = run_apart(INFER, str(path))
    path.unlink()
    if code < 0:
        message = (
            f"onnx {onnx.__version__} ends by signal {-code} ({signal.Signals(-code).name}) where it infers the shapes "
            "of this graph, which all tools that make variants begin with; most likely an operator of ai.onnx.ml takes "
            "what another domain's operator gives. Export the model without that, or leave optimize out"
        )
        raise RunError(Reason.CANNOT_OPTIMIZE, message)
