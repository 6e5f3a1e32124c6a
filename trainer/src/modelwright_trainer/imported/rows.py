"""In go data and what a model takes, out come its rows as the model takes them, or what of them does not fit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from modelwright_trainer.config import Checks, ColumnCheck, ColumnType, DataFormat, Inputs
from modelwright_trainer.data import arrange, find_files, read_columns, read_data
from modelwright_trainer.data.labels import as_labels
from modelwright_trainer.data.npz import read_arrays
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.log import log
from modelwright_trainer.table import places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from modelwright_trainer.config.run import Run
    from modelwright_trainer.data.raw import Raw
    from modelwright_trainer.material import Arrays

    from .order import Order
    from .ports import Port, Ports

    Files = tuple[tuple[str, int], ...]

COLUMN: Final = 2
"""Axes of a column: rows, and one value each."""


@dataclass(frozen=True)
class Rows:
    """All rows as the model takes them, and their labels."""

    inputs: Arrays
    """By the names of the model's inputs; text is objects."""
    labels: NDArray[Any]
    """INT64, text as objects, or the numbers of a regression."""
    unlabelled: NDArray[np.bool_]
    files: Files


def read_rows(order: Order, ports: Ports) -> Rows:
    """Read the data, and bring it to what the model takes."""
    texts = [port.name for port in ports.inputs if port.is_text]
    if ports.label is not None and ports.label.is_text:
        texts.append(order.data.label)
    # What the model takes as text is none of the numbers that it may look like.
    run = order.as_run(Checks(columns=tuple(ColumnCheck(name, ColumnType.TEXT) for name in texts)))
    data = run.data
    if data.is_table and data.format is not DataFormat.NPZ:
        return _read_table(run, ports)
    if data.is_table:
        found = read_arrays([find_files(Path(data.directory), data.format)], data.label)
        labels, unlabelled = as_labels(found.label.columns[data.label], run, found.label)
        return Rows(_fit_arrays(found.arrays, ports, found.label.files), labels, unlabelled, found.label.files)
    tensors = arrange(read_data(run), run)
    arrays = {} if not hasattr(tensors, "arrays") else tensors.arrays
    return Rows(_fit_arrays(arrays, ports, tensors.files), tensors.labels, tensors.unlabelled, tensors.files)


def _read_table(run: Run, ports: Ports) -> Rows:
    raw = read_columns([find_files(Path(run.data.directory), run.data.format)], run)
    label = run.data.label
    if label not in raw.columns:
        message = (
            f"data.label is {label!r}, and there is no such column among {listed(list(raw.columns))}"
            f"{did_you_mean(label, raw.columns)}"
        )
        raise RunError(Reason.NO_LABEL_COLUMN, message)
    if not raw.rows:
        raise RunError(Reason.NO_ROWS, f"{raw.files[0][0]} has {len(raw.columns)} columns and no row of data")
    columns = {name: values for name, values in raw.columns.items() if name != label}
    fit = _as_matrix if run.data.inputs is Inputs.MATRIX else _by_name
    inputs = fit(columns, ports, raw)
    labels, unlabelled = as_labels(raw.columns[label], run, raw)
    return Rows(inputs, labels, unlabelled, raw.files)


def _by_name(columns: Arrays, ports: Ports, raw: Raw) -> Arrays:
    """Give each input the column that has its name."""
    missing = [port for port in ports.inputs if port.name not in columns]
    if missing:
        first = missing[0]
        hint = did_you_mean(first.name, columns)
        if len(ports.inputs) == 1 and not hint:
            hint = "; set data.inputs to Matrix to give all columns as this one input, in their order"
        message = (
            f"the model takes {first}, and there is no such column among {listed(list(columns))}: with data.inputs "
            f"Columns, which is the default, each input is the column of its name{hint}"
        )
        _refuse(message)
    taken = {port.name for port in ports.inputs}
    if left := [name for name in columns if name not in taken]:
        log("warning", warning=f"columns that the model does not take are left out: {listed(left)}")
    found = {}
    for port in ports.inputs:
        if port.shape is not None and (len(port.shape) > COLUMN or port.shape[1:] not in {(), (1,), (-1,)}):
            _refuse(
                f"the model takes {port}, which is no column of one value a row: set data.inputs to Matrix to give all "
                "columns as one input, or give NPZ with an array of this name and shape"
            )
        what = f"column {port.name!r}{raw.hint(port.name)}"
        values = as_taken(what, columns[port.name], port, raw.files)
        found[port.name] = values if port.shape is not None and len(port.shape) == 1 else values.reshape(-1, 1)
    return found


