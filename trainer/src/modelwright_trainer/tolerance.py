"""By how much answers may differ: `|got - expected| <= atol + rtol * |expected|`, with `atol` from their scale.

The runtime has the same formula in Rust (`tolerance.rs`), with the reasons; both hold the cases of one table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FLOOR: Final = 1e-6
"""The smallest `atol`, as a share of the whole output's scale: some steps of FP32."""
FLOOR_OF_HALVES: Final = 1e-3
"""The same for FP16."""


def allow(expected: NDArray[Any], rtol: float) -> NDArray[np.float64]:
    """Return by how much each element may differ.

    The scale of a column is its largest magnitude. A column is what shares an index on an axis other than the first,
    which counts rows; of several such axes the smallest scale counts.
    """
    wide = expected.astype(np.float64)
    magnitude = np.where(np.isfinite(wide), np.abs(wide), 0)
    whole = magnitude.max(initial=0)
    scale = np.full(wide.shape, whole)
    for axis in range(1, wide.ndim):
        if wide.shape[axis] > 1:
            others = tuple(other for other in range(wide.ndim) if other != axis)
            scale = np.minimum(scale, magnitude.max(axis=others, keepdims=True, initial=0))
    floor = FLOOR_OF_HALVES if expected.dtype == np.float16 else FLOOR
    atol = np.maximum(rtol * scale, max(floor * whole, _smallest_step(expected.dtype)))
    return np.asarray(atol + rtol * magnitude)


def differ(expected: NDArray[Any], got: NDArray[Any], rtol: float) -> NDArray[np.bool_]:
    """Return which elements differ by more than is allowed. Equal infinities do not, nor do two NaN."""
    ours, theirs = expected.astype(np.float64), got.astype(np.float64)
    same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
    finite = np.isfinite(ours) & np.isfinite(theirs)
    with np.errstate(invalid="ignore", over="ignore"):
        near = finite & (np.abs(theirs - ours) <= allow(expected, rtol))
    return ~(same | near)


def _smallest_step(kind: np.dtype[Any]) -> float:
    """Return the smallest step that every processor makes; some take what is below the normal numbers for zero."""
    if kind == np.float16:
        return float(np.finfo(np.float16).smallest_subnormal)
    return float(np.finfo(np.float64 if kind == np.float64 else np.float32).tiny)
