"""In go a table and its labels, out come sentences on what a user should know of them. They stop nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .failure import listed
from .table import Column, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from .tensors import Tensors

ROUNDING = 1e-15
"""Fractions that are as near to each other differ by rounding, and not by what they mean."""
FEWEST_PER_CLASS = 3
"""Rows of each class on average, for a column that tells them one by one to be strange."""
SHOWN = 3


def find_in_table(table: Table | Tensors, label: str, truth: NDArray[Any], classes: NDArray[Any]) -> Iterator[str]:
    """Say what is strange. `truth` are numbers of `classes`, or without these the numbers to predict."""
    telling = [column.name for column in table.columns if _tells(column, truth, len(classes))]
    if telling:
        yield (
            f"column {listed([repr(name) for name in telling], SHOWN)} tells the label {label!r} one to one: take it "
            "out if it is not known when the model is asked"
        )
    # What a regression answers is FP32, too.
    answered = () if len(classes) else (Column(label, truth),)
    yield from find_merged((*table.columns, *answered))
    if table.left_out:
        where = "preprocess or in checks" if isinstance(table, Table) else "checks"
        yield (
            f"left out as an index: {listed([repr(name) for name in table.left_out], SHOWN)}; to learn from it, name "
            f"it in {where}"
        )


def find_merged(columns: Iterable[Column]) -> Iterator[str]:
    """Say where FP32 makes one of values that differ as they are written, in one sentence."""
    merged = sorted(filter(None, map(_find_merged, columns)), reverse=True)
    if merged:
        yield (
            "FP32, which the model takes and gives, does not tell all values apart: "
            f"{'; '.join(words for _, words in merged[:SHOWN])}"
            f"{f'; and {len(merged) - SHOWN} more columns' if len(merged) > SHOWN else ''}. Subtract an offset, take "
            "parts such as the hour, or give ids as text"
        )


def _tells(column: Column, truth: NDArray[Any], classes: int) -> bool:
    """Whether a column is the label in other words: of a regression the same numbers, of a classification any."""
    values = column.as_written
    if not classes:
        return not column.is_text and bool(np.array_equal(values, truth))
    if len(truth) < FEWEST_PER_CLASS * classes:
        return False
    _, first = np.unique(truth, return_index=True)
    words = values[first]
    same = values == words[truth]
    if not column.is_text:
        same |= np.isnan(values) & np.isnan(words[truth])
    return bool(np.all(same)) and len(np.unique(words)) == classes


def _find_merged(column: Column) -> tuple[float, str] | None:
    """Return which share of a column's values FP32 merges with others, and how to say it."""
    if column.is_text:
        return None
    values = column.as_written if column.exact is None else column.exact
    if values.dtype.itemsize <= np.dtype(np.float16).itemsize or values.dtype == np.float32 or _is_exact(values):
        return None
    values = np.unique(values[~np.isnan(values)])
    if values.dtype.kind == "f" and len(values):
        whole = np.floor(values) == values
        apart = (np.diff(values) > ROUNDING * np.abs(values[1:])) | (whole[1:] & whole[:-1])
        values = values[np.concatenate([[True], apart])]
    single = values.astype(np.float32)
    merged = np.flatnonzero(single[1:] == single[:-1])
    if not len(merged):
        return None
    low, high = (_shown(one) for one in values[merged[0] : merged[0] + 2])
    left = len(values) - len(merged)
    words = f"{column.name!r} has {len(values)} different values and {left} in FP32, where {low} and {high} are one"
    return len(merged) / len(values), words


def _is_exact(values: NDArray[Any]) -> bool:
    """Whether FP32 holds every value as it is."""
    if values.dtype.kind in "iu":
        return bool(np.abs(values.astype(np.float64)).max(initial=0) <= 1 / np.finfo(np.float32).epsneg)
    return bool(np.array_equal(values.astype(np.float32), values, equal_nan=True))


def _shown(number: Any) -> str:
    whole = int(number)
    return str(whole) if whole == number else repr(float(number))
