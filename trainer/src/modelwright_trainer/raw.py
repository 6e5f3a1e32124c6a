"""What a reader returns: columns as the files have them, and where their rows came from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True)
class Raw:
    """Columns by name, label included: float64 with NaN, or text objects with "" where a value is missing."""

    columns: dict[str, NDArray[Any]]
    files: tuple[tuple[str, int], ...]
    hints: dict[str, str] = field(default_factory=dict)
    """For columns of text that could be meant as numbers: how many values are none, and the first."""

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return sum(count for _, count in self.files)

    def hint(self, name: str) -> str:
        """Return what makes a column text, in brackets, or nothing."""
        return f" ({self.hints[name]})" if name in self.hints else ""
