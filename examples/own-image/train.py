"""Gradient-boosted trees of LightGBM, in an image of one's own: docs/own-image.md has the contract.

In come `/modelwright/run.json` and the fetched data, whose features are numbers. Out come `model.onnx`,
`evaluation.npz`, `calibration.npz` and `report.json`, a termination message, and an exit code: 0, 64 for what no retry
mends, 75 for what one may mend.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
from progress import Progress, log
from reading import InputError, read_data
from sklearn.model_selection import train_test_split
from trees import (
    DEFAULT_CANDIDATE,
    answer,
    check_candidate,
    convert,
    count_rounds,
    measure,
    require_agreement,
    train_booster,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAD_INPUT: Final = 64
MAY_BE_MENDED: Final = 75
TERMINATED: Final = 128 + signal.SIGTERM
LONGEST_MESSAGE: Final = 1500
MOST_CALIBRATION_ROWS: Final = 512
LIBRARIES: Final = ("lightgbm", "numpy", "onnx", "onnxmltools", "onnxruntime")


@dataclass
class Trial:
    """A candidate, trained."""

    name: str
    booster: lightgbm.Booster
    metrics: dict[str, float]
    """On the validation part."""
    seconds: float


def read_run(path: Path) -> dict[str, Any]:
    """Read what is to be done."""
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("InvalidRun", f"{path} cannot be read: {error}") from error
    return run


def split_rows(run: dict[str, Any], labels: NDArray[Any]) -> tuple[NDArray[np.intp], ...]:
    """Return the rows of the training, the validation and the test part."""
    split, rows = run["split"], np.arange(len(labels))
    sizes = {part: max(1, round(len(rows) * Decimal(split[part]))) for part in ("test", "validation")}

    def take(rows: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
        stratify = labels[rows] if split["stratify"] else None
        parts: list[NDArray[np.intp]] = train_test_split(
            rows, test_size=size, random_state=split["seed"], stratify=stratify
        )
        return parts

    try:
        rest, test = take(rows, sizes["test"])
        train, validation = take(rest, sizes["validation"])
    except ValueError as error:
        raise InputError("TooFewRows", f"split does not work on {len(rows)} rows: {error}") from error
    return np.sort(train), np.sort(validation), np.sort(test)


def run_training(run: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Read, split, train, choose, convert, compare, write; return the termination message."""
    candidates, metric = run["candidates"] or [DEFAULT_CANDIDATE], run["selection"]["metric"]
    sign = 1 if run["selection"]["goal"] == "Maximize" else -1
    if run["checks"] or run["preprocess"]:
        raise InputError(
            "InvalidRun", "this image does neither training.checks nor training.preprocess: leave them out"
        )
    for index, candidate in enumerate(candidates):
        check_candidate(index, candidate)
    progress.metric = metric
    data = read_data(run)
    train, validation, test = split_rows(run, data.labels)
    classes = np.unique(data.labels[train]) if run["task"] == "Classification" else None
    if classes is not None and len(classes) == 1:
        raise InputError("OneClass", f"the training part has the label {classes[0]} only: give rows of another one")
    truth = data.labels[train] if classes is None else np.searchsorted(classes, data.labels[train])
    progress.total = sum(count_rounds(candidate) for candidate in candidates)
    trials: list[Trial] = []
    for index, candidate in enumerate(candidates):
        progress.activity, started = candidate["name"], time.monotonic()
        try:
            booster = train_booster(run, candidate["parameters"], data.features[train], truth, progress)
        except (lightgbm.basic.LightGBMError, TypeError, ValueError) as error:
            message = f"training.candidates[{index}] {candidate['name']!r}: LightGBM refuses it: {error}"
            raise InputError("InvalidParameter", message) from error
        measured = measure(answer(booster, data.features[validation], classes), data.labels[validation], classes)
        if metric not in measured:
            message = f"selection.metric {metric} is none of the validation part's: {', '.join(measured)}"
            raise InputError("InvalidRun", message)
        trials.append(Trial(candidate["name"], booster, measured, time.monotonic() - started))
        progress.best = as_decimal(max((trial.metrics[metric] for trial in trials), key=lambda value: sign * value))
        log(f"{candidate['name']}: {metric} {as_decimal(measured[metric])} in {trials[-1].seconds:.1f} s")
    progress.activity = "exporting"
    ranked = sorted(trials, key=lambda trial: -sign * trial.metrics[metric])
    chosen = ranked[0]
    expected = answer(chosen.booster, data.features[test], classes)
    content = convert(chosen.booster, len(data.names), classes)
    require_agreement(content, data.features[test], expected)
    rows = {"train": len(train), "validation": len(validation), "test": len(test)}
    report = {
        "chosen": chosen.name,
        "candidates": [
            {"name": one.name, "algorithm": "LightGBM", "metrics": one.metrics, "seconds": round(one.seconds, 3)}
            for one in trials
        ],
        "metrics": measure(expected, data.labels[test], classes),
        "rows": rows,
        "features": data.names,
        "versions": {name: version(name) for name in LIBRARIES},
    }
    spread = train[np.linspace(0, len(train) - 1, min(MOST_CALIBRATION_ROWS, len(train))).astype(np.intp)]
    evaluation = {"inputs/x": data.features[test], "labels": data.labels[test]}
    evaluation |= {} if classes is None else {"classes": classes}
    evaluation |= {f"outputs/{name}": values for name, values in expected.items()}
    output = Path(run["output"])
    output.mkdir(parents=True, exist_ok=True)
    (output / "model.onnx").write_bytes(content)
    np.savez(output / "evaluation.npz", allow_pickle=False, **evaluation)
    np.savez(output / "calibration.npz", allow_pickle=False, **{"inputs/x": data.features[spread]})
    (output / "report.json").write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    scores = [{"name": trial.name, "score": as_decimal(trial.metrics[metric])} for trial in ranked]
    return {"succeeded": {"chosen": chosen.name, "metric": metric, "candidates": scores, "rows": rows}}


