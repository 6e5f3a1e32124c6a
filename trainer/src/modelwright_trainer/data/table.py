"""In go columns as they were read, out comes a `Table`, or what is wrong with them and where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.config import Inputs, Run
from modelwright_trainer.failure import Reason, RunError, did_you_mean, listed
from modelwright_trainer.table import Column, Table, places

from .labels import as_labels, find_lost_zeros
from .raw import refuse_nul

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .raw import Raw

MOST_INPUTS: Final = 256
OUTPUT_NAMES: Final = ("label", "probabilities", "prediction")


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
    # The past of the label alone is enough to forecast it.
    if not features and run.data.window is None:
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
    single = run.data.single_input
    if run.data.is_table:
        (_refuse_texts if single else _refuse_inputs)(columns)
    labels, unlabelled = as_labels(raw.columns[label], run, raw)
    notes = find_lost_zeros(run, raw)
    return Table(columns, labels, unlabelled, raw.files, single, raw.left_out, raw.tests, notes)


def _as_column(name: str, values: NDArray[Any], raw: Raw) -> NDArray[Any]:
    if values.dtype == object:
        refuse_nul(f"column {name!r}", values, raw)
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


def _refuse_texts(columns: tuple[Column, ...]) -> None:
    """Refuse what cannot be part of one input of numbers."""
    texts = [f"{column.name!r}{column.note}" for column in columns if column.is_text]
    if texts:
        message = (
            f"data.inputs is {Inputs.MATRIX}, one input of numbers, and column {listed(texts, 5)} is text: turn it to "
            f"numbers, take it out, or leave data.inputs away, so that each column is an input by its name"
        )
        raise RunError(Reason.TEXT_COLUMN, message)


def _refuse_inputs(columns: tuple[Column, ...]) -> None:
    """Refuse what cannot be one input for each column."""
    if len(columns) > MOST_INPUTS:
        texts = [column.name for column in columns if column.is_text]
        told = f", of which {len(texts)} are text ({listed(texts, 3)})" if texts else ""
        do = "turn the text to numbers and give data.inputs: Matrix" if texts else "give data.inputs: Matrix"
        message = (
            f"there are {len(columns)} columns{told}: each column becomes an input of the model, at most "
            f"{MOST_INPUTS}; {do}, so that all are one input of numbers, or remove columns"
        )
        raise RunError(Reason.TOO_MANY_COLUMNS, message)
    for column in columns:
        if column.name in OUTPUT_NAMES:
            message = (
                f"column {column.name!r} has the name of an output of the model ({listed(OUTPUT_NAMES)}): rename it, "
                "or give data.inputs: Matrix"
            )
            raise RunError(Reason.UNSUPPORTED_COLUMN, message)
