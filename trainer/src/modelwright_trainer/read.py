"""In goes the description of the data, out comes a `Table`, or what is wrong with the files and where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .config import ColumnType, DataFormat, Run, Task
from .failure import Reason, RunError, did_you_mean, listed
from .raw import LARGEST_EXACT, MISSING
from .read_csv import read_csv
from .read_npz import read_npz
from .read_parquet import read_parquet
from .table import Column, Table, places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .raw import Raw

MOST_INPUTS: Final = 256
OUTPUT_NAMES: Final = ("label", "probabilities", "prediction")


def read_table(run: Run) -> Table:
    """Read all files of the run."""
    files = find_files(Path(run.data.directory), run.data.format)
    texts = frozenset(check.name for check in run.checks.columns if check.type is ColumnType.TEXT)
    if run.data.format is DataFormat.NPZ:
        raw = read_npz(files, run.data.label)
    elif run.data.format is DataFormat.CSV:
        raw = read_csv(files, texts, _named(run))
    else:
        raw = read_parquet(files, _named(run))
    return build_table(raw, run)


def _named(run: Run) -> frozenset[str]:
    """Return the columns that the run names: these are data, even where they are an index."""
    steps = (name for step in run.preprocess for name in step.columns)
    return frozenset([run.data.label, *(check.name for check in run.checks.columns), *steps])


def find_files(directory: Path, data_format: DataFormat) -> list[Path]:
    """Return the files of a folder by name; hidden ones and marks such as `_SUCCESS` are no data."""
    if not directory.is_dir():
        raise RunError(Reason.NO_DATA, f"data.directory {directory} is not there")
    found = sorted(
        path
        for path in directory.rglob("*")
        if path.is_file() and not any(part.startswith((".", "_")) for part in path.relative_to(directory).parts)
    )
    if not found:
        raise RunError(Reason.NO_DATA, f"data.directory {directory} holds no file; expected {data_format}")
    return found


def build_table(raw: Raw, run: Run) -> Table:
    """Part the label from the features, and bring both to the types of the graph."""
    label = run.data.label
    if label not in raw.columns:
        hint = did_you_mean(label, raw.columns)
        only = next(iter(raw.columns), "")
        if len(raw.columns) == 1 and any(mark in only for mark in ";\t|"):
            hint = "; the file is not separated by commas: write it as comma-separated values"
        message = f"data.label is {label!r}, and there is no such column among {listed(list(raw.columns))}{hint}"
        raise RunError(Reason.NO_LABEL_COLUMN, message)
    for name in raw.columns:
        if not name or not name.isprintable():
            raise RunError(
                Reason.UNSUPPORTED_COLUMN, f"a column has the name {name!r}, which cannot be printed: rename it"
            )
    features = {name: values for name, values in raw.columns.items() if name != label}
    if not features:
        hint = (
            f" (left out as an index: {listed(raw.left_out, 5)}; name it in preprocess to use it)"
            if raw.left_out
            else ""
        )
        raise RunError(
            Reason.NO_FEATURES, f"there is no column but the label {label!r}{hint}; there must be one to learn from"
        )
    if not raw.rows:
        raise RunError(Reason.NO_ROWS, f"{raw.files[0][0]} has {len(raw.columns)} columns and no row of data")
    columns = tuple(
        Column(
            name,
            _as_column(name, values, raw),
            raw.hint(name),
            None if values.dtype == object else values,
            raw.exact.get(name),
        )
        for name, values in features.items()
    )
    single = not any(column.is_text for column in columns)
    if not single:
        _refuse_inputs(columns)
    labels, unlabelled = _as_labels(raw.columns[label], run, raw)
    return Table(columns, labels, unlabelled, raw.files, single, raw.left_out)


def _as_column(name: str, values: NDArray[Any], raw: Raw) -> NDArray[Any]:
    if values.dtype == object:
        return values
    with np.errstate(over="ignore"):
        # Adding 0 makes the two zeros one.
        numbers = values.astype(np.float32) + np.float32(0)
    infinite = np.isinf(numbers)
    if infinite.any():
        where = places(np.flatnonzero(infinite), raw.files)
        message = f"column {name!r} has {infinite.sum()} values that FP32 cannot hold, in {where}: remove or mend them"
        raise RunError(Reason.NOT_FINITE, message)
    return numbers


def _refuse_inputs(columns: tuple[Column, ...]) -> None:
    """Refuse what cannot be one input for each column."""
    if len(columns) > MOST_INPUTS:
        texts = [column.name for column in columns if column.is_text]
        message = (
            f"there are {len(columns)} columns, of which {len(texts)} are text ({listed(texts, 3)}): with text each "
            f"column becomes an input of the model, at most {MOST_INPUTS}; turn the text to numbers, or remove columns"
        )
        raise RunError(Reason.TOO_MANY_COLUMNS, message)
    for column in columns:
        if column.name in OUTPUT_NAMES:
            message = (
                f"column {column.name!r} has the name of an output of the model ({listed(OUTPUT_NAMES)}): rename it"
            )
            raise RunError(Reason.UNSUPPORTED_COLUMN, message)


def _as_labels(values: NDArray[Any], run: Run, raw: Raw) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return labels by task, and which of them are missing."""
    name = run.data.label
    if run.task is Task.REGRESSION:
        if values.dtype == object:
            message = f"data.label {name!r} is text{raw.hint(name)}, and a Regression needs numbers"
            raise RunError(Reason.INVALID_LABEL, message)
        numbers = values.astype(np.float64)
        if np.isinf(numbers).any():
            raise RunError(
                Reason.NOT_FINITE,
                f"data.label {name!r} is infinite in {places(np.flatnonzero(np.isinf(numbers)), raw.files)}",
            )
        return numbers, np.isnan(numbers)
    if values.dtype == object:
        return _as_texts(values, run)
    if values.dtype.kind in "iu":
        return _as_int64(values, run, raw), np.zeros(len(values), dtype=bool)
    numbers = values.astype(np.float64)
    missing = np.isnan(numbers)
    if name in raw.exact:
        labels = np.zeros(len(numbers), dtype=np.int64)
        labels[~missing] = _as_int64(raw.exact[name], run, raw)
        return labels, missing
    broken = ~missing & ((np.floor(numbers) != numbers) | (np.abs(numbers) >= float(LARGEST_EXACT)))
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        message = (
            f"data.label {name!r} has {broken.sum()} values that are no whole numbers, such as {numbers[first]:g} in "
            f"{places(np.flatnonzero(broken), raw.files)}: a Classification needs whole numbers or text; is the task a "
            "Regression?"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    return np.where(missing, 0, numbers).astype(np.int64), missing


def _as_texts(values: NDArray[Any], run: Run) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return labels of text. What marks a missing number marks a missing label, unless a check says that it is text."""
    is_text = any(check.name == run.data.label and check.type is ColumnType.TEXT for check in run.checks.columns)
    marks = ("",) if is_text else ("", *MISSING)
    missing = np.array([value.strip() in marks for value in values.tolist()], dtype=bool)
    return np.where(missing, "", values), missing


def _as_int64(values: NDArray[Any], run: Run, raw: Raw) -> NDArray[np.int64]:
    """Return labels that FP64 does not hold."""
    beyond = values > np.iinfo(np.int64).max
    if beyond.any():
        first = int(np.flatnonzero(beyond)[0])
        message = (
            f"data.label {run.data.label!r} has {beyond.sum()} values that INT64 cannot hold, such as {values[first]} "
            f"in {places(np.flatnonzero(beyond), raw.files)}: write them as text"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    return values.astype(np.int64)
