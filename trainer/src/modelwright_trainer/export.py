"""In go what leads to a backend's inputs and the chosen estimator, out come the bytes of `model.onnx`.

They come out once ONNX Runtime agrees with Python on every row of the test part. What is too large to be loaded beside
the training answers summand by summand. `prove` loads the whole file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime

from .evaluate import part_rows
from .failure import Reason, RunError
from .graph.builder import ROWS, Graph
from .graph.packed import total
from .log import log
from .processors import count_processors
from .tolerance import differ

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from .backends import Estimator, Summands
    from .graph.answer import Answer
    from .graph.inputs import GraphInputs
    from .material import Arrays

TOLERANCE: Final = 1e-4
"""By how much numbers may differ, relative to themselves and to their column's scale in the test part."""
TIE: Final = 1e-5
"""By how much the probabilities of two classes may differ where either is the answer."""
LARGEST_MODEL: Final = 2**31 - 1
"""A model in one file cannot be larger."""
BYTES_AT_ONCE: Final = 2**26
"""Of inputs that ONNX Runtime is asked together."""


@dataclass(frozen=True)
class Fitted:
    """All that becomes the graph."""

    declare: Callable[[Graph], GraphInputs]
    """Declares the inputs, and adds what leads to what the estimator takes."""
    estimator: Estimator
    classes: NDArray[Any] | None
    """A classifier's labels, int64 or text, in the order of its probabilities."""


def export_model(fitted: Fitted, inputs: Arrays, expected: Arrays) -> list[bytes]:
    """Return the bytes of a model that gives the `expected` outputs for the `inputs`, in parts."""
    summands = fitted.estimator.summands()
    difference, found = "", {}
    if summands is not None:
        difference = compare(run_summands(fitted, summands, inputs, list(expected)), expected)
        if not difference:
            return build_model(fitted)
    else:
        estimator: Estimator | None = fitted.estimator
        while estimator is not None:
            content = build_model(replace(fitted, estimator=estimator))
            onnx.checker.check_model(b"".join(content))
            found = run_model(content, inputs, list(expected))
            difference = compare(found, expected)
            if not difference:
                return content
            estimator = estimator.more_exact()
        # Of many rows, some lie between two classes, and nothing computes more exactly than this.
        if ties := count_ties(found, expected, fitted.classes):
            log("ties", rows=ties, of=len(expected["label"]))
            return content
    message = (
        f"ONNX Runtime does not repeat the answers of Python: {difference}; scale the columns, or choose another "
        "algorithm"
    )
    raise RunError(Reason.NOT_REPRODUCIBLE, message)


def build_model(fitted: Fitted) -> list[bytes]:
    """Write the graph. The same arguments give the same bytes."""
    graph = Graph()
    _add_outputs(graph, fitted, fitted.estimator.export(graph, fitted.declare(graph)))
    content = graph.pieces()
    size = total(content)
    if size > LARGEST_MODEL:
        message = f"the model has {size} bytes, more than the 2 GiB of one ONNX file: give fewer or smaller trees"
        raise RunError(Reason.TOO_LARGE, message)
    return content


def run_summands(fitted: Fitted, summands: Summands, inputs: Arrays, outputs: list[str]) -> Arrays:
    """Have ONNX Runtime answer one summand after the other, and then with the rest of the graph."""
    sums: NDArray[Any] | None = None
    shape = (ROWS, summands.width)
    for add in summands.add:
        graph = Graph()
        graph.output("sums", add(graph, fitted.declare(graph)), "float64", shape)
        content = graph.pieces()
        onnx.checker.check_model(b"".join(content))
        found = run_model(content, inputs, ["sums"])["sums"]
        sums = found if sums is None else sums + found
    graph = Graph()
    _add_outputs(graph, fitted, summands.finish(graph, graph.input("sums", "float64", shape)))
    return run_model(graph.pieces(), {"sums": np.asarray(sums)}, outputs)


def _add_outputs(graph: Graph, fitted: Fitted, found: str | Answer) -> None:
    if isinstance(found, str) or fitted.classes is None:
        graph.output("prediction", graph.cast(str(found), "float32"), "float32", (ROWS,))
        return
    classes = fitted.classes
    label = graph.add("Gather", graph.constant(classes), found.index)
    graph.output("label", label, "text" if classes.dtype == object else "int64", (ROWS,))
    if found.probabilities is not None:
        probabilities = graph.cast(found.probabilities, "float32")
        graph.output("probabilities", probabilities, "float32", (ROWS, len(classes)))


def run_model(content: list[bytes], inputs: Arrays, outputs: list[str]) -> Arrays:
    """Have ONNX Runtime answer, part by part where rows are many."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = count_processors()
    session = onnxruntime.InferenceSession(b"".join(content), options, providers=["CPUExecutionProvider"])
    rows = len(next(iter(inputs.values())))
    found = [
        session.run(outputs, {name: values[first:end] for name, values in inputs.items()})
        for first, end in part_rows(rows, inputs, BYTES_AT_ONCE)
    ]
    parts = zip(*found, strict=True)
    return {name: np.concatenate(of_output) for name, of_output in zip(outputs, parts, strict=True)}


def count_ties(found: Arrays, expected: Arrays, classes: NDArray[Any] | None) -> int:
    """Count the rows with another label, if nothing else differs and both labels are as probable in each of them."""
    if classes is None or "probabilities" not in expected or compare(found | {"label": expected["label"]}, expected):
        return 0
    rows = np.flatnonzero(found["label"] != expected["label"])
    ours, theirs = (np.searchsorted(classes, answers["label"][rows]) for answers in (expected, found))
    for answers in (expected, found):
        shares = answers["probabilities"][rows].astype(np.float64)
        places = np.arange(len(rows))
        if (np.abs(shares[places, ours] - shares[places, theirs]) > TIE).any():
            return 0
    return len(rows)


def compare(found: Arrays, expected: Arrays) -> str:
    """Say how answers differ, or nothing."""
    words = []
    for name, truth in expected.items():
        other = found[name]
        if other.shape != truth.shape:
            words.append(f"{name} has the shape {other.shape} and not {truth.shape}")
        elif truth.dtype.kind == "f":
            wrong = differ(truth, other, TOLERANCE)
            if wrong.any():
                rows = wrong.reshape(len(truth), -1).any(axis=1)
                ours, theirs = truth[wrong][0], other[wrong][0]
                words.append(
                    f"{name} differs in {rows.sum()} of {len(truth)} rows of the test part, such as {theirs:.6g} for "
                    f"{ours:.6g} in row {np.flatnonzero(rows)[0] + 1} of it"
                )
        elif (other != truth).any():
            words.append(f"{name} differs in {(other != truth).sum()} of {len(truth)} rows of the test part")
    return ", ".join(words)
