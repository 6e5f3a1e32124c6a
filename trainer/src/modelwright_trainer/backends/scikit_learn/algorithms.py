"""In goes a candidate, out comes scikit-learn's estimator with its parameters, or which of them it refuses and why."""

from __future__ import annotations

import inspect
import json
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
from sklearn.utils._param_validation import InvalidParameterError

from modelwright_trainer.config import Candidate, Run, Task
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed

if TYPE_CHECKING:
    from sklearn.base import BaseEstimator

CLASSES: Final[dict[Task, dict[str, type[BaseEstimator]]]] = {
    Task.CLASSIFICATION: {
        "DecisionTree": DecisionTreeClassifier,
        "LogisticRegression": LogisticRegression,
        "MLP": MLPClassifier,
        "RandomForest": RandomForestClassifier,
        "Ridge": RidgeClassifier,
        "SGD": SGDClassifier,
        "SVM": SVC,
    },
    Task.REGRESSION: {
        "DecisionTree": DecisionTreeRegressor,
        "ElasticNet": ElasticNet,
        "Lasso": Lasso,
        "LinearRegression": LinearRegression,
        "MLP": MLPRegressor,
        "RandomForest": RandomForestRegressor,
        "Ridge": Ridge,
        "SGD": SGDRegressor,
        "SVM": SVR,
    },
}
TAKES: Final = ("table", "images", "sequences", "window")
"""What rows may be: the operator refuses others before a Job. Whether sequences have one length is known later."""
PROBABILITIES: Final[dict[str, dict[str, list[Any]]]] = {
    "DecisionTree": {},
    "LogisticRegression": {},
    "MLP": {},
    "RandomForest": {},
    "SGD": {"loss": ["log_loss", "modified_huber"]},
    "SVM": {"probability": [True]},
}
"""Which classifiers tell how probable each class is: those whose parameters have one of these values."""
NOT_OFFERED: Final = frozenset({"copy_X", "n_jobs", "verbose", "warm_start"})
"""Parameters that change no model."""


def parameters_of(algorithm: type[BaseEstimator]) -> list[str]:
    """Return the parameters that a candidate may give."""
    return sorted(set(inspect.signature(algorithm).parameters) - NOT_OFFERED)


def build_estimator(candidate: Candidate, path: str, run: Run, processors: int) -> Any:
    """Return scikit-learn's estimator for a candidate."""
    known = CLASSES[run.task]
    who = f"candidate {candidate.name!r}"
    if candidate.algorithm not in known:
        other = next(task for task in Task if task is not run.task)
        elsewhere = f" (it is for a {other})" if candidate.algorithm in CLASSES[other] else ""
        message = (
            f"{path}.algorithm of {who} is {candidate.algorithm!r}{elsewhere}; for a {run.task} there are "
            f"{listed(list(known))}{did_you_mean(candidate.algorithm, known)}"
        )
        raise RunError(Reason.UNKNOWN_ALGORITHM, message)
    algorithm = known[candidate.algorithm]
    if run.data.kind not in TAKES:
        message = (
            f"{path}.algorithm of {who} is {candidate.algorithm!r}, which takes a fixed number of numbers for each row,"
            f" and data has {run.data.kind}: give the candidate layers that begin with TextVectorization, or prepare "
            "the data as a table"
        )
        raise RunError(Reason.UNSUITABLE_DATA, message)
    names = parameters_of(algorithm)
    for name in candidate.parameters:
        if name not in names:
            message = (
                f"{path}.parameters.{name} of {who}: {candidate.algorithm} has no parameter {name!r}"
                f"{did_you_mean(name, names)}; it has {listed(names, 40)}"
            )
            raise RunError(Reason.UNKNOWN_PARAMETER, message)
    values = {name: _as_python(name, value) for name, value in candidate.parameters.items()}
    if "random_state" in names and values.get("random_state") is None:
        values["random_state"] = run.split.seed
    if "n_jobs" in inspect.signature(algorithm).parameters and "RandomForest" in candidate.algorithm:
        # Each tree has its own seed: the number of threads changes nothing but the time.
        values["n_jobs"] = processors
    estimator = algorithm(**values)
    _validate(estimator, candidate, path)
    if run.selection.metric.needs_probabilities and not hasattr(estimator, "predict_proba"):
        message = (
            f"selection.metric {run.selection.metric} is measured of probabilities, and {path} {candidate.name!r} "
            f"gives none: {_how_probabilities_come(candidate.algorithm)}"
        )
        raise RunError(Reason.INVALID_PARAMETER, message)
    return estimator


def _how_probabilities_come(algorithm: str) -> str:
    wanted = PROBABILITIES.get(algorithm, {})
    if not wanted:
        return f"algorithm {algorithm} never does; choose another metric or algorithm"
    words = " and ".join(
        f"{name}: {' or '.join(value if isinstance(value, str) else json.dumps(value) for value in values)}"
        for name, values in wanted.items()
    )
    return f"algorithm {algorithm} does with {words}; set that, or choose another metric or algorithm"


def _as_python(name: str, value: object) -> object:
    """JSON has no tuples."""
    return tuple(value) if name == "hidden_layer_sizes" and isinstance(value, list) else value


def _validate(estimator: Any, candidate: Candidate, path: str) -> None:
    """Ask scikit-learn itself whether it takes the values."""
    try:
        estimator._validate_params()
    except InvalidParameterError as error:
        words = str(error)
        parts = words.split("'")
        name = parts[1] if len(parts) > 1 else ""
        field = f"{path}.parameters.{name}"
        value = json.dumps(candidate.parameters.get(name), ensure_ascii=False)[:80]
        message = f"{field} of candidate {candidate.name!r} is {value}: {words}"
        raise RunError(Reason.INVALID_PARAMETER, message) from error
