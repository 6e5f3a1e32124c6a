"""In goes one `.npz` of two arrays, out come its columns `x0`, `x1`, … and the label."""

from __future__ import annotations

import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from .failure import Reason, RunError, did_you_mean, listed
from .raw import Raw, is_beyond_exact

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def read_npz(files: list[Path], label: str) -> Raw:
    """Read the arrays; each feature of a row becomes a column."""
    if len(files) > 1:
        names = listed([path.name for path in files])
        raise RunError(Reason.UNREADABLE_DATA, f"an NPZ is one file, and there are {len(files)}: {names}")
    path = files[0]
    arrays = _load(path)
    if label not in arrays:
        hint = did_you_mean(label, arrays)
        message = f"data.label is {label!r}, and there is no such array among {listed(list(arrays))}{hint}"
        raise RunError(Reason.NO_LABEL_COLUMN, message)
    others = [name for name in arrays if name != label]
    if len(others) != 1:
        message = (
            f"{path.name} must hold two arrays, the label {label!r} and the features; it holds {listed(list(arrays))}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    features, labels = arrays[others[0]], arrays[label]
    if not features.shape[1:] or features.dtype.kind not in "biuf":
        message = (
            f"array {others[0]!r} must be numbers of shape (rows, …), and is {features.dtype} of shape {features.shape}"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)
    if labels.shape != (len(features),) or labels.dtype.kind not in "biufU":
        is_now = f"and is {labels.dtype} of shape {labels.shape}"
        message = f"array {label!r} must be numbers or text of shape ({len(features)},), {is_now}"
        raise RunError(Reason.UNREADABLE_DATA, message)
    flat = features.reshape(len(features), -1) if len(features) else np.zeros((0, 1))
    flat = flat.view(np.uint8) if flat.dtype.kind == "b" else flat
    columns: dict[str, NDArray[Any]] = {f"x{index}": flat[:, index] for index in range(flat.shape[1])}
    if label in columns:
        raise RunError(Reason.UNREADABLE_DATA, f"array {label!r} has the name of a feature: rename it")
    if labels.dtype.kind == "U":
        columns[label] = labels.astype(object)
    else:
        exact = labels.dtype.kind in "iu" and is_beyond_exact(labels)
        columns[label] = labels if exact else labels.astype(np.float64)
    return Raw(columns, ((path.name, len(features)),))


def _load(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise RunError(
                    Reason.UNREADABLE_DATA, f"{path.name} is a single array; an NPZ holds two, features and labels"
                )
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        message = (
            f"{path.name} is no NPZ file that can be read: {error}; expected arrays of numbers or text, without "
            "pickled objects"
        )
        raise RunError(Reason.UNREADABLE_DATA, message) from error
