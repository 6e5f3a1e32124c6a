"""In go a fitted estimator, features and the truth, out come its answers and every metric of the task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    log_loss,
    mean_absolute_error,
    mean_squared_error,
    precision_score,
    r2_score,
    recall_score,
)

from .config import Metric

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .table import Numbers


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows. A classification has `index`, a regression `prediction`."""

    index: NDArray[np.int64] | None = None
    """Which of the run's classes."""
    probabilities: Numbers | None = None
    """One column for each class that the model knows, as FP32 as in the graph."""
    prediction: Numbers | None = None


def answer(estimator: Any, features: Numbers) -> Answers:
    """Ask an estimator that was trained on numbers of classes, or on numbers."""
    wide = features.astype(np.float64)
    if not hasattr(estimator, "classes_"):
        return Answers(prediction=_as_single(np.asarray(estimator.predict(wide)).reshape(-1)))
    probabilities = _as_single(estimator.predict_proba(wide)) if hasattr(estimator, "predict_proba") else None
    return Answers(index=np.asarray(estimator.predict(wide), dtype=np.int64), probabilities=probabilities)


def is_finite(answers: Answers) -> bool:
    """Whether all answers are numbers."""
    numbers = [one for one in (answers.probabilities, answers.prediction) if one is not None]
    return all(bool(np.isfinite(one).all()) for one in numbers)


def measure(
    answers: Answers, truth: NDArray[Any], known: NDArray[np.int64] | None, classes: int
) -> dict[Metric, float]:
    """Return the metrics that are defined; `known` are the classes that the model was trained on."""
    if answers.prediction is not None:
        found = {
            Metric.MEAN_SQUARED_ERROR: mean_squared_error(truth, answers.prediction),
            Metric.MEAN_ABSOLUTE_ERROR: mean_absolute_error(truth, answers.prediction),
        }
        if len(truth) > 1:
            found[Metric.R2] = r2_score(truth, answers.prediction)
    else:
        found = {Metric.ACCURACY: accuracy_score(truth, answers.index)}
        for average in ("macro", "weighted"):
            for name, score in (("Precision", precision_score), ("Recall", recall_score), ("F1", f1_score)):
                metric = Metric(f"{name}{average.capitalize()}")
                found[metric] = score(truth, answers.index, average=average, zero_division=0)
        if answers.probabilities is not None and known is not None:
            # A class that the training part did not have gets the probability 0.
            shares = np.zeros((len(truth), classes), dtype=np.float32)
            shares[:, known] = answers.probabilities
            found[Metric.LOG_LOSS] = log_loss(truth, shares, labels=np.arange(classes))
    return {metric: float(value) for metric, value in found.items() if np.isfinite(value)}


def _as_single(values: NDArray[Any]) -> Numbers:
    with np.errstate(over="ignore"):
        return np.asarray(values, dtype=np.float32)
