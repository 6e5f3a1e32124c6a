"""In go labels as they were read, out come labels by task, and which of them are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from modelwright_trainer.config import ColumnType, Run, Task
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.table import places

from .raw import LARGEST_EXACT, MISSING, refuse_nul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .raw import Raw


def as_labels(values: NDArray[Any], run: Run, raw: Raw) -> tuple[NDArray[Any], NDArray[np.bool_]]:
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
        return _as_texts(values, run, raw)
    if values.dtype.kind in "iu":
        return _as_int64(values, run, raw), np.zeros(len(values), dtype=bool)
    numbers = values.astype(np.float64)
    missing = np.isnan(numbers)
    if name in raw.exact:
        labels = np.zeros(len(numbers), dtype=np.int64)
        labels[~missing] = _as_int64(raw.exact[name], run, raw)
        return labels, missing
    beyond = ~missing & (np.abs(numbers) >= float(LARGEST_EXACT)) & np.isfinite(numbers)
    if beyond.any():
        message = (
            f"data.label {name!r} has {beyond.sum()} values that INT64 or their own type does not hold exactly, "
            f"such as {numbers[np.flatnonzero(beyond)[0]]:g} in {places(np.flatnonzero(beyond), raw.files)}: write "
            "them as text, in CSV with a column check of type Text"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    broken = ~missing & (np.floor(numbers) != numbers) | np.isinf(numbers)
    if broken.any():
        first = int(np.flatnonzero(broken)[0])
        message = (
            f"data.label {name!r} has {broken.sum()} values that are no whole numbers, such as {numbers[first]:g} in "
            f"{places(np.flatnonzero(broken), raw.files)}: a Classification needs whole numbers or text; is the task a "
            "Regression?"
        )
        raise RunError(Reason.INVALID_LABEL, message)
    return np.where(missing, 0, numbers).astype(np.int64), missing


def is_meant_as_text(run: Run) -> bool:
    """Whether a check says that labels are text, whatever they look like."""
    return any(check.name == run.data.label and check.type is ColumnType.TEXT for check in run.checks.columns)


def find_lost_zeros(run: Run, raw: Raw) -> tuple[str, ...]:
    """Say that classes are written with zeros before them, which they lose as numbers."""
    label = run.data.label
    if run.task is not Task.CLASSIFICATION or label not in raw.zeros:
        return ()
    words = f"data.label {label!r} is read as numbers, and {raw.zeros[label]}"
    return (f"{words}; a column check of type Text keeps them as they are written",)


def _as_texts(values: NDArray[Any], run: Run, raw: Raw) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Return labels of text. What marks a missing number marks a missing label, unless a check says that it is text."""
    refuse_nul(f"data.label {run.data.label!r}", values, raw)
    marks = ("",) if is_meant_as_text(run) else ("", *MISSING)
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
