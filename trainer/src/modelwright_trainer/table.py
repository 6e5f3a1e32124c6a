"""What was read: columns of numbers or text, and the labels. Numbers are such as FP32 holds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .failure import listed
from .material import Kind

if TYPE_CHECKING:
    from typing import TypeAlias

    from numpy.typing import NDArray

    Numbers: TypeAlias = NDArray[np.float32]
    Texts: TypeAlias = NDArray[np.object_]
    Mask: TypeAlias = NDArray[np.bool_]
    Indices: TypeAlias = NDArray[np.intp]

SHOWN_ROWS: Final = 5


@dataclass(frozen=True)
class Column:
    """One feature. A missing number is NaN, a missing text is empty."""

    name: str
    values: Numbers | Texts
    note: str = ""
    """In brackets, what makes it text where numbers may have been meant."""
    written: NDArray[Any] | None = None
    """The values before they became FP32; nothing, once the data is checked."""
    exact: NDArray[Any] | None = None
    """Those that are there, where FP64 does not hold them."""

    @property
    def as_written(self) -> NDArray[Any]:
        """The values as the data has them, for checks."""
        return self.values if self.written is None else self.written

    @property
    def is_text(self) -> bool:
        """Whether it holds text."""
        return bool(self.values.dtype == object)

    @property
    def missing(self) -> Mask:
        """Which rows have no value."""
        return np.asarray(self.values == "", dtype=bool) if self.is_text else np.isnan(self.values)


@dataclass(frozen=True)
class Table:
    """Features and labels of all rows."""

    columns: tuple[Column, ...]
    labels: NDArray[Any]
    """int64 or text objects for a classification, float64 for a regression; a missing one is named by `unlabelled`."""
    unlabelled: Mask
    files: tuple[tuple[str, int], ...]
    """Where rows came from: files, and the rows in each."""
    single_input: bool
    """Whether the graph takes all features as one input `x`."""
    left_out: tuple[str, ...] = ()
    """Columns of the data that are an index."""
    tests: int = 0
    """How many rows at the end are a test set of one's own."""
    notes: tuple[str, ...] = ()
    """What a user should know of how it was read."""
    kind: Kind = Kind.TABLE

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    def without_written(self) -> Table:
        """Return the table with values as the graph takes them only, which needs less memory."""
        return replace(self, columns=tuple(replace(one, written=None, exact=None) for one in self.columns))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.labels)

    def places(self, rows: Mask) -> str:
        """Say where rows are, the first few: `rows 3, 7 and 12 more`; the first row of data is 1."""
        return places(np.flatnonzero(rows), self.files)


def places(indices: Indices, files: tuple[tuple[str, int], ...]) -> str:
    """Say where rows are: by number, and with several files by file."""
    if len(files) == 1:
        words = [str(index + 1) for index in indices[:SHOWN_ROWS].tolist()]
    else:
        starts = np.cumsum([0, *(count for _, count in files)])
        words = []
        for index in indices[:SHOWN_ROWS].tolist():
            file = int(np.searchsorted(starts, index, side="right")) - 1
            words.append(f"{index - int(starts[file]) + 1} of {files[file][0]}")
    more = [""] * (len(indices) - len(words))
    return ("row " if len(indices) == 1 else "rows ") + listed([*words, *more], len(words))
