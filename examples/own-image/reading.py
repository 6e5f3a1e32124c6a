"""Reads what was fetched, CSV, NPZ or Parquet: out come features that are numbers, and labels."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyarrow import ArrowInvalid, parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray


class InputError(Exception):
    """The run ends, and a retry would end alike; `str()` is for people."""

    def __init__(self, reason: str, message: str) -> None:
        """Take one word in CamelCase, and what to do."""
        super().__init__(message)
        self.reason = reason


@dataclass
class Data:
    """What was fetched: features as the model takes them, and the truth."""

    names: list[str]
    features: NDArray[np.float32]
    labels: NDArray[Any]


def read_data(run: dict[str, Any]) -> Data:
    """Read every file as columns, and part the label from the features."""
    folder, form, label = Path(run["data"]["directory"]), run["data"]["format"], run["data"]["label"]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise InputError("NoData", f"there is no file in {folder}: data.uri must name one, or a folder with some")
    read = {"CSV": read_csv, "Parquet": read_parquet, "NPZ": read_npz}[form]
    tables = [read(path, label) for path in files]
    names = list(tables[0])
    for path, table in zip(files, tables, strict=True):
        if list(table) != names:
            raise InputError(
                "UnreadableData", f"{path.name} has other columns than {files[0].name}: make them the same"
            )
    if label not in names:
        raise InputError("NoLabelColumn", f"data.label {label!r} is none of the columns {', '.join(names)[:200]}")
    columns = {name: np.concatenate([table[name] for table in tables]) for name in names}
    labels = as_labels(columns.pop(label), label, run["task"])
    if not columns or not len(labels):
        raise InputError("NoRows", f"the data has {len(labels)} rows and {len(columns)} columns besides the label")
    with np.errstate(over="ignore"):
        features = np.column_stack([as_numbers(values, name) for name, values in columns.items()]).astype(np.float32)
    if np.isinf(features).any():
        column = list(columns)[int(np.isinf(features).any(axis=0).argmax())]
        raise InputError("NotFinite", f"column {column!r} has values that FP32 cannot hold: scale it, or take it out")
    return Data(list(columns), features, labels)


def read_csv(path: Path, _label: str) -> dict[str, NDArray[Any]]:
    """Read text, in a line of names and lines of values."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, *rows = (row for row in csv.reader(file, strict=True) if row)
    except (ValueError, csv.Error) as error:
        raise InputError("UnreadableData", f"{path.name} is no CSV with a line of names, in UTF-8: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InputError("UnreadableData", f"{path.name}, row {number}: {len(row)} values for {len(names)} columns")
    return {name: np.array([row[index] for row in rows], dtype=object) for index, name in enumerate(names)}


def read_parquet(path: Path, _label: str) -> dict[str, NDArray[Any]]:
    """Read numbers, booleans and text."""
    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise InputError("UnreadableData", f"{path.name} is no Parquet: {error}") from error
    return {name: table.column(name).to_numpy() for name in table.column_names}


def read_npz(path: Path, label: str) -> dict[str, NDArray[Any]]:
    """Read two arrays: the label, and features (rows, …)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError) as error:
        raise InputError("UnreadableData", f"{path.name} is no NPZ without pickled objects: {error}") from error
    labels = arrays.pop(label, None)
    if labels is None or len(arrays) != 1:
        raise InputError(
            "UnreadableData", f"{path.name} must have the array {label!r} and one other, with the features"
        )
    features = next(iter(arrays.values())).reshape(len(labels), -1)
    return {f"x{index}": values for index, values in enumerate(features.T)} | {label: labels}


def as_numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return a column's numbers, NaN where one is missing."""
    if values.dtype != object:
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for index, value in enumerate(values):
        try:
            numbers[index] = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError) as error:
            message = f"column {name!r} has {str(value)[:40]!r} in row {index + 1}: turn text into numbers first"
            raise InputError("TextColumn", message) from error
    return numbers


def as_labels(values: NDArray[Any], name: str, task: str) -> NDArray[Any]:
    """Return numbers for a Regression, whole numbers or text for a Classification."""
    try:
        numbers = as_numbers(values, name)
    except InputError as error:
        if task == "Regression" or any(value is None or value == "" for value in values):
            raise InputError("InvalidLabel", f"data.label: {error}; and no row may be without") from error
        return values.astype(str)
    if not np.isfinite(numbers).all():
        row = int(np.isfinite(numbers).argmin()) + 1
        raise InputError("InvalidLabel", f"data.label {name!r} is missing or infinite in row {row}: take such rows out")
    if task == "Regression":
        return numbers
    if (numbers != np.rint(numbers)).any():
        raise InputError("InvalidLabel", f"data.label {name!r} must be whole numbers or text for a Classification")
    return numbers.astype(np.int64)
