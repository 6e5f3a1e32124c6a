"""In goes an order, out come the model's files in the output folder, and its rows in two parts beside them."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from modelwright_trainer.again import put_files
from modelwright_trainer.failure import Reason, RunError
from modelwright_trainer.inputs import without_objects
from modelwright_trainer.keep import choose_kept, count_fitting
from modelwright_trainer.log import log
from modelwright_trainer.run import CALIBRATION_FILE, EVALUATION_FILE, MODEL_FILE, MOST_CALIBRATION_ROWS

from .order import SEED
from .ports import read_ports
from .rows import read_rows
from .truth import find_truth

if TYPE_CHECKING:
    from pathlib import Path

    from modelwright_trainer.material import Arrays
    from modelwright_trainer.table import Indices

    from .order import Order

RESERVED: Final = frozenset(
    (
        EVALUATION_FILE,
        CALIBRATION_FILE,
        "golden.npz",
        "report.json",
        "train.json",
        "optimize.json",
        "variables.npz",
        "curves.svg",
        "variants",
    )
)
"""What a training leaves beside its model: of an import, these are nobody's word."""
CALIBRATION_SHARE: Final = 5
"""One in so many rows is calibrated by, and not measured."""


def leave_parts(order: Order) -> dict[str, int]:
    """Leave the model and both parts; return how many rows each has."""
    if not (order.directory / MODEL_FILE).is_file():
        raise RunError(Reason.NO_MODEL, f"there is no {MODEL_FILE} in {order.directory}")
    ports = read_ports(order.directory / MODEL_FILE)
    rows = read_rows(order, ports)
    labels, classes = find_truth(order, ports, rows)
    test, calibration = part_rows(len(labels), ports.at_once)
    kept = test[choose_kept(_take(rows.inputs, test), SEED)]
    kept = kept[: len(kept) - len(kept) % ports.at_once]
    if len(kept) < len(test):
        log("warning", warning=f"{len(test)} rows can be measured, and {len(kept)} of them, drawn at random, are")
    shutil.rmtree(order.output, ignore_errors=True)
    put_files(order.directory, order.output, lambda path: path.parts[0] not in RESERVED)
    evaluation: dict[str, Any] = {f"inputs/{name}": values for name, values in _take(rows.inputs, kept).items()}
    evaluation["labels"] = labels[kept]
    if classes is not None:
        evaluation["classes"] = classes
    _write(order.output / EVALUATION_FILE, evaluation)
    spread = _take(rows.inputs, calibration[: count_fitting(_take(rows.inputs, calibration))])
    if len(calibration):
        _write(order.output / CALIBRATION_FILE, {f"inputs/{name}": values for name, values in spread.items()})
    return {"test": len(kept), "calibration": len(calibration)}


def part_rows(rows: int, at_once: int = 1) -> tuple[Indices, Indices]:
    """Part rows into those that are measured and those to calibrate by: always the same of the same number."""
    order = np.random.Generator(np.random.PCG64(SEED)).permutation(rows)
    few = min(MOST_CALIBRATION_ROWS, rows // CALIBRATION_SHARE)
    few -= few % at_once
    if rows - few < at_once:
        message = f"there are {rows} rows, and the model takes exactly {at_once} at once: give more"
        raise RunError(Reason.TOO_FEW_ROWS, message)
    return np.sort(order[few:]), np.sort(order[:few])


def _take(inputs: Arrays, rows: Indices) -> Arrays:
    return {name: values[rows] for name, values in inputs.items()}


def _write(path: Path, arrays: dict[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **{key: without_objects(values) for key, values in arrays.items()})