def _as_matrix(columns: Arrays, ports: Ports, raw: Raw) -> Arrays:
    """Give one input all columns, in the order of the data."""
    if len(ports.inputs) != 1:
        _refuse(
            f"data.inputs is Matrix, one input of all columns, and the model takes {len(ports.inputs)}: "
            f"{listed(ports.inputs, 5)}; leave data.inputs out to give each the column of its name"
        )
    port = ports.inputs[0]
    texts = [f"{name!r}{raw.hint(name)}" for name, values in columns.items() if values.dtype == object]
    if texts and not port.is_text:
        _refuse(f"data.inputs is Matrix, and column {listed(texts, 5)} is text: turn it to numbers, or take it out")
    wide = port.shape[1] if port.shape is not None and len(port.shape) == COLUMN else None
    if (port.shape is not None and wide is None) or (wide not in {None, -1, len(columns)}):
        _refuse(
            f"data.inputs is Matrix, and the model takes {port}, while the data has {len(columns)} columns besides the "
            f"label: {listed(list(columns))}; give as many, in the model's order"
        )
    named = [as_taken(f"column {name!r}", values, port, raw.files) for name, values in columns.items()]
    return {port.name: np.column_stack(named)}


def _fit_arrays(arrays: Arrays, ports: Ports, files: Files) -> Arrays:
    """Give each input the array that has its name; a single one is for a single input, whatever both are called."""
    if len(arrays) == 1 and len(ports.inputs) == 1:
        arrays = {ports.inputs[0].name: next(iter(arrays.values()))}
    taken = {port.name: port for port in ports.inputs}
    if set(arrays) != set(taken):
        wrong = sorted(set(arrays) ^ set(taken))
        _refuse(
            f"the model takes {listed(ports.inputs, 5)}, and the data has {listed(sorted(arrays))} besides the label: "
            f"there must be an array for each input, by its name, and no other ({listed(wrong, 5)} differ)"
        )
    found = {}
    for name, values in arrays.items():
        port = taken[name]
        if port.shape is not None and not _has_shape(values.shape, port.shape):
            _refuse(
                f"the model takes {port} (-1: any size), and the array for it has the shape {list(values.shape)}: "
                "write it as the model takes it"
            )
        found[name] = as_taken(f"the array for {name!r}", values, port, files)
    return found


def _has_shape(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    sizes = zip(found[1:], expected[1:], strict=False)
    return len(found) == len(expected) and all(size in {-1, one} for one, size in sizes)


def as_taken(what: str, values: NDArray[Any], port: Port, files: Files) -> NDArray[Any]:
    """Bring values to the datatype of an input; what it cannot hold is refused."""
    if port.is_text != (values.dtype == object):
        holds, takes = ("numbers", "text") if port.is_text else ("text", port.word)
        _refuse(f"{what} holds {holds}, and the model takes {takes} there: write it so")
    if port.is_text:
        return values
    with np.errstate(over="ignore", invalid="ignore"):
        made = values.astype(port.dtype)
        lost = _find_lost(values, made)
    rows = lost.reshape(len(lost), -1).any(axis=1) if len(lost) else lost
    if rows.any():
        first = values[lost].ravel()[0]
        _refuse(
            f"{what} has values that {port.word}, which the model takes there, cannot hold, such as {first}, in "
            f"{places(np.flatnonzero(rows), files)}: write others, or take these rows out"
        )
    return made


def _find_lost(values: NDArray[Any], made: NDArray[Any]) -> NDArray[np.bool_]:
    """Say which values are others than they were, but for rounding."""
    if made.dtype.kind == "f":
        return np.asarray(np.isinf(made) & ~np.isinf(values), dtype=bool)
    if made.dtype.kind == "b":
        return np.asarray((values != 0) & (values != 1), dtype=bool)
    bounds = np.iinfo(made.dtype)
    beyond = ~((values >= bounds.min) & (values <= bounds.max))
    if values.dtype.kind == "f":
        # The largest integers are no floats, and the next float is beyond them.
        beyond |= (np.floor(values) != values) | (values >= float(bounds.max) + 1)
    return np.asarray(beyond, dtype=bool)


def _refuse(message: str) -> NoReturn:
    raise RunError(Reason.UNSUITABLE_DATA, message)
