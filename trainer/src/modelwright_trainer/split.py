"""In go labels, shares and a seed, out come the rows of the training, validation and test part."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .failure import Reason, RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import Split
    from .table import Indices

FEWEST_PER_CLASS: Final = 3
SHOWN_CLASSES: Final = 3


@dataclass(frozen=True)
class Parts:
    """Row numbers of each part, ascending."""

    train: Indices
    validation: Indices
    test: Indices


def split_rows(labels: NDArray[Any], split: Split) -> Parts:
    """Part the rows by seed; stratified, each part has each label in its share."""
    rows = len(labels)
    validation, test = _size(rows, split.validation), _size(rows, split.test)
    if validation + test >= rows:
        message = f"there are {rows} rows: too few for a training, a validation and a test part of the shares in split"
        raise RunError(Reason.TOO_FEW_ROWS, message)
    random = np.random.Generator(np.random.PCG64(split.seed))
    order = random.permutation(rows)
    if not split.stratify:
        return _parts(order[:test], order[test : test + validation], order[test + validation :])
    classes, members = np.unique(labels, return_inverse=True)
    counts = np.bincount(members, minlength=len(classes))
    if counts.min() < FEWEST_PER_CLASS:
        label = classes[counts.argmin()]
        message = (
            f"label {label!s:.40} has {counts.min()} rows, and split.stratify needs at least {FEWEST_PER_CLASS} of "
            f"each, one for each part: give more such rows, take them out, or make split.stratify false"
        )
        raise RunError(Reason.CLASS_TOO_SMALL, message)
    tests = _allot(counts, test, counts - 2)
    validations = _allot(counts, validation, counts - tests - 1)
    parts: list[list[Indices]] = [[], [], []]
    for index in range(len(classes)):
        own = order[members[order] == index]
        ends = (int(tests[index]), int(tests[index] + validations[index]))
        for part, chosen in zip(parts, np.split(own, ends), strict=True):
            part.append(chosen)
    return _parts(np.concatenate(parts[0]), np.concatenate(parts[1]), np.concatenate(parts[2]))


def find_uneven(labels: NDArray[Any], split: Split, parts: Parts) -> str | None:
    """Say which labels stratification could not give their shares: each part has a row of each, however few."""
    if not (split.stratify and len(labels)):
        return None
    classes, members = np.unique(labels, return_inverse=True)
    whole = np.bincount(members, minlength=len(classes))
    shares = (float(1 - split.validation - split.test), float(split.validation), float(split.test))
    found = np.array(
        [np.bincount(members[rows], minlength=len(classes)) for rows in (parts.train, parts.validation, parts.test)]
    )
    wanted = np.outer(shares, whole)
    # Less than a row is rounding; the training part has what is left.
    uneven = np.flatnonzero(((np.abs(found - wanted)[1:] >= 1) | (wanted[1:] < 1 / 2)).any(axis=0))
    if not len(uneven):
        return None
    told = [
        f"{classes[index]!s:.40} has {whole[index]} rows, of which {found[0, index]} train, {found[1, index]} validate "
        f"and {found[2, index]} test (shares of {', '.join(f'{one:.3g}' for one in wanted[:, index])})"
        for index in uneven[np.argsort(whole[uneven], kind="stable")][:SHOWN_CLASSES]
    ]
    more = f"; and {len(uneven) - SHOWN_CLASSES} more labels" if len(uneven) > SHOWN_CLASSES else ""
    return f"split.stratify cannot keep the shares of all labels: {'; '.join(told)}{more}"


def _size(rows: int, share: Decimal) -> int:
    return max(1, int((rows * share).to_integral_value(ROUND_HALF_EVEN)))


def _allot(counts: NDArray[np.intp], total: int, most: NDArray[np.intp]) -> NDArray[np.intp]:
    """Share `total` over classes by their counts, at least 1 and at most `most` each; remainders go to the largest."""
    exact = counts * total / counts.sum()
    given = np.clip(np.floor(exact).astype(np.intp), 1, most)
    for index in np.argsort(given - exact, kind="stable"):
        if given.sum() >= total:
            break
        given[index] = min(given[index] + 1, most[index])
    return given


def _parts(test: Indices, validation: Indices, train: Indices) -> Parts:
    return Parts(np.sort(train), np.sort(validation), np.sort(test))
