"""In go a trained estimator, inputs and the truth, out come its answers and every metric of the task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

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
from .material import Answers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .backends import Estimator
    from .material import Arrays


BYTES_AT_ONCE: Final = 2**27
"""Of inputs that are asked together: a test part may be large, and answers take more memory on the way."""


def answer(estimator: Estimator, inputs: Arrays) -> Answers:
    """Ask for all rows, part by part where they are many."""
    rows = len(next(iter(inputs.values())))
    found = [
        estimator.answer({name: values[first:end] for name, values in inputs.items()})
        for first, end in part_rows(rows, inputs, BYTES_AT_ONCE)
    ]
    return (
        found[0]
        if len(found) == 1
        else Answers(*(_join(found, name) for name in ("index", "probabilities", "prediction")))
    )


def part_rows(rows: int, inputs: Arrays, most: int) -> list[tuple[int, int]]:
    """Part rows into runs whose arrays have about so many bytes, and one row at least."""
    each = sum(values.nbytes for values in inputs.values()) / max(rows, 1)
    many = max(1, int(most / max(each, 1)))
    return [(first, min(first + many, rows)) for first in range(0, rows, many)]


def _join(found: list[Answers], name: str) -> Any:
    parts = [getattr(one, name) for one in found]
    return None if parts[0] is None else np.concatenate(parts)


def is_finite(answers: Answers) -> bool:
    """Whether all answers are numbers."""
    numbers = [one for one in (answers.probabilities, answers.prediction) if one is not None]
    return all(bool(np.isfinite(one).all()) for one in numbers)


def measure(answers: Answers, truth: NDArray[Any], known: NDArray[Any] | None, classes: int) -> dict[Metric, float]:
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
