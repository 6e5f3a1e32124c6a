"""What a reader returns: columns as the files have them, and where their rows came from."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.table import places

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MISSING: Final = ("NA", "N/A", "NaN", "nan", "null", "NULL")
"""What counts as missing besides nothing at all: in a column of numbers, and as a label of any kind."""
LARGEST_EXACT: Final = 2**53
"""Up to here FP64 holds every whole number."""
UNNAMED: Final = re.compile(r"Unnamed: \d+(\.\d+)?")
"""What pandas calls a column without a name."""
INDEX_LEVEL: Final = re.compile(r"__index_level_\d+__")
"""What pandas calls an index without a name, in Parquet."""


@dataclass(frozen=True)
class Raw:
    """Columns by name, label included.

    Numbers are FP64, FP32 as they were written so, or integers where FP64 would not hold them; a missing one is NaN.
    Text is objects, with "" where a value is missing.
    """

    columns: dict[str, NDArray[Any]]
    files: tuple[tuple[str, int], ...]
    hints: dict[str, str] = field(default_factory=dict)
    """For columns of text that could be meant as numbers: how many values are none, and the first."""
    exact: dict[str, NDArray[Any]] = field(default_factory=dict)
    """The values that are there of columns of integers that FP64 does not hold, and of which some are missing."""
    left_out: tuple[str, ...] = ()
    """Columns that are an index and no data."""
    tests: int = 0
    """How many rows at the end are a test set of one's own."""
    zeros: dict[str, str] = field(default_factory=dict)
    """For columns of numbers that are written with zeros before them: how many there are, and the first."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(count for _, count in self.files)

    def hint(self, name: str) -> str:
        """Return what makes a column text, in brackets, or nothing."""
        return f" ({self.hints[name]})" if name in self.hints else ""


def find_unnamed(names: Sequence[str]) -> list[str]:
    """Return the first columns that have no name: what `to_csv` of pandas writes of an index, and R of row names."""
    return list(takewhile(lambda name: not name.strip() or UNNAMED.fullmatch(name) is not None, names))


def refuse_nul(what: str, texts: NDArray[Any], raw: Raw) -> None:
    """Refuse text with a NUL in it: no client can send it, and NumPy leaves one out at the end."""
    wrong = np.array(["\0" in text for text in texts.tolist()], dtype=bool)
    if wrong.any():
        message = (
            f"{what} has {wrong.sum()} texts with a NUL (a byte 0) in {places(np.flatnonzero(wrong), raw.files)}, "
            "which no text has: take it out"
        )
        raise RunError(Reason.UNREADABLE_DATA, message)


def is_beyond_exact(numbers: NDArray[Any]) -> bool:
    """Whether there is a whole number that FP64 may not hold."""
    with np.errstate(invalid="ignore"):
        return bool((np.abs(numbers.astype(np.float64)) >= LARGEST_EXACT).any())
