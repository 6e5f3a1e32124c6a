"""In go preparation and the chosen estimator, out come the bytes of `model.onnx`.

They come out once ONNX Runtime agrees with Python on every row of the test part. To load a forest, it takes thirteen
times the memory of its file. So it answers with a few trees at a time: their sums are exact, and those of all trees are
the sums of these. `prove` loads the whole file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import onnx
import onnxruntime
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
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
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .failure import Reason, RunError
from .graph.builder import ROWS, Graph
from .graph.linear import add_flat, add_linear, add_linear_classifier, add_perceptron, add_perceptron_classifier
from .graph.packed import total
from .graph.preparation import add_preparation
from .graph.svm import add_svm_classifier, add_svm_regressor
from .graph.trees import Forest, add_mean, add_sums, add_tree_classifier, add_tree_regressor
from .processors import count_processors
from .tolerance import differ

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .graph.answer import Answer
    from .prepare import Preparer

TOLERANCE: Final = 1e-4
"""By how much numbers may differ, relative to themselves and to their column's scale in the test part."""
LARGEST_MODEL: Final = 2**31 - 1
"""A model in one file cannot be larger."""
MOST_NODES: Final = 25_000
"""Of the trees that ONNX Runtime loads at once to compare answers, where one does not have more."""
TREES: Final = (DecisionTreeClassifier, DecisionTreeRegressor, RandomForestClassifier, RandomForestRegressor)

Arrays = dict[str, "NDArray[Any]"]


@dataclass(frozen=True)
class Fitted:
    """All that becomes the graph."""

    preparer: Preparer
    estimator: Any
    classes: NDArray[Any] | None
    """A classifier's labels, int64 or text, in the order of its probabilities."""
    single_input: bool
    """Whether all features are one input `x`, or each column is one."""


def export_model(fitted: Fitted, inputs: Arrays, expected: Arrays) -> list[bytes]:
    """Return the bytes of a model that gives the `expected` outputs for the `inputs`, in parts."""
    if isinstance(fitted.estimator, TREES):
        difference = compare(run_forest(fitted, inputs, list(expected)), expected)
        if not difference:
            return build_model(fitted, "float64")
    else:
        kinds = ["float64"]
        if isinstance(fitted.estimator, MLPClassifier | MLPRegressor):
            # A perceptron is fast in FP32; where a row is so near to the border that this changes its label, in FP64.
            kinds = ["float32", "float64"]
        difference = ""
        for kind in kinds:
            content = build_model(fitted, kind)
            onnx.checker.check_model(b"".join(content))
            difference = compare(run_model(content, inputs, list(expected)), expected)
            if not difference:
                return content
    message = (
        f"ONNX Runtime does not repeat the answers of Python: {difference}; scale the columns, or choose another "
        "algorithm"
    )
    raise RunError(Reason.NOT_REPRODUCIBLE, message)


def build_model(fitted: Fitted, kind: str) -> list[bytes]:
    """Write the graph, with scores computed in the type `kind`. The same arguments give the same bytes."""
    graph = Graph()
    features = add_preparation(graph, fitted.preparer, single_input=fitted.single_input)
    if isinstance(fitted.estimator, TREES):
        forest = Forest(fitted.estimator)
        sums = add_sums(graph, features, forest, 0, len(forest.trees))
        _add_outputs(graph, fitted, _add_tree_answer(graph, fitted, add_mean(graph, sums, forest)))
    elif fitted.classes is None:
        _add_outputs(graph, fitted, _add_regressor(graph, features, fitted.estimator, kind))
    else:
        _add_outputs(graph, fitted, _add_classifier(graph, features, fitted.estimator, kind))
    content = graph.pieces()
    size = total(content)
    if size > LARGEST_MODEL:
        message = f"the model has {size} bytes, more than the 2 GiB of one ONNX file: give fewer or smaller trees"
        raise RunError(Reason.TOO_LARGE, message)
    return content


def run_forest(fitted: Fitted, inputs: Arrays, outputs: list[str]) -> Arrays:
    """Have ONNX Runtime answer with a few trees at a time, and then with the rest of the graph."""
    forest = Forest(fitted.estimator)
    sums: NDArray[Any] | None = None
    for first, end in forest.runs(MOST_NODES):
        graph = Graph()
        features = add_preparation(graph, fitted.preparer, single_input=fitted.single_input)
        graph.output("sums", add_sums(graph, features, forest, first, end), "float64", (ROWS, forest.width))
        content = graph.pieces()
        onnx.checker.check_model(b"".join(content))
        found = run_model(content, inputs, ["sums"])["sums"]
        sums = found if sums is None else sums + found
    graph = Graph()
    means = add_mean(graph, graph.input("sums", "float64", (ROWS, forest.width)), forest)
    _add_outputs(graph, fitted, _add_tree_answer(graph, fitted, means))
    return run_model(graph.pieces(), {"sums": sums}, outputs)


def _add_tree_answer(graph: Graph, fitted: Fitted, means: str) -> str | Answer:
    return add_tree_regressor(graph, means) if fitted.classes is None else add_tree_classifier(graph, means)


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


def _add_regressor(graph: Graph, features: str, estimator: Any, kind: str) -> str:
    if isinstance(estimator, ElasticNet | Lasso | LinearRegression | Ridge | SGDRegressor):
        return add_flat(graph, add_linear(graph, features, estimator, kind))
    if isinstance(estimator, MLPRegressor):
        return add_flat(graph, add_perceptron(graph, features, estimator, kind))
    return add_svm_regressor(graph, features, estimator)


def _add_classifier(graph: Graph, features: str, estimator: Any, kind: str) -> Answer:
    if isinstance(estimator, LogisticRegression | RidgeClassifier | SGDClassifier):
        return add_linear_classifier(graph, features, estimator, kind)
    if isinstance(estimator, MLPClassifier):
        return add_perceptron_classifier(graph, features, estimator, kind)
    return add_svm_classifier(graph, features, estimator)


def run_model(content: list[bytes], inputs: Arrays, outputs: list[str]) -> Arrays:
    """Have ONNX Runtime answer."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = count_processors()
    session = onnxruntime.InferenceSession(b"".join(content), options, providers=["CPUExecutionProvider"])
    return dict(zip(outputs, session.run(outputs, inputs), strict=True))


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