def as_decimal(value: float) -> str:
    """Write a number without an exponent."""
    return format(Decimal(f"{value:.6g}"), "f")


def main() -> int:
    """Run, report, and return the exit code."""
    parser = argparse.ArgumentParser(description="Trains gradient-boosted trees for Modelwright.")
    parser.add_argument("--run", type=Path, default="/modelwright/run.json", help="the run (%(default)s)")
    parser.add_argument("--termination-log", type=Path, default="/dev/termination-log", help="(%(default)s)")
    parser.add_argument("--port", type=int, default=9090, help="of /progress (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="more are faster, and not sure to repeat (%(default)s)")
    arguments = parser.parse_args()
    # A container's first process has no default for the signal.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(TERMINATED))
    progress = Progress(arguments.threads)
    progress.serve(arguments.port)
    code, reason, message = BAD_INPUT, "", ""
    try:
        report = run_training(read_run(arguments.run), progress)
    except InputError as error:
        reason, message = error.reason, str(error)
    except MemoryError:
        reason, message = "OutOfMemory", "the memory does not suffice: give training.resources more"
    except Exception as error:  # noqa: BLE001 - whatever it is, the Model's condition should say it
        log(traceback.format_exc())
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            reason, message = "NoSpace", f"the volume is full: {error}"
        else:
            code, reason, message = MAY_BE_MENDED, "Internal", f"{type(error).__name__}: {error}"
    else:
        scores = report["succeeded"]["candidates"]
        while len(encode(report)) > LONGEST_MESSAGE:
            scores.pop()
        write_termination(arguments.termination_log, report)
        return 0
    log(f"{reason}: {message}")
    while len(encode({"failed": {"reason": reason, "message": message}})) > LONGEST_MESSAGE:
        message = message[: len(message) * 9 // 10]
    write_termination(arguments.termination_log, {"failed": {"reason": reason, "message": message}})
    return code


def encode(report: dict[str, Any]) -> bytes:
    """Write JSON without spaces."""
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def write_termination(path: Path, report: dict[str, Any]) -> None:
    """Leave the report where the kubelet reads it; elsewhere there is no such file."""
    if path.exists():
        path.write_bytes(encode(report))
    else:
        print(encode(report).decode())


if __name__ == "__main__":
    sys.exit(main())
