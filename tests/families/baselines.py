"""How good what is simpler is, on the very rows that a network is judged by.

In: a run, as the trainer reads it. Out: a metric by the name of what was tried. Rows of the validation part are learned
from as well, since nothing here is chosen.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from modelwright_trainer.config import parse_run
from modelwright_trainer.data import arrange, read_data
from modelwright_trainer.split import split_data
from modelwright_trainer.tensors import Tensors
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Parts:
    """The rows of a run, parted as the trainer parts them."""

    def __init__(self, told: dict[str, Any]) -> None:
        """Read them."""
        run = parse_run(json.dumps(told))
        data = arrange(read_data(run), run)
        if not isinstance(data, Tensors):
            message = f"the rows of {run.model} are those of a table"
            raise TypeError(message)
        self.data = data
        parts = split_data(self.data, run.split)
        self.train = np.concatenate([parts.train, parts.validation])
        self.test = parts.test

    @cached_property
    def labels(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Of both parts."""
        return self.data.labels[self.train], self.data.labels[self.test]

    def score(self, model: Any, rows: Any) -> float:
        """Return the accuracy of a classifier of scikit-learn's over rows."""
        train, test = self.labels
        return float(model.fit(rows[self.train], train).score(rows[self.test], test))


def images(parts: Parts) -> dict[str, float]:
    """Pixels."""
    pixels = parts.data.arrays["images"].reshape(parts.data.rows, -1) / 255
    return {"logistic regression": parts.score(LogisticRegression(max_iter=300), pixels)}


def sequences(parts: Parts) -> dict[str, float]:
    """Means over the steps of each row, and the steps themselves."""
    steps, lengths = parts.data.arrays["sequences"], parts.data.arrays["lengths"]
    # Behind a row's end there are zeros, which add nothing.
    means = steps.sum(axis=1) / lengths[:, None]
    regression = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    return {
        "logistic regression of means": parts.score(regression, means),
        "1-NN": parts.score(KNeighborsClassifier(1), steps.reshape(len(steps), -1)),
    }


def text(parts: Parts) -> dict[str, float]:
    """Words by how often they occur."""
    words = TfidfVectorizer(token_pattern="[a-z0-9']+")  # noqa: S106 - of words
    texts = parts.data.arrays["text"].reshape(-1)
    return {
        "TF-IDF and logistic regression": parts.score(make_pipeline(words, LogisticRegression(max_iter=1000)), texts)
    }


def series(parts: Parts) -> dict[str, float]:
    """Give mean absolute errors of what was last, and of a straight line through the past."""
    past = parts.data.arrays["past"][:, :, 0]
    train, test = parts.labels
    line = LinearRegression().fit(past[parts.train], train)
    return {
        "as last time": float(np.abs(past[parts.test][:, -1] - test).mean()),
        "linear regression": float(np.abs(line.predict(past[parts.test]) - test).mean()),
    }
