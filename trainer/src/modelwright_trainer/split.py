"""In go labels, shares and a seed, out come the rows of the training, validation and test part."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import ROUND_HALF_EVEN, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from .config import By
from .failure import Reason, RunError, listed
from .tensors import Tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .config import Split
    from .table import Indices, Table

FEWEST_PER_CLASS: Final = 3
SHOWN_CLASSES: Final = 3


@dataclass(frozen=True)
class Parts:
    """Row numbers of each part, ascending."""

    train: Indices
    validation: Indices
    test: Indices


def split_data(data: Table | Tensors, split: Split) -> Parts:
    """Part all rows. Those of a test set of one's own, which are the last, are the test part."""
    own = data.rows - data.tests
    if isinstance(data, Tensors) and data.spans is not None:
        parts = _split_windows(data, split)
    elif split.by is By.TIME:
        parts = _split_by_time(own, split)
    else:
        parts = split_rows(data.labels[:own], split)
    return replace(parts, test=np.arange(own, data.rows)) if data.tests else parts


def split_rows(labels: NDArray[Any], split: Split) -> Parts:
    """Part the rows by seed; stratified, each part has each label in its share."""
    rows = len(labels)
    validation, test = _sizes(rows, split)
    random = np.random.Generator(np.random.PCG64(split.seed))
    order = random.permutation(rows)
    if not split.stratify:
        return _parts(order[:test], order[test : test + validation], order[test + validation :])
    classes, members = np.unique(labels, return_inverse=True)
    counts = np.bincount(members, minlength=len(classes))
    fewest = FEWEST_PER_CLASS if test else FEWEST_PER_CLASS - 1
    if counts.min() < fewest:
        label = classes[counts.argmin()]
        message = (
            f"label {label!s:.40} has {counts.min()} rows, and split.stratify needs at least {fewest} of "
            f"each, one for each part: give more such rows, take them out, or make split.stratify false"
        )
        raise RunError(Reason.CLASS_TOO_SMALL, message)
    tests = _allot(counts, test, counts - 2) if test else np.zeros_like(counts)
    validations = _allot(counts, validation, counts - tests - 1)
    parts: list[list[Indices]] = [[], [], []]
    for index in range(len(classes)):
        own = order[members[order] == index]
        ends = (int(tests[index]), int(tests[index] + validations[index]))
        for part, chosen in zip(parts, np.split(own, ends), strict=True):
            part.append(chosen)
    return _parts(np.concatenate(parts[0]), np.concatenate(parts[1]), np.concatenate(parts[2]))


def _split_by_time(rows: int, split: Split) -> Parts:
    """Leave rows in their order: the first train, the last test."""
    validation, test = _sizes(rows, split)
    train, validate, tests = np.split(np.arange(rows), [rows - validation - test, rows - test])
    return Parts(train, validate, tests)


def _split_windows(data: Tensors, split: Split) -> Parts:
    """Part the steps by time; a window that lies in two parts is in neither."""
    if data.spans is None:
        return _split_by_time(data.rows, split)
    first, last = data.spans
    validation, test = _sizes(data.steps, split)
    ends = (0, data.steps - validation - test, data.steps - test, data.steps)
    found = [np.flatnonzero((first >= start) & (last < end)) for start, end in pairwise(ends)]
    names = ("training", "validation", "test")
    for name, rows, (start, end) in zip(names, found, pairwise(ends), strict=True):
        if not len(rows) and end > start:
            message = (
                f"the {name} part has {end - start} of {data.steps} steps, and a window takes "
                f"{last[0] - first[0] + 1}: give more rows, other shares in split, or a smaller data.window.past"
            )
            raise RunError(Reason.TOO_FEW_ROWS, message)
    return Parts(*found)


def find_uneven(labels: NDArray[Any], split: Split, parts: Parts) -> str | None:
    """Say which labels stratification could not give their shares: each part has a row of each, however few."""
    if not (split.stratify and len(labels)):
        return None
    named = {"train": parts.train, "validate": parts.validation} | ({"test": parts.test} if split.test else {})
    classes, members = np.unique(labels, return_inverse=True)
    shares = (float(1 - split.validation - split.test), float(split.validation), float(split.test))[: len(named)]
    found = np.array([np.bincount(members[rows], minlength=len(classes)) for rows in named.values()])
    whole = found.sum(axis=0)
    wanted = np.outer(shares, whole)
    # Less than a row is rounding; the training part has what is left.
    uneven = np.flatnonzero(((np.abs(found - wanted)[1:] >= 1) | (wanted[1:] < 1 / 2)).any(axis=0))
    if not len(uneven):
        return None
    told = []
    for index in uneven[np.argsort(whole[uneven], kind="stable")][:SHOWN_CLASSES]:
        counts = [f"{count} {name}" for count, name in zip(found[:, index].tolist(), named, strict=True)]
        words = f"{', '.join(counts[:-1])} and {counts[-1]}"
        wished = ", ".join(f"{one:.3g}" for one in wanted[:, index])
        told.append(f"{classes[index]!s:.40} has {whole[index]} rows, of which {words} (shares of {wished})")
    more = f"; and {len(uneven) - SHOWN_CLASSES} more labels" if len(uneven) > SHOWN_CLASSES else ""
    return f"split.stratify cannot keep the shares of all labels: {'; '.join(told)}{more}"


def find_unlearned(truth: NDArray[Any], classes: NDArray[Any], parts: Parts) -> str | None:
    """Say which labels are in other parts only, as where rows are parted by time: nothing is learned of these."""
    if not len(classes):
        return None
    new = np.setdiff1d(truth, truth[parts.train])
    if not len(new):
        return None
    counts = [int(np.isin(truth[rows], new).sum()) for rows in (parts.validation, parts.test)]
    labels = listed([f"{one!s:.40}" for one in classes[new].tolist()], SHOWN_CLASSES)
    return (
        f"the training part lacks {len(new)} of {len(classes)} labels: {labels}. {counts[0]} rows of the validation "
        f"part and {counts[1]} of the test part have them, and no answer to these can be right"
    )


def _sizes(rows: int, split: Split) -> tuple[int, int]:
    """Return how many rows validate and test; there must be some left to train on."""
    validation, test = _size(rows, split.validation), _size(rows, split.test)
    if validation + test >= rows:
        message = f"there are {rows} rows: too few for a training, a validation and a test part of the shares in split"
        raise RunError(Reason.TOO_FEW_ROWS, message)
    return validation, test


def _size(rows: int, share: Decimal) -> int:
    """Return a share of rows, at least one; none with a test set of one's own."""
    if not share:
        return 0
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
