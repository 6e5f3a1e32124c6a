"""Write scikit-learn's own data sets as CSV, for the tests on a cluster.

In: a folder to fill. Out, in that folder: a file for each data set, with a line of names, and the truth in the last
column.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

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


if __name__ == "__main__":
    main()
