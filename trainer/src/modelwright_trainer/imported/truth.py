"""In go labels and what a model gives, out come labels as it has them, and its classes in the order of columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from modelwright_trainer.config import Task
from modelwright_trainer.data.raw import MISSING
from modelwright_trainer.failure import Reason, RunError, listed
from modelwright_trainer.table import places

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .order import Order
    from .ports import Ports
    from .rows import Rows

MATRIX: Final = 2
"""Axes of probabilities: rows and classes."""


def find_truth(order: Order, ports: Ports, rows: Rows) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the labels, and the classes where the model has a column for each."""
    label = order.data.label
    if rows.unlabelled.any():
        message = (
            f"data.label {label!r} is missing in {rows.unlabelled.sum()} of {len(rows.labels)} rows, in "
            f"{places(np.flatnonzero(rows.unlabelled), rows.files)}: give these rows a label, or take them out "
            f"({listed(MISSING)} count as missing, unless the model gives text)"
        )
        raise RunError(Reason.MISSING_LABEL, message)
    if order.task is Task.REGRESSION:
        return rows.labels, None
    labels = _as_given(order, ports, rows)
    classes = _find_classes(order, ports, labels)
    if classes is None:
        return labels, None
    unknown = ~np.isin(labels, classes)
    if unknown.any():
        found = [repr(one) for one in np.unique(labels[unknown]).tolist()]
        _refuse(
            f"data.label {label!r} has labels that the model does not know: {listed(found, 5)} in {unknown.sum()} of "
            f"{len(labels)} rows, in {places(np.flatnonzero(unknown), rows.files)}; it knows "
            f"{listed([repr(one) for one in classes.tolist()])}: write them alike, name the model's labels in "
            "spec.evaluation.classes, or take these rows out"
        )
    return labels, classes


def _as_given(order: Order, ports: Ports, rows: Rows) -> NDArray[Any]:
    """Return labels of the kind that the model gives, or that is named."""
    labels, given = rows.labels, ports.label
    is_text = labels.dtype == object
    if given is not None and not given.is_text and is_text:
        _refuse(
            f"data.label {order.data.label!r} is text, such as {labels[0]!r:.80}, and the model gives {given}: write "
            "the numbers that it gives"
        )
    wants_text = given.is_text if given is not None else any(_as_integer(one) is None for one in order.classes)
    return labels.astype(str).astype(object) if wants_text and not is_text else labels


def _find_classes(order: Order, ports: Ports, labels: NDArray[Any]) -> NDArray[Any] | None:
    width = _find_width(ports)
    if order.classes:
        if width not in {None, len(order.classes)}:
            _refuse(
                f"spec.evaluation.classes names {len(order.classes)} labels, and the model gives "
                f"{ports.probabilities}: expected one for each of its columns, in their order (two, where there "
                "is one column)"
            )
        if labels.dtype == object:
            return np.array(order.classes, dtype=object)
        return np.array([_as_integer(one) for one in order.classes], dtype=np.int64)
    if ports.probabilities is None:
        return None
    found = np.unique(labels)
    if width in {None, len(found)}:
        return found
    if labels.dtype != object and found[0] >= 0 and found[-1] < width:
        # Numbers of columns, of which the data lacks some.
        return np.arange(width, dtype=np.int64)
    return _refuse(
        f"the model tells {width} classes apart ({ports.probabilities}), and data.label {order.data.label!r} has "
        f"{len(found)} labels: {listed([repr(one) for one in found.tolist()])}; name all that the model knows in "
        "spec.evaluation.classes, in the order of its columns"
    )


def _find_width(ports: Ports) -> int | None:
    """Return how many classes the model tells apart, where its graph says so."""
    port = ports.probabilities
    if port is None or port.shape is None:
        return None
    columns = port.shape[1] if len(port.shape) == MATRIX else 1
    if columns < 1:
        return None
    # One column is the probability of the second of two.
    return max(columns, 2)


def _as_integer(text: str) -> int | None:
    try:
        number = int(text)
    except ValueError:
        return None
    return number if str(number) == text and abs(number) < 2**63 else None


def _refuse(message: str) -> NoReturn:
    raise RunError(Reason.INVALID_LABEL, message)
