"""Which rows of the test part are kept beside the model: all, or where these would be too much a sample by the seed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .material import Arrays
    from .table import Indices

MOST_BYTES: Final = 2**28
"""Of inputs that are kept; `prove` reads the file whole, and takes one of 1 GiB at most."""
MOST_ROWS: Final = 100_000


def choose_kept(inputs: Arrays, seed: int) -> Indices:
    """Return places in the test part, ascending; always the same of the same test part and seed."""
    rows = len(next(iter(inputs.values())))
    most = min(MOST_ROWS, count_fitting(inputs))
    if rows <= most:
        return np.arange(rows)
    random = np.random.Generator(np.random.PCG64(seed))
    return np.sort(random.choice(rows, size=most, replace=False))


def count_fitting(inputs: Arrays) -> int:
    """Return how many rows are no more bytes than are kept, one at least."""
    return max(1, int(MOST_BYTES / max(sum(map(_bytes_of_row, inputs.values())), 1)))


def _bytes_of_row(values: NDArray[Any]) -> float:
    if values.dtype == object:
        # Each text takes the room of the longest, 4 bytes a letter.
        return 4.0 * max(map(len, values.ravel().tolist()), default=0)
    return float(values.nbytes) / max(len(values), 1)
