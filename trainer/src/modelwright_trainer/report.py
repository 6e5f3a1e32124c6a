"""In goes how a run ended, out come `report.json` for people and the termination message for the operator."""

from __future__ import annotations

import json
import math
import sys
from decimal import Decimal
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from .backends import find_backend

if TYPE_CHECKING:
    from pathlib import Path

    from .failure import Reason
    from .train import Outcome

TRAIN_FILE: Final = "train.json"
MOST_BYTES: Final = 1500
MOST_WARNINGS: Final = 8
MOST_WARNING_BYTES: Final = 600
"""Of all warnings together, so that candidates have their room."""
MOST_LABELS: Final = 1000
"""Of a classification, in `report.json`."""
LIBRARIES: Final = ("numpy", "onnx", "onnxruntime", "pyarrow", "scikit-learn", "scipy")
"""Those of the trainer itself; backends name theirs."""


MOST_DEVICE: Final = 128


def as_decimal(value: float) -> str:
    """Write a number with six digits and no exponent."""
    return format(Decimal(f"{value:.6g}"), "f")


def build_success(outcome: Outcome) -> dict[str, Any]:
    """Return the termination message of a run that made a model, with as many candidates as it has room for."""
    candidates = [
        {"name": trial.candidate.name} | ({} if trial.score is None else {"score": as_decimal(trial.score)})
        for trial in outcome.ranked
    ]
    report: dict[str, Any] = {
        "chosen": outcome.chosen.candidate.name,
        "metric": str(outcome.metric),
        "candidates": candidates,
        "rows": outcome.rows,
    }
    if outcome.warnings:
        report["warnings"] = _fit_warnings(outcome.warnings)
        if report["warnings"] != outcome.warnings:
            report["warningsTruncated"] = True
    if device := outcome.chosen.estimator.provenance().get("device"):
        report["device"] = device[:MOST_DEVICE]
    while len(_encode({"succeeded": report})) > MOST_BYTES and candidates:
        candidates.pop()
    return {"succeeded": report}


def _fit_warnings(warnings: list[str]) -> list[str]:
    """Cut warnings until they have room: the longest first, so that each says something."""
    cut = warnings[:MOST_WARNINGS]
    while len(_encode({"warnings": cut})) > MOST_WARNING_BYTES:
        longest = max(range(len(cut)), key=lambda index: len(cut[index]))
        cut[longest] = cut[longest].removesuffix("…")[:-8] + "…"
    return cut


def build_failure(reason: Reason, message: str) -> dict[str, Any]:
    """Return the termination message of a run that failed; what is too long is cut."""
    report = {"failed": {"reason": str(reason), "message": message}}
    if len(_encode(report)) <= MOST_BYTES:
        return report
    low, high = 0, len(message)
    while low < high:
        middle = (low + high + 1) // 2
        report["failed"]["message"] = message[:middle] + "…"
        low, high = (middle, high) if len(_encode(report)) <= MOST_BYTES else (low, middle - 1)
    report["failed"]["message"] = message[:low] + "…"
    return report


def build_training_report(outcome: Outcome) -> dict[str, Any]:
    """Return `report.json`."""
    candidates = []
    for trial in outcome.trials:
        entry: dict[str, Any] = {
            "name": trial.candidate.name,
            "algorithm": trial.estimator.description,
            "metrics": {str(metric): value for metric, value in trial.metrics.items()},
            "seconds": round(trial.seconds, 3),
        }
        if trial.error:
            entry["error"] = trial.error
        if trial.curve:
            # JSON has no NaN and no infinity: what a candidate lost its numbers at is in its error.
            entry["curve"] = [
                {name: value for name, value in point.items() if math.isfinite(value)} for point in trial.curve
            ]
        if told := trial.estimator.provenance():
            entry["provenance"] = told
        candidates.append(entry)
    libraries = sorted(
        {*LIBRARIES, *(one for trial in outcome.trials for one in find_backend(trial.candidate).packages)}
    )
    report: dict[str, Any] = {
        "chosen": outcome.chosen.candidate.name,
        "candidates": candidates,
        "metrics": {str(metric): value for metric, value in outcome.metrics.items()},
        "rows": outcome.rows,
        "features": outcome.features,
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in libraries},
    }
    if outcome.classes:
        report["classes"] = {"count": len(outcome.classes), "labels": outcome.classes[:MOST_LABELS]}
    if outcome.kept < outcome.rows["test"]:
        report["evaluationRows"] = outcome.kept
    return report | ({"warnings": outcome.warnings} if outcome.warnings else {})


def write_termination(report: dict[str, Any], path: Path) -> None:
    """Leave a report where the kubelet reads it, or on standard output where there is no such file."""
    content = _encode(report)
    if path.exists():
        path.write_bytes(content)
    else:
        print(content.decode(), flush=True)


def write_success(outcome: Outcome, output: Path) -> None:
    """Leave beside the model what the termination message says of a run that made it."""
    (output / TRAIN_FILE).write_bytes(_encode(build_success(outcome)["succeeded"]))


def _encode(report: dict[str, Any]) -> bytes:
    return json.dumps(report, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
