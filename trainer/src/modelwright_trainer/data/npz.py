"""In goes one `.npz`, out come its arrays: as columns `x0`, `x1`, … of a table, or as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_trainer.archive import read_archive
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.room import Room

from .raw import Raw, is_beyond_exact

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from modelwright_trainer.material import Arrays


@dataclass(frozen=True)
class Labelled:
    """Arrays of one row each, with the label as a column of its own."""

    arrays: Arrays
    label: Raw
    room: NDArray[np.int64]
    """For each row how long its own file's second axis is."""


def read_npz(files: list[list[Path]], label: str) -> Raw:
    """Read a table; each number of a row becomes a column."""
    found = read_arrays(files, label)
    (name, features), *others = found.arrays.items()
    if others:
        message = (
            f"{files[0][0].name} must hold two arrays, the label {label!r} and the features; it holds "
            f"{listed([label, *found.arrays])}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    if not features.shape[1:] or features.dtype.kind not in "biuf":
        message = (
            f"array {name!r} must be numbers of shape (rows, …), and is {features.dtype} of shape {features.shape}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    flat = features.reshape(len(features), -1) if len(features) else np.zeros((0, 1))
    flat = flat.view(np.uint8) if flat.dtype.kind == "b" else flat
    columns: dict[str, NDArray[Any]] = {f"x{index}": flat[:, index] for index in range(flat.shape[1])}
    if label in columns:
        raise RunError(Reason.UNREADABLE_DATA, f"array {label!r} has the name of a feature: rename it")
    return Raw(columns | found.label.columns, found.label.files, tests=found.label.tests)


def read_arrays(files: list[list[Path]], label: str, lengths: str | None = None) -> Labelled:
    """Read one file for each list, and join their arrays: those of a test set of one's own come last.

    Where all have an array of `lengths`, the others' second axis is filled up with zeros to that of the longest.
    """
    parts = [_read_file(of_part, label) for of_part in files]
    room = np.concatenate([np.full(len(part[label]), _room(part, {label, lengths})) for part in parts])
    if lengths is not None and all(lengths in part for part in parts):
        parts = [_fill_up(part, parts, {lengths, label}) for part in parts]
    first = parts[0]
    for other in parts[1:]:
        _refuse_differences(first, other)
    names = [name for name in first if name != label]
    arrays = {name: _join([part[name] for part in parts]) for name in names}
    labels = _join([part[label] for part in parts])
    if labels.dtype.kind == "U":
        labels = labels.astype(object)
    elif not (labels.dtype.kind in "iu" and is_beyond_exact(labels)):
        labels = labels.astype(np.float64)
    names = [files[0][0].name, *(f"data.test's {part[0].name}" for part in files[1:])]
    origin = tuple((name, len(part[label])) for name, part in zip(names, parts, strict=True))
    return Labelled(arrays, Raw({label: labels}, origin, tests=sum(rows for _, rows in origin[1:])), room)


def _room(part: Arrays, left: set[str | None]) -> int:
    return max((values.shape[1] for name, values in part.items() if name not in left and values.ndim > 1), default=0)


def _fill_up(part: Arrays, parts: list[Arrays], left: set[str]) -> Arrays:
    found: Arrays = {}
    for name, values in part.items():
        longest = max((one[name].shape[1] for one in parts if name in one and one[name].ndim > 1), default=0)
        if name in left or values.ndim == 1 or values.shape[1] == longest:
            found[name] = values
        else:
            room = [(0, 0), (0, longest - values.shape[1]), *[(0, 0)] * (values.ndim - 2)]
            found[name] = np.pad(values, room)
    return found


def _join(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _read_file(files: list[Path], label: str) -> Arrays:
    if len(files) > 1:
        names = listed([path.name for path in files])
        raise RunError(Reason.UNREADABLE_DATA, f"an NPZ is one file, and there are {len(files)}: {names}")
    arrays = _load(files[0])
    if label not in arrays:
        hint = did_you_mean(label, arrays)
        message = f"data.label is {label!r}, and there is no such array among {listed(list(arrays))}{hint}"
        raise RunError(Reason.NO_LABEL_COLUMN, message)
    if len(arrays) == 1:
        message = f"{files[0].name} must hold two arrays, the label {label!r} and the features; it holds {label} only"
        raise RunError(Reason.UNREADABLE_DATA, message)
    for name, values in arrays.items():
        is_label = name == label
        if values.dtype.kind not in ("biufU" if is_label else "biuf") or (
            values.ndim != 1 if is_label else not values.ndim
        ):
            what = "numbers or text of shape (rows,)" if is_label else "numbers of shape (rows, …)"
            is_now = f"and is {values.dtype} of shape {values.shape}"
            raise RunError(Reason.UNREADABLE_DATA, f"array {name!r} must be {what}, {is_now}: write it so")
    if len({len(values) for values in arrays.values()}) > 1:
        counts = listed([f"{name} {len(values)}" for name, values in sorted(arrays.items())])
        message = f"{files[0].name} has arrays of different rows: {counts}; write one of each for every row"
        raise RunError(Reason.UNREADABLE_DATA, message)
    return arrays


def _refuse_differences(ours: Arrays, tests: Arrays) -> None:
    """Refuse a test set of other arrays."""
    for name in sorted({*ours, *tests}):
        if name not in ours or name not in tests:
            where = "data.test" if name not in tests else "the training data"
            raise RunError(
                Reason.UNREADABLE_DATA, f"array {name!r} is missing in {where}: both must hold the same arrays"
            )
        one, other = ours[name], tests[name]
        if one.shape[1:] != other.shape[1:] or (one.dtype.kind == "U") != (other.dtype.kind == "U"):
            message = (
                f"array {name!r} is {other.dtype} of shape {other.shape} in data.test, and {one.dtype} of shape "
                f"{one.shape} in the training data: rows must have the same shape"
            )
            raise RunError(Reason.UNREADABLE_DATA, message)


def _bounded(values: NDArray[Any], room: Room) -> NDArray[Any]:
    """Refuse very many rows without content, which cost nothing until somebody looks at them."""
    if values.nbytes == 0 and values.ndim:
        room.take(len(values) * np.dtype(object).itemsize)
    return values


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        room = Room(path.name)
        return {name: _bounded(values, room) for name, values in read_archive(path, room).items()}
    except MemoryError as error:
        message = f"{path.name} has an array that says it is larger than this container's memory ({error})"
        raise RunError(Reason.TOO_LARGE, f"{message}: write it again, or give less data") from error
    except (ValueError, OSError) as error:
        message = (
            f"{path.name} is no NPZ file that can be read: {error}; expected arrays of numbers or text, "
            "features and labels, without pickled objects"
        )
        raise RunError(Reason.UNREADABLE_DATA, message) from error
