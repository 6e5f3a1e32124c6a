"""Which part of a graph each class of scikit-learn's becomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

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
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from .linear import (
    add_linear_classifier,
    add_linear_regressor,
    add_perceptron_classifier,
    add_perceptron_regressor,
)
from .svm import add_svm_classifier, add_svm_regressor
from .trees import add_tree_classifier, add_tree_regressor

if TYPE_CHECKING:
    from modelwright_trainer.graph.answer import Answer

Add = Callable[[Any, str, Any, str], "str | Answer"]
"""Takes a graph, the tensor of features, the estimator, and the type to compute in."""


@dataclass(frozen=True)
class GraphPart:
    """How a class becomes part of a graph."""

    add: Add
    precisions: tuple[str, ...] = ("float64",)
    """Types to compute in. The next is tried where a row is so near to the border that the one before changes it."""


@dataclass(frozen=True)
class TreePart:
    """How trees become part of a graph: `add` goes on from the mean of their values."""

    add: Callable[[Any, str], str | Answer]


PERCEPTRON: Final = ("float32", "float64")
"""A perceptron is fast in FP32."""
PARTS: Final[dict[type, GraphPart | TreePart]] = {
    DecisionTreeClassifier: TreePart(add_tree_classifier),
    DecisionTreeRegressor: TreePart(add_tree_regressor),
    ElasticNet: GraphPart(add_linear_regressor),
    Lasso: GraphPart(add_linear_regressor),
    LinearRegression: GraphPart(add_linear_regressor),
    LogisticRegression: GraphPart(add_linear_classifier),
    MLPClassifier: GraphPart(add_perceptron_classifier, PERCEPTRON),
    MLPRegressor: GraphPart(add_perceptron_regressor, PERCEPTRON),
    RandomForestClassifier: TreePart(add_tree_classifier),
    RandomForestRegressor: TreePart(add_tree_regressor),
    Ridge: GraphPart(add_linear_regressor),
    RidgeClassifier: GraphPart(add_linear_classifier),
    SGDClassifier: GraphPart(add_linear_classifier),
    SGDRegressor: GraphPart(add_linear_regressor),
    SVC: GraphPart(add_svm_classifier),
    SVR: GraphPart(add_svm_regressor),
}
