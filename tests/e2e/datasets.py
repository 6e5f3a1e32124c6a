"""Write scikit-learn's own data sets as files, for the tests on a cluster.

In: a folder to fill. Out, in that folder: a CSV for each data set, with a line of names, and the truth in the last
column; and what the examples train on: `breast-cancer.csv`, `digits.npz`, `diabetes.parquet`.
"""

from __future__ import annotations

import csv
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
from sklearn import datasets

LABELS = {
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "digits": "digit",
    "iris": "species",
    "wine": "cultivar",
}
# Data sets whose labels are words.
NAMED = {"breast_cancer", "iris"}


def rows(name: str) -> tuple[list[str], list[list[Any]]]:
    """Give the names of the columns, and the rows."""
    data = getattr(datasets, f"load_{name}")()
    features = [str(feature).replace(" (cm)", "").replace(" ", "_") for feature in data.feature_names]
    truth = [str(data.target_names[label]) for label in data.target] if name in NAMED else data.target.tolist()
    return [*features, LABELS[name]], [[*row, label] for row, label in zip(data.data.tolist(), truth, strict=True)]


def main() -> None:
    """Write every data set."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in LABELS:
        header, lines = rows(name)
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *lines])
    shutil.copy(folder / "breast_cancer.csv", folder / "breast-cancer.csv")
    digits = datasets.load_digits()
    np.savez(folder / "digits.npz", images=digits.data.astype(np.float32), digit=digits.target)
    # With ages in years, and the sexes as the source numbers them.
    diabetes = datasets.load_diabetes(scaled=False)
    columns = {name: diabetes.data[:, index] for index, name in enumerate(diabetes.feature_names)}
    columns["sex"] = np.array([str(int(number)) for number in columns["sex"]])
    pyarrow.parquet.write_table(pa.table(columns | {LABELS["diabetes"]: diabetes.target}), folder / "diabetes.parquet")


if __name__ == "__main__":
    main()
