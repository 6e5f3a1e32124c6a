"""One candidate of scikit-learn's: features in FP64 go in, numbers of classes or numbers come out."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_trainer.backends import Estimator, Summands
from modelwright_trainer.config import Task
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.material import Answers

from . import trees
from .parts import PARTS, TreePart

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.config import Candidate
    from modelwright_trainer.graph.answer import Answer
    from modelwright_trainer.graph.builder import Graph
    from modelwright_trainer.graph.inputs import GraphInputs
    from modelwright_trainer.material import Arrays, Material, Watch
    from modelwright_trainer.table import Numbers

FLATTENED = ("images", "sequences", "past")
"""What is no table, and of one size in all rows: its numbers become features."""


class ScikitLearnEstimator(Estimator):
    """An estimator with the part of a graph that it becomes."""

    def __init__(self, estimator: Any, candidate: Candidate, path: str, precision: int = 0) -> None:
        """Take scikit-learn's estimator. `precision` says which of those that its part has to compute in."""
        self.fitted = estimator
        self._candidate = candidate
        self._path = path
        self._part = PARTS[type(estimator)]
        self._precision = precision

    @property
    def description(self) -> str:
        """The algorithm."""
        return self._candidate.algorithm

    @property
    def classes(self) -> NDArray[Any] | None:
        """Which classes the training part had."""
        found = getattr(self.fitted, "classes_", None)
        return None if found is None else np.asarray(found)

    def check(self, material: Material) -> None:
        """Refuse inputs that have no fixed number of features, and missing numbers where the algorithm takes none."""
        if "lengths" in material.train.inputs:
            parts = (material.train, material.validation)
            found = np.unique(np.concatenate([part.inputs["lengths"] for part in parts]))
            what, remedy = "rows are sequences of different lengths", ""
            if len(found) == 1:
                what = f"rows have `lengths`, although all have {found[0]} steps"
                remedy = " leave out the array 'lengths' and data.sequences.maxLength,"
            message = (
                f"{self.description} takes a fixed number of numbers for each row, and {what}:{remedy} give the "
                "candidate layers, or prepare the data as a table"
            )
            raise RunError(Reason.UNSUITABLE_DATA, message)
        if material.may_miss and not self.fitted.__sklearn_tags__().input_tags.allow_nan:
            message = (
                f"column {listed([repr(name) for name in material.may_miss], 5)} misses values, and "
                f"{self.description} cannot take that: add a step impute to preprocess"
            )
            raise RunError(Reason.MISSING_VALUES, message)

    def fit(self, material: Material, watch: Watch) -> None:
        """Train; scikit-learn tells nothing on the way."""
        del watch
        self._number_classes(material.classes)
        self.fitted.fit(_features(material.train.inputs).astype(np.float64), material.train.truth)
        if isinstance(self._part, TreePart):
            if material.task is Task.CLASSIFICATION:
                trees.round_leaves(self.fitted)
            if hasattr(self.fitted, "n_jobs"):
                # Threads would add up the trees in the order in which they end.
                self.fitted.n_jobs = 1

    def answer(self, inputs: Arrays) -> Answers:
        """Ask what was trained on numbers of classes, or on numbers."""
        wide = _features(inputs).astype(np.float64)
        if self.classes is None:
            return Answers(prediction=_as_single(np.asarray(self.fitted.predict(wide)).reshape(-1)))
        gives = hasattr(self.fitted, "predict_proba")
        probabilities = _as_single(self.fitted.predict_proba(wide)) if gives else None
        return Answers(index=np.asarray(self.fitted.predict(wide), dtype=np.int64), probabilities=probabilities)

    def export(self, graph: Graph, inputs: GraphInputs) -> str | Answer:
        """Add what was trained."""
        features = _add_features(graph, inputs)
        if isinstance(self._part, TreePart):
            forest = trees.Forest(self.fitted)
            sums = trees.add_sums(graph, features, forest, 0, len(forest.trees))
            return self._part.add(graph, trees.add_mean(graph, sums, forest))
        return self._part.add(graph, features, self.fitted, self._part.precisions[self._precision])

    def more_exact(self) -> Estimator | None:
        """Return the same with the next type to compute in."""
        if isinstance(self._part, TreePart) or self._precision + 1 == len(self._part.precisions):
            return None
        return ScikitLearnEstimator(self.fitted, self._candidate, self._path, self._precision + 1)

    def summands(self) -> Summands | None:
        """Return a few trees at a time.

        To load a forest, ONNX Runtime takes thirteen times the memory of its file. Sums of trees are exact, and those
        of all are the sums of these.
        """
        part = self._part
        if not isinstance(part, TreePart):
            return None
        forest = trees.Forest(self.fitted)
        return Summands(
            forest.width,
            tuple(
                partial(_add_run, forest=forest, first=first, end=end) for first, end in forest.runs(trees.MOST_NODES)
            ),
            lambda graph, sums: part.add(graph, trees.add_mean(graph, sums, forest)),
        )

    def _number_classes(self, classes: NDArray[Any]) -> None:
        """Bring a `class_weight` by labels to the numbers of the classes."""
        weights = self._candidate.parameters.get("class_weight")
        if not isinstance(weights, dict):
            return
        known = {str(label): index for index, label in enumerate(classes.tolist())}
        for label in weights:
            if label not in known:
                message = (
                    f"{self._path}.parameters.class_weight of candidate {self._candidate.name!r} names the label "
                    f"{label!r}, which does not occur{did_you_mean(label, known)}; there are {listed(list(known))}"
                )
                raise RunError(Reason.INVALID_PARAMETER, message)
        self.fitted.set_params(class_weight={known[label]: weight for label, weight in weights.items()})


def _add_run(graph: Graph, inputs: GraphInputs, *, forest: trees.Forest, first: int, end: int) -> str:
    return trees.add_sums(graph, _add_features(graph, inputs), forest, first, end)


def _features(inputs: Arrays) -> Numbers:
    """Return one row of numbers for each row of data."""
    if "features" in inputs:
        return inputs["features"]
    found = next(inputs[name] for name in FLATTENED if name in inputs)
    return found.reshape(len(found), -1).astype(np.float32)


def _add_features(graph: Graph, inputs: GraphInputs) -> str:
    if "features" in inputs:
        return inputs["features"].name
    tensor = next(inputs[name] for name in FLATTENED if name in inputs)
    whole = tensor.name if tensor.kind == "float32" else graph.cast(tensor.name, "float32")
    return graph.add("Flatten", whole, axis=1)


def _as_single(values: NDArray[Any]) -> Numbers:
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)
