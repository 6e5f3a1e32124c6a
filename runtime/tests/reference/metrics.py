"""Makes the files beside it: `pip install numpy==2.4.6 scikit-learn==1.9.1 && python metrics.py`.

`metrics.json` holds scikit-learn's own values, and the `.npz` files are NumPy's own. They are committed, so tests need
no Python.
"""

import json
import pathlib
import warnings
from typing import Any

import numpy as np
from sklearn import metrics as m

HERE = pathlib.Path(__file__).parent


def classification(truth: list[int], answers: list[int], probabilities: list[list[float]] | None = None) -> Any:  # noqa: ANN401, JSON
    """Compute every metric of a classification."""
    values = {"Accuracy": m.accuracy_score(truth, answers)}
    for name, average in (("Macro", "macro"), ("Weighted", "weighted")):
        precision, recall, f1, _ = m.precision_recall_fscore_support(truth, answers, average=average, zero_division=0)
        values |= {f"Precision{name}": precision, f"Recall{name}": recall, f"F1{name}": f1}
    case = {"truth": truth, "answers": answers, "confusion": m.confusion_matrix(truth, answers).tolist()}
    if probabilities is not None:
        classes = list(range(len(probabilities[0])))
        values["LogLoss"] = m.log_loss(truth, np.array(probabilities), labels=classes)
        case["probabilities"] = probabilities
    return case | {"metrics": values}


def regression(truth: list[float], answers: list[float]) -> Any:  # noqa: ANN401, JSON
    """Compute every metric of a regression."""
    values = {
        "MeanSquaredError": m.mean_squared_error(truth, answers),
        "MeanAbsoluteError": m.mean_absolute_error(truth, answers),
        "R2": m.r2_score(truth, answers),
    }
    return {"truth": truth, "answers": answers, "metrics": values}


def references() -> None:
    """Write scikit-learn's values."""
    random = np.random.default_rng(7)
    truth = random.integers(0, 5, 200)
    answers = np.where(random.random(200) < 0.7, truth, random.integers(0, 6, 200))  # noqa: PLR2004, a share
    rough = random.random((40, 4))
    shares = rough / rough.sum(axis=1, keepdims=True)
    number = random.normal(3, 10, 50)
    cases = {
        "classification": [
            classification([0, 1, 1, 0], [0, 1, 0, 0]),
            classification([0, 0, 0], [0, 0, 0]),
            classification([0, 1, 2], [1, 2, 0]),
            # A label that is never answered, and one that is never true.
            classification([0, 0, 1, 2], [0, 0, 0, 3]),
            classification(truth.tolist(), answers.tolist()),
            classification(random.integers(0, 4, 40).tolist(), shares.argmax(axis=1).tolist(), shares.tolist()),
            # Certain and wrong; rows that do not add up to 1; a class without a row.
            classification([0, 1, 1], [0, 0, 1], [[1, 0, 0], [1, 0, 0], [0, 1, 0]]),
            classification([0, 1], [0, 1], [[0.2, 0.1], [0.3, 0.9]]),
        ],
        "regression": [
            regression([3, -0.5, 2, 7], [2.5, 0.0, 2, 8]),
            regression([1, 2, 3], [1, 2, 3]),
            regression([5, 5, 5], [5, 5, 5]),
            regression([5, 5, 5], [4, 5, 6]),
            regression([1, 2, 3], [3, 2, 1]),
            regression(number.tolist(), (number + random.normal(0, 2, 50)).tolist()),
        ],
    }
    # One case a line.
    parts = [f'"{task}": [\n' + ",\n".join(json.dumps(case) for case in of) + "\n]" for task, of in cases.items()]
    (HERE / "metrics.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


def arrays() -> None:
    """Write arrays of every kind."""
    numbers = np.arange(24).reshape(2, 3, 4)
    kinds = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
    every = {kind: (numbers % 2 if kind == "b1" else numbers).astype(kind) for kind in kinds}
    every |= {"fortran": np.asfortranarray(numbers.astype("f4")), "scalar": np.array(7), "empty": np.zeros((0, 3))}
    every |= {"text": np.array(["a", "Grüße", "", "\U0001f600"]), "bytes": np.array([b"a", b"bc"])}
    every |= {"inputs/x:0": np.arange(2.0), "vector": np.asfortranarray(np.arange(3, dtype="i4"))}
    np.savez(HERE / "stored.npz", **every)
    np.savez_compressed(HERE / "deflated.npz", **every)
    np.savez(HERE / "pickled.npz", labels=np.array(["a", 1, None], dtype=object))
    np.savez(HERE / "fields.npz", labels=np.zeros(2, dtype=[("a", "i4"), ("b", "f4")]))
    np.savez(HERE / "big_endian.npz", labels=np.arange(3, dtype=">i4"))
    np.savez(HERE / "dates.npz", labels=np.array(["2026-01-01"], dtype="M8[D]"))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    references()
    arrays()
