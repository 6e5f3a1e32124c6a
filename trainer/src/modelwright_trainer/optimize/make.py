"""One variant after the other: in goes an order, out come `variants/NAME/model.onnx` and `optimize.json`."""

from __future__ import annotations

import json
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import onnx
import onnxruntime

from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.log import log

from .families import RefusedError, refuse_family, refuse_no_weights
from .half import halve
from .integers import quantize
from .rows import Rows, read_rows

if TYPE_CHECKING:
    from .words import Order, Request

MODEL_FILE: Final = "model.onnx"
CALIBRATION_FILE: Final = "calibration.npz"
VARIANTS: Final = "variants"
REPORT_FILE: Final = "optimize.json"
LARGEST_MODEL: Final = 2**31 - 1
"""A graph in one file cannot be larger."""
BLOCKED: Final = "com.microsoft.nchwc"


def make_variants(order: Order) -> dict[str, Any]:
    """Make every variant or none: all refusals come in one message. Return what is reported."""
    directory = order.directory
    model = _read_model(directory / MODEL_FILE)
    rows = read_rows(directory / CALIBRATION_FILE, model)
    target = directory / VARIANTS
    shutil.rmtree(target, ignore_errors=True)
    refusals, made = [], []
    for request in order.requests:
        try:
            content = make_variant(model, request, rows)
        except RefusedError as error:
            refusals.append(error.message)
            continue
        folder = target / request.name
        folder.mkdir(parents=True)
        (folder / MODEL_FILE).write_bytes(content)
        log("variant made", name=request.name, bytes=len(content), original=model.ByteSize())
        made.append({"name": request.name, "bytes": len(content)})
    if refusals:
        raise RunError(Reason.CANNOT_OPTIMIZE, "; ".join(refusals))
    versions = {name: version(name) for name in ("numpy", "onnx", "onnxruntime")}
    report = {"variants": made, "originalBytes": model.ByteSize(), "versions": versions}
    (directory / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def make_variant(model: onnx.ModelProto, request: Request, rows: Rows | None) -> bytes:
    """Return the bytes of one variant, the same ones for the same graph and rows; it was loaded and run."""
    refuse_family(model, request)
    refuse_no_weights(model, request)
    with tempfile.TemporaryDirectory(prefix="optimize-") as work:
        try:
            made = quantize(model, request, rows, Path(work)) if request.quantize else halve(model, request)
        except (RunError, MemoryError, OSError):
            raise
        except Exception as error:
            # A library of others, over a graph of others: whatever it says, the graph is not for it.
            why = f"ONNX Runtime's tools do not take this graph ({type(error).__name__}: {error!s:.200}); leave it out"
            raise RefusedError(request, why) from error
    _clean(made)
    content: bytes = made.SerializeToString(deterministic=True)
    _refuse_unusable(content, made, request, rows)
    return content


def _read_model(path: Path) -> onnx.ModelProto:
    try:
        _refuse_large(path)
        return onnx.load(path)
    except FileNotFoundError as error:
        raise RunError(Reason.INVALID_RUN, f"there is no model to make variants of: {error}") from error
    except (RunError, MemoryError):
        raise
    except Exception as error:
        message = f"{path} is no ONNX model ({type(error).__name__}: {error!s:.200})"
        raise RunError(Reason.CANNOT_OPTIMIZE, message) from error


def _refuse_large(path: Path) -> None:
    """Refuse before its weights are read what does not fit into one file."""
    size = path.stat().st_size
    tensors = onnx.load(path, load_external_data=False).graph.initializer
    beside = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
    size += sum((path.parent / name).stat().st_size for name in beside)
    if size > LARGEST_MODEL:
        message = (
            f"{path} has {size} bytes with its external data, and variants are made of models below 2 GiB; leave "
            "optimize out"
        )
        raise RunError(Reason.CANNOT_OPTIMIZE, message)


def _clean(model: onnx.ModelProto) -> None:
    """Take out what tools write about themselves and no graph needs: the same graph has the same bytes."""
    del model.metadata_props[:]
    del model.graph.value_info[:]
    model.graph.name = "model"
    model.doc_string = model.graph.doc_string = ""
    model.producer_name, model.producer_version = "modelwright-trainer", ""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used or entry.domain in {"", "ai.onnx"}]
    del model.opset_import[:]
    model.opset_import.extend(sorted(kept, key=lambda entry: entry.domain))


def _refuse_unusable(content: bytes, model: onnx.ModelProto, request: Request, rows: Rows | None) -> None:
    """Load what was made and run it on some rows: an error belongs here, and not to whoever serves it."""
    if any(node.domain == BLOCKED for node in model.graph.node):
        raise RefusedError(request, "it has operators for this kind of processor alone; this is a fault of the trainer")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        if rows is not None:
            session.run(None, next(rows.batches(8)))
    except Exception as error:
        why = f"ONNX Runtime does not run what came of it ({error!s:.200}); leave it out"
        raise RefusedError(request, why) from error
