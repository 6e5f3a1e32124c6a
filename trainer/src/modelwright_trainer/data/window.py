"""In goes a table in time order, out come windows over it, each with the value that follows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from modelwright_trainer.failure import Reason, RunError, listed
from modelwright_trainer.findings import find_merged
from modelwright_trainer.material import Kind
from modelwright_trainer.table import Column
from modelwright_trainer.tensors import Tensors

if TYPE_CHECKING:
    from modelwright_trainer.config import Run
    from modelwright_trainer.table import Indices, Table


def arrange_windows(table: Table, run: Run) -> Tensors:
    """Make a window of each run of `past` steps; its truth is the label `horizon` steps after the last of them."""
    window = run.data.window
    past, horizon = (1, 1) if window is None else (window.past, window.horizon)
    numbers = [column for column in table.columns if not column.is_text]
    texts = [column.name for column in table.columns if column.is_text]
    channels = [Column(run.data.label, table.labels.astype(np.float32)), *numbers]
    _refuse_missing(channels, table)
    # A test set of one's own is a series of its own.
    own = table.rows - table.tests
    first = np.concatenate([_starts(0, own, past + horizon), _starts(own, table.rows, past + horizon)])
    for name, steps in (("data", own), ("data.test", table.tests)):
        if steps < past + horizon and (name == "data" or table.tests):
            message = (
                f"{name} has {steps} rows, and a window takes {past + horizon} (data.window.past and horizon): give "
                "more rows, or look at fewer"
            )
            raise RunError(Reason.TOO_FEW_ROWS, message)
    series = np.column_stack([column.values for column in channels]).astype(np.float32)
    last = first + past + horizon - 1
    notes = (f"data.window takes columns of numbers; not learned from: {listed(texts)}",) if texts else ()
    return Tensors(
        Kind.WINDOW,
        {"past": series[first[:, np.newaxis] + np.arange(past)[np.newaxis, :]]},
        table.labels[last],
        np.zeros(len(first), dtype=bool),
        (("windows", len(first)),),
        tuple(column.name for column in channels),
        spans=(first, last),
        steps=own,
        tests=int((first >= own).sum()),
        notes=(*table.notes, *notes, *find_merged(numbers)),
        left_out=table.left_out,
    )


def _starts(first: int, end: int, length: int) -> Indices:
    return np.arange(first, max(first, end - length + 1))


def _refuse_missing(channels: list[Column], table: Table) -> None:
    for column in channels:
        missing = column.missing
        if missing.any():
            message = (
                f"column {column.name!r} misses {missing.sum()} of {table.rows} values, in {table.places(missing)}: a "
                "series for data.window has no gaps; fill them, or take these rows out"
            )
            raise RunError(Reason.MISSING_VALUES, message)
        if np.isinf(column.values).any():
            wrong = np.isinf(column.values)
            message = f"column {column.name!r} has values that FP32 cannot hold, in {table.places(wrong)}: mend them"
            raise RunError(Reason.NOT_FINITE, message)
