"""In go preparation and the chosen estimator, out come the bytes of `model.onnx`.

They come out once ONNX Runtime agrees with Python on every row of the test part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime
from sklearn.linear_model import (
    ElasticNet,
    Lasso,
    LinearRegression,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.svm import SVC, SVR

from .failure import Reason, RunError
from .graph.builder import ROWS, Graph
from .graph.linear import add_flat, add_linear, add_linear_classifier, add_perceptron, add_perceptron_classifier
from .graph.preparation import add_preparation
from .graph.svm import add_svm_classifier, add_svm_regressor
from .graph.trees import add_tree_classifier, add_tree_regressor

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph.answer import Answer
    from .prepare import Preparer

TOLERANCE: Final = 1e-4
"""By how much numbers may differ: |a - b| / max(1, |b|)."""
LARGEST_MODEL: Final = 2**31 - 1
"""A model in one file cannot be larger."""

Arrays = dict[str, "NDArray[Any]"]


def export_model(
    preparer: Preparer,
    estimator: Any,
    classes: NDArray[Any] | None,
    inputs: Arrays,
    expected: Arrays,
    *,
    single_input: bool,
) -> bytes:
    """Return the bytes of a model that gives the `expected` outputs for the `inputs`."""
    kinds = ["float64"]
    if isinstance(estimator, MLPClassifier | MLPRegressor):
        # A perceptron is fast in FP32; where a row is so near to the border that this changes its label, in FP64.
        kinds = ["float32", "float64"]
    difference = ""
    for kind in kinds:
        content = build_model(preparer, estimator, classes, single_input=single_input, kind=kind)
        difference = compare(run_model(content, inputs, list(expected)), expected)
        if not difference:
            return content
    message = (
        f"ONNX Runtime does not repeat the answers of Python: {difference}; scale the columns, or choose another "
        "algorithm"
    )
    raise RunError(Reason.NOT_REPRODUCIBLE, message)


def build_model(
    preparer: Preparer,
    estimator: Any,
    classes: NDArray[Any] | None,
    *,
    single_input: bool,
    kind: str,
) -> bytes:
    """Write the graph. The same arguments give the same bytes."""
    graph = Graph()
    features = add_preparation(graph, preparer, single_input=single_input)
    if classes is None:
        prediction = _add_regressor(graph, features, estimator, kind)
        graph.output("prediction", graph.cast(prediction, "float32"), "float32", (ROWS,))
    else:
        found = _add_classifier(graph, features, estimator, kind)
        names = graph.constant(classes)
        label_kind = "text" if classes.dtype == object else "int64"
        graph.output("label", graph.add("Gather", names, found.index), label_kind, (ROWS,))
        if found.probabilities is not None:
            probabilities = graph.cast(found.probabilities, "float32")
            graph.output("probabilities", probabilities, "float32", (ROWS, len(classes)))
    model = graph.finish()
    if model.ByteSize() > LARGEST_MODEL:
        message = (
            f"the model has {model.ByteSize()} bytes, more than the 2 GiB of one ONNX file: give fewer or smaller trees"
        )
        raise RunError(Reason.NOT_REPRODUCIBLE, message)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _add_regressor(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    if isinstance(estimator, ElasticNet | Lasso | LinearRegression | Ridge | SGDRegressor):
        return add_flat(graph, add_linear(graph, features, estimator, kind))
    if isinstance(estimator, MLPRegressor):
        return add_flat(graph, add_perceptron(graph, features, estimator, kind))
    if isinstance(estimator, SVR):
        return add_svm_regressor(graph, features, estimator)
    return add_tree_regressor(graph, features, estimator)


def _add_classifier(graph: Graph, features: str, estimator: Any, kind: str) -> Answer:
    if isinstance(estimator, LogisticRegression | RidgeClassifier | SGDClassifier):
        return add_linear_classifier(graph, features, estimator, kind)
    if isinstance(estimator, MLPClassifier):
        return add_perceptron_classifier(graph, features, estimator, kind)
    if isinstance(estimator, SVC):
        return add_svm_classifier(graph, features, estimator)
    return add_tree_classifier(graph, features, estimator)


def run_model(content: bytes, inputs: Arrays, outputs: list[str]) -> Arrays:
    """Have ONNX Runtime answer."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))


def compare(found: Arrays, expected: Arrays) -> str:
    """Say how answers differ, or nothing."""
    words = []
    for name, truth in expected.items():
        other = found[name]
        if other.shape != truth.shape:
            words.append(f"{name} has the shape {other.shape} and not {truth.shape}")
        elif truth.dtype.kind == "f":
            apart = np.abs(other.astype(np.float64) - truth) / np.maximum(1, np.abs(truth))
            wrong = ~(apart <= TOLERANCE)
            if wrong.any():
                rows = wrong.reshape(len(truth), -1).any(axis=1).sum()
                words.append(
                    f"{name} differs in {rows} of {len(truth)} rows of the test part, by up to {np.nanmax(apart):.3g}"
                )
        elif (other != truth).any():
            words.append(f"{name} differs in {(other != truth).sum()} of {len(truth)} rows of the test part")
    return ", ".join(words)
