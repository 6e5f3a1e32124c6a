"""In go sequences of numbers, out come tensors (rows, time, channels), and lengths where these differ.

Behind a sequence's end there are zeros; what they mean is told by `lengths` and by nothing else.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.findings import find_merged
from modelwright_trainer.material import Kind
from modelwright_trainer.table import Column, places
from modelwright_trainer.tensors import Tensors

from .labels import as_labels
from .npz import read_arrays
from .parquet import read_lists

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from modelwright_trainer.config import Run
    from modelwright_trainer.material import Arrays
    from modelwright_trainer.table import Table

    from .raw import Raw

RANK: Final = 3
LENGTHS: Final = "lengths"
LARGEST_ORDER: Final = 2**53


def read_sequence_array(files: list[list[Path]], run: Run) -> Tensors:
    """Read an NPZ with an array (rows, T, C) or (rows, T), and where lengths differ an array `lengths` (rows,)."""
    found = read_arrays(files, run.data.label, LENGTHS)
    lengths = found.arrays.pop(LENGTHS, None)
    names = list(found.arrays)
    if len(names) != 1:
        message = (
            f"an NPZ of sequences holds the label, an array (rows, T, C), and perhaps {LENGTHS!r}; it holds "
            f"{listed([run.data.label, *names])}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    values = found.arrays[names[0]]
    if values.ndim not in (RANK - 1, RANK) or not all(values.shape[1:]):
        message = (
            f"array {names[0]!r} must be sequences of shape (rows, T, channels), and is of shape {values.shape}: write "
            "the steps of all rows into one array"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    if lengths is not None:
        _refuse_no_whole_numbers(lengths, found.label)
    if not len(values):
        raise RunError(Reason.NO_ROWS, f"{found.label.files[0][0]} holds no sequence")
    padded = values.reshape(len(values), values.shape[1], -1)
    channels = tuple(f"x{index}" for index in range(padded.shape[2]))
    if lengths is not None:
        wrong = (lengths.astype(np.float64) < 0) | (lengths > found.room)
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            message = (
                f"array {LENGTHS!r} has {wrong.sum()} values outside 0 to {found.room[first]}, the T of {names[0]!r}, "
                f"such as {lengths[first]} in {places(np.flatnonzero(wrong), found.label.files)}: a length says how "
                "many of the T steps are the row's; write those that are there, or make T longer"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        lengths = lengths.astype(np.int64)
        if not lengths.any():
            message = (
                f"array {LENGTHS!r} is 0 in all {len(lengths)} rows: there must be a step in one of them to learn from"
            )
            raise RunError(Reason.NO_ROWS, message)
    return _as_tensors(padded, lengths, channels, found.label, run)


def _refuse_no_whole_numbers(lengths: NDArray[Any], label: Raw) -> None:
    if lengths.ndim == 1 and lengths.dtype.kind in "iu":
        return
    example = ""
    if lengths.size:
        is_part = lengths.dtype.kind == "f" and lengths.ndim == 1
        parts = np.flatnonzero(lengths != np.floor(lengths)) if is_part else np.zeros(0, np.intp)
        where = f" in {places(parts, label.files)}" if len(parts) else ""
        example = f", such as {lengths.ravel()[parts[0] if len(parts) else 0]}{where}"
    message = (
        f"array {LENGTHS!r} is {lengths.dtype} of shape {lengths.shape}{example}; expected whole numbers of shape "
        "(rows,), the steps of each row: write it as int64"
    )
    raise RunError(Reason.UNREADABLE_DATA, message)


def read_sequence_lists(files: list[list[Path]], run: Run) -> Tensors:
    """Read Parquet: each column but the label holds lists of numbers, one channel; or one column lists of lists."""
    own = len(files[0])
    label = run.data.label
    raw, columns = read_lists([path for part in files for path in part], label)
    origin = [*raw.files[:own], *((f"data.test's {name}", rows) for name, rows in raw.files[own:])]
    raw = replace(raw, files=tuple(origin), tests=sum(rows for _, rows in origin[own:]))
    names = list(columns)
    if not names:
        raise RunError(Reason.NO_FEATURES, f"there is no column but the label {label!r}; there must be one of lists")
    rows = [_as_rows(name, columns[name], raw, alone=len(names) == 1) for name in names]
    counts = np.array([[len(one) for one in column] for column in rows], dtype=np.int64)
    uneven = (counts != counts[0]).any(axis=0)
    if uneven.any():
        first = int(np.flatnonzero(uneven)[0])
        other = int(np.flatnonzero(counts[:, first] != counts[0, first])[0])
        message = (
            f"columns {names[0]!r} and {names[other]!r} have lists of {counts[0, first]} and {counts[other, first]} "
            f"numbers in {places(np.flatnonzero(uneven), raw.files)}: the channels of a sequence have the same length"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    joined = [np.concatenate([column[row] for column in rows], axis=1) for row in range(len(rows[0]))]
    channels = tuple(names) if len(names) > 1 else tuple(f"{names[0]}{index}" for index in range(joined[0].shape[1]))
    return _as_tensors(*_pad(joined), channels, raw, run)


def arrange_sequences(table: Table, run: Run) -> Tensors:
    """Make a sequence of all rows of a long table that have the same id, in the order that another column says."""
    asked = run.data.sequences
    by_name = {column.name: column for column in table.columns}
    names = [asked.id or "", asked.order or ""] if asked else []
    for field, name in zip(("id", "order"), names, strict=False):
        if name not in by_name:
            message = (
                f"data.sequences.{field} is {name!r}, and there is no such column{did_you_mean(name, by_name)}; there "
                f"are {listed(list(by_name))}"
            )
            raise RunError(Reason.NO_FEATURES, message)
    keys, order = (by_name[name] for name in names)
    channels = [column for column in table.columns if column.name not in names]
    _refuse_columns(keys, order, channels, table)
    _, members = np.unique(keys.as_written, return_inverse=True)
    # A test set of one's own may count its sequences anew.
    own = table.rows - table.tests
    members = members + (np.arange(table.rows) >= own) * (members.max() + 1)
    _, first, members = np.unique(members, return_index=True, return_inverse=True)
    # Sequences stay in the order in which they begin.
    number = np.argsort(np.argsort(first))[members]
    steps = order.as_written.astype(np.float64)
    found = np.lexsort((steps, number))
    ends = np.flatnonzero(np.diff(number[found])) + 1
    runs = np.split(found, ends)
    for rows in runs:
        _refuse_order(rows, steps, keys, order.name, table)
    heads = np.array([rows[0] for rows in runs])
    labels = table.labels
    other = labels != labels[heads][number]
    if other.any():
        key = keys.as_written[np.flatnonzero(other)[0]]
        message = (
            f"data.label {run.data.label!r} differs within the sequence {key!r}, in {table.places(other)}: each "
            "sequence has one label, in all its rows"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    values = np.column_stack([column.values for column in channels])
    files = (("sequences", len(runs)),)
    arrays = _as_arrays(*_pad([values[rows] for rows in runs]), files, run)
    return Tensors(
        Kind.SEQUENCES,
        arrays,
        labels[heads],
        np.zeros(len(runs), dtype=bool),
        files,
        tuple(column.name for column in channels),
        tests=int((heads >= own).sum()),
        notes=(*table.notes, *_find_notes(arrays, None, files), *find_merged(channels)),
        left_out=table.left_out,
    )


def _refuse_columns(keys: Column, order: Column, channels: list[Column], table: Table) -> None:
    if not channels:
        message = "there is no column but the label, data.sequences.id and order; there must be one to learn from"
        raise RunError(Reason.NO_FEATURES, message)
    for column in (keys, order, *channels):
        if column is not keys and column.is_text:
            message = (
                f"column {column.name!r}{column.note} is text, and steps of sequences are numbers: take it out, or "
                "turn it to numbers"
            )
            raise RunError(Reason.TEXT_COLUMN, message)
        if column.missing.any():
            missing = column.missing
            message = f"column {column.name!r} misses {missing.sum()} values, in {table.places(missing)}: fill them"
            raise RunError(Reason.MISSING_VALUES, message)
    if table.unlabelled.any():
        message = f"{table.unlabelled.sum()} rows have no label, in {table.places(table.unlabelled)}"
        raise RunError(Reason.MISSING_LABEL, message)
    steps = order.as_written.astype(np.float64)
    broken = (np.floor(steps) != steps) | (np.abs(steps) >= LARGEST_ORDER)
    if broken.any():
        first = steps[np.flatnonzero(broken)[0]]
        what = "beyond 2^53" if np.floor(first) == first else "no whole numbers"
        message = (
            f"column {order.name!r}, data.sequences.order, has {broken.sum()} values that are {what}, such as "
            f"{first:g} in {table.places(broken)}: number the steps"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)


def _refuse_order(rows: NDArray[np.intp], steps: NDArray[np.float64], keys: Column, name: str, table: Table) -> None:
    """Refuse steps that are there twice, or are missing between others."""
    jumps = np.diff(steps[rows])
    wrong = np.flatnonzero(jumps != 1)
    if not len(wrong):
        return
    place = int(wrong[0])
    low, high = (int(one) for one in steps[rows][place : place + 2])
    words = f"the step {low} twice" if jumps[place] == 0 else f"no step between {low} and {high}"
    there = np.zeros(table.rows, dtype=bool)
    there[rows[place : place + 2]] = True
    message = (
        f"sequence {keys.as_written[rows[0]]!r} has {words} in column {name!r}, in {table.places(there)}: number the "
        "steps of a sequence one by one"
    )
    raise RunError(Reason.UNREADABLE_DATA, message)


def _as_rows(name: str, column: pa.ChunkedArray, raw: Raw, *, alone: bool) -> list[NDArray[np.float64]]:
    """Return the lists of a column, each of shape (length, channels)."""
    kind = column.type
    inner = kind.value_type if _is_list(kind) else None
    nested = inner is not None and _is_list(inner)
    number = inner.value_type if inner is not None and nested else inner
    if number is None or not _is_number(number) or (nested and not alone):
        message = (
            f"column {name!r} is of type {kind}; with data.sequences each column but the label holds lists of numbers, "
            "one channel (or there is one column, of lists of lists of numbers)"
        )
        raise RunError(Reason.UNSUPPORTED_COLUMN, message)
    found = []
    for index, value in enumerate(column.to_pylist()):
        one = np.array([] if value is None else value, dtype=object)
        try:
            numbers = np.array(one.tolist(), dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.full(1, np.nan)
        if value is None or np.isnan(numbers).any() or (nested and numbers.size and numbers.ndim != RANK - 1):
            where = places(np.array([index]), raw.files)
            words = "steps of different widths, or " if nested else ""
            raise RunError(Reason.MISSING_VALUES, f"column {name!r} has {words}a missing list or number in {where}")
        found.append(numbers.reshape(len(numbers), -1) if numbers.size else np.zeros((0, 1)))
    widths = {one.shape[1] for one in found if len(one)}
    if len(widths) > 1:
        raise RunError(
            Reason.UNREADABLE_DATA, f"column {name!r} has steps of different widths: {listed(sorted(widths))}"
        )
    width = widths.pop() if widths else 1
    return [one if len(one) else np.zeros((0, width)) for one in found]


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def _pad(rows: Sequence[NDArray[Any]]) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
    """Fill up with zeros; there are no lengths where all are equal."""
    lengths = np.array([len(one) for one in rows], dtype=np.int64)
    if not lengths.max():
        message = f"all {len(rows)} sequences are empty: there must be a step in one of them to learn from"
        raise RunError(Reason.NO_ROWS, message)
    if lengths.max() == lengths.min():
        return np.stack(rows), None
    padded = np.zeros((len(rows), int(lengths.max()), rows[0].shape[1]), dtype=rows[0].dtype)
    for index, one in enumerate(rows):
        padded[index, : len(one)] = one
    return padded, lengths


def _as_tensors(
    padded: NDArray[Any], lengths: NDArray[np.int64] | None, channels: tuple[str, ...], raw: Raw, run: Run
) -> Tensors:
    labels, unlabelled = as_labels(raw.columns[run.data.label], run, raw)
    arrays = _as_arrays(padded, lengths, raw.files, run)
    own = ... if lengths is None else np.arange(padded.shape[1])[np.newaxis, :] < lengths[:, np.newaxis]
    written = padded[own].reshape(-1, len(channels))
    notes = (
        *_find_notes(arrays, padded.shape[1] if lengths is not None else None, raw.files),
        *find_merged(Column(name, written[:, place]) for place, name in enumerate(channels)),
    )
    return Tensors(Kind.SEQUENCES, arrays, labels, unlabelled, raw.files, channels, tests=raw.tests, notes=notes)


def _find_notes(arrays: Arrays, room: int | None, files: tuple[tuple[str, int], ...]) -> tuple[str, ...]:
    """Say what of lengths nobody may have meant. `room`: how many steps they were given for, if they were given."""
    if LENGTHS not in arrays:
        return ()
    lengths, notes = arrays[LENGTHS], []
    if not lengths.all():
        empty = np.flatnonzero(lengths == 0)
        notes.append(
            f"{len(empty)} sequences have no step, in {places(empty, files)}: each counts as one step of zeros"
        )
    if lengths.min() == lengths.max():
        most = int(lengths[0])
        remedy = "leave out data.sequences.maxLength"
        if room is not None:
            remedy = f"{'cut the steps behind them and ' if most < room else ''}leave out the array {LENGTHS!r}"
        notes.append(
            f"all {len(lengths)} sequences have {most} steps, and the model takes `{LENGTHS}` all the same: {remedy} "
            "for one that takes none"
        )
    return tuple(notes)


def _as_arrays(
    padded: NDArray[Any], lengths: NDArray[np.int64] | None, files: tuple[tuple[str, int], ...], run: Run
) -> Arrays:
    """Return the tensors of the wire. With `maxLength` there is room for so many steps, and rows have lengths."""
    most = run.data.sequences.max_length if run.data.sequences else None
    if most is not None and lengths is None and padded.shape[1] != most:
        lengths = np.full(len(padded), padded.shape[1], dtype=np.int64)
    if most is not None and lengths is not None:
        if (lengths > most).any():
            long = np.flatnonzero(lengths > most)
            message = (
                f"data.sequences.maxLength is {most}, and {len(long)} sequences are longer, up to {lengths.max()} "
                f"steps, in {places(long, files)}: cut them, or allow more"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)
        room = np.zeros((len(padded), most, padded.shape[2]), dtype=padded.dtype)
        room[:, : padded.shape[1]] = padded[:, :most]
        padded = room
    with np.errstate(over="ignore"):
        numbers = padded.astype(np.float32)
    if lengths is not None:
        numbers[np.arange(numbers.shape[1])[np.newaxis, :] >= lengths[:, np.newaxis]] = 0
    broken = ~np.isfinite(numbers).all(axis=(1, 2))
    if broken.any():
        where = places(np.flatnonzero(broken), files)
        message = (
            f"{broken.sum()} sequences have values that are missing or that FP32 cannot hold, in {where}: mend them"
        )
        raise RunError(Reason.NOT_FINITE, message)
    return {"sequences": numbers} if lengths is None else {"sequences": numbers, LENGTHS: lengths}
