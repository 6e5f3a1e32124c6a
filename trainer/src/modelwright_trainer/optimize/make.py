"""One variant after the other: in goes an order, out come `variants/NAME/model.onnx` and `optimize.json`."""

from __future__ import annotations

import json
import shutil
import signal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnxruntime

from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.inputs import without_objects
from modelwright_trainer.log import log

from .apart import run_apart
from .families import RefusedError, refuse_family, refuse_no_weights
from .half import halve
from .integers import quantize
from .rows import Rows, read_rows
from .shapes import refuse_fatal, tell_types
from .weights import MODEL_FILE, Weights, read_apart, scratch, write

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

    from .names import Names
    from .words import Order, Request

CALIBRATION_FILE: Final = "calibration.npz"
VARIANTS: Final = "variants"
REPORT_FILE: Final = "optimize.json"
BLOCKED: Final = "com.microsoft.nchwc"
ROWS_FILE: Final = "some.npz"
USE: Final = """
import sys, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.log_severity_level = 3
options.intra_op_num_threads = 1
try:
    session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
    for path in sys.argv[2:]:
        with numpy.load(path, allow_pickle=False) as rows:
            given = {port.name: rows["inputs/" + port.name] for port in session.get_inputs()}
        session.run(None, {n: v.astype(object) if v.dtype.kind == "U" else v for n, v in given.items()})
except Exception as error:
    print(error)
    sys.exit(1)
"""
"""Loads a graph, and runs rows through it where there are some."""


def make_variants(order: Order) -> dict[str, Any]:
    """Make every variant or none: all refusals come in one message. Return what is reported."""
    directory, target = order.directory, order.directory / VARIANTS
    path = directory / MODEL_FILE
    if not path.is_file():
        raise RunError(Reason.INVALID_RUN, f"there is no model to make variants of: {path} is no file")
    refusals, made = [], []
    with scratch(directory) as work:
        model, weights = _read_model(path, work)
        tell_types(model)
        refuse_fatal(weights.as_inputs(model), work)
        rows = read_rows(directory / CALIBRATION_FILE, model, weights.names)
        shutil.rmtree(target, ignore_errors=True)
        for request in order.requests:
            folder = target / request.name
            folder.mkdir(parents=True)
            try:
                size = make_variant(model, weights, request, rows, folder)
            except RefusedError as error:
                refusals.append(weights.names.told(error.message))
                shutil.rmtree(folder)
                continue
            log("variant made", name=request.name, bytes=size, original=weights.original)
            made.append({"name": request.name, "bytes": size})
    if refusals:
        raise RunError(Reason.CANNOT_OPTIMIZE, "; ".join(refusals))
    versions = {name: version(name) for name in ("numpy", "onnx", "onnxruntime")}
    report = {"variants": made, "originalBytes": weights.original, "versions": versions}
    (directory / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return report


def make_variant(model: onnx.ModelProto, weights: Weights, request: Request, rows: Rows | None, folder: Path) -> int:
    """Write one variant, the same bytes for the same graph and rows, load and run it, and return its size."""
    whole = weights.as_constants(model)
    refuse_family(whole, request)
    refuse_no_weights(whole, request)
    try:
        made = quantize(model, weights, request, rows) if request.quantize else halve(model, weights, request)
    except (RunError, MemoryError, OSError):
        raise
    except Exception as error:
        # A library of others, over a graph of others: whatever it says, the graph is not for it.
        why = f"ONNX Runtime's tools do not take this graph ({type(error).__name__}: {error!s:.200}); leave it out"
        raise RefusedError(request, why) from error
    _clean(made)
    if any(node.domain == BLOCKED for node in made.graph.node):
        raise RefusedError(request, "it has operators for this kind of processor alone; this is a fault of the trainer")
    size = write(made, weights, folder)
    _refuse_unusable(folder / MODEL_FILE, request, rows, weights.names)
    return size


def _read_model(path: Path, work: Path) -> tuple[onnx.ModelProto, Weights]:
    try:
        return read_apart(path, work)
    except (RunError, MemoryError):
        raise
    except Exception as error:
        message = f"{path} is no ONNX model ({type(error).__name__}: {error!s:.200})"
        raise RunError(Reason.CANNOT_OPTIMIZE, message) from error


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


def _refuse_unusable(path: Path, request: Request, rows: Rows | None, names: Names) -> None:
    """Load what was made and run it on some rows: an error belongs here, and not to whoever serves it.

    Another process does so, since there are graphs that end one.
    """
    words = [str(path)]
    if rows is not None:
        some = path.with_name(ROWS_FILE)
        given = {f"inputs/{names.before(name)}": values for name, values in next(rows.batches(8)).items()}
        np.savez(some, allow_pickle=False, **{name: without_objects(values) for name, values in given.items()})
        words.append(str(some))
    code, said = run_apart(USE, *words)
    path.with_name(ROWS_FILE).unlink(missing_ok=True)
    if code == -signal.SIGKILL:
        message = "ONNX Runtime was ended while it loaded what was made"
        raise MemoryError(message)
    if code < 0:
        why = (
            f"it ends ONNX Runtime {onnxruntime.__version__} by signal {-code} ({signal.Signals(-code).name}) where it "
            "is loaded or run; leave it out"
        )
        raise RefusedError(request, why)
    if code:
        raise RefusedError(request, f"ONNX Runtime does not run what came of it ({said:.200}); leave it out")
