"""Gradient-boosted trees of LightGBM, in an image of one's own: docs/own-image.md has the contract.

In come `/modelwright/run.json` and the fetched data, whose features are numbers. Out come `model.onnx`,
`evaluation.npz`, `calibration.npz` and `report.json`, a termination message, and an exit code: 0, 64 for what no retry
mends, 75 for what one may mend.
"""

from __future__ import annotations

import argparse
import csv
import errno
import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
from onnxmltools.convert.common.data_types import FloatTensorType
from pyarrow import ArrowInvalid, parquet
from sklearn import metrics
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from numpy.typing import NDArray

BAD_INPUT: Final = 64
MAY_BE_MENDED: Final = 75
TERMINATED: Final = 128 + signal.SIGTERM
LONGEST_MESSAGE: Final = 1500
MOST_CALIBRATION_ROWS: Final = 512
# How far ONNX Runtime, which adds trees up in FP32, may be from LightGBM, which adds them up in FP64.
TOLERANCE: Final = 1e-4
DEFAULT_CANDIDATE: Final = {"name": "lightgbm", "algorithm": "LightGBM", "parameters": {}}
LIBRARIES: Final = ("lightgbm", "numpy", "onnx", "onnxmltools", "onnxruntime")


class InputError(Exception):
    """The run ends, and a retry would end alike; `str()` is for people."""

    def __init__(self, reason: str, message: str) -> None:
        """Take one word in CamelCase, and what to do."""
        super().__init__(message)
        self.reason = reason


@dataclass
class Data:
    """What was fetched: features as the model takes them, and the truth."""

    names: list[str]
    features: NDArray[np.float32]
    labels: NDArray[Any]


@dataclass
class Trial:
    """A candidate, trained."""

    name: str
    booster: lightgbm.Booster
    metrics: dict[str, float]
    """On the validation part."""
    seconds: float


# Reading


def read_run(path: Path) -> dict[str, Any]:
    """Read what is to be done."""
    try:
        run: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError("InvalidRun", f"{path} cannot be read: {error}") from error
    return run


def read_data(run: dict[str, Any]) -> Data:
    """Read every file as columns, and part the label from the features."""
    folder, form, label = Path(run["data"]["directory"]), run["data"]["format"], run["data"]["label"]
    files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith((".", "_")))
    if not files:
        raise InputError("NoData", f"there is no file in {folder}: data.uri must name one, or a folder with some")
    read = {"CSV": read_csv, "Parquet": read_parquet, "NPZ": read_npz}[form]
    tables = [read(path, label) for path in files]
    names = list(tables[0])
    for path, table in zip(files, tables, strict=True):
        if list(table) != names:
            raise InputError(
                "UnreadableData", f"{path.name} has other columns than {files[0].name}: make them the same"
            )
    if label not in names:
        raise InputError("NoLabelColumn", f"data.label {label!r} is none of the columns {', '.join(names)[:200]}")
    columns = {name: np.concatenate([table[name] for table in tables]) for name in names}
    labels = as_labels(columns.pop(label), label, run["task"])
    if not columns or not len(labels):
        raise InputError("NoRows", f"the data has {len(labels)} rows and {len(columns)} columns besides the label")
    with np.errstate(over="ignore"):
        features = np.column_stack([as_numbers(values, name) for name, values in columns.items()]).astype(np.float32)
    if np.isinf(features).any():
        column = list(columns)[int(np.isinf(features).any(axis=0).argmax())]
        raise InputError("NotFinite", f"column {column!r} has values that FP32 cannot hold: scale it, or take it out")
    return Data(list(columns), features, labels)


def read_csv(path: Path, _label: str) -> dict[str, NDArray[Any]]:
    """Read text, in a line of names and lines of values."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names, *rows = (row for row in csv.reader(file, strict=True) if row)
    except (ValueError, csv.Error) as error:
        raise InputError("UnreadableData", f"{path.name} is no CSV with a line of names, in UTF-8: {error}") from error
    for number, row in enumerate(rows, start=1):
        if len(row) != len(names):
            raise InputError("UnreadableData", f"{path.name}, row {number}: {len(row)} values for {len(names)} columns")
    return {name: np.array([row[index] for row in rows], dtype=object) for index, name in enumerate(names)}


def read_parquet(path: Path, _label: str) -> dict[str, NDArray[Any]]:
    """Read numbers, booleans and text."""
    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise InputError("UnreadableData", f"{path.name} is no Parquet: {error}") from error
    return {name: table.column(name).to_numpy() for name in table.column_names}


def read_npz(path: Path, label: str) -> dict[str, NDArray[Any]]:
    """Read two arrays: the label, and features (rows, …)."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError) as error:
        raise InputError("UnreadableData", f"{path.name} is no NPZ without pickled objects: {error}") from error
    labels = arrays.pop(label, None)
    if labels is None or len(arrays) != 1:
        raise InputError(
            "UnreadableData", f"{path.name} must have the array {label!r} and one other, with the features"
        )
    features = next(iter(arrays.values())).reshape(len(labels), -1)
    return {f"x{index}": values for index, values in enumerate(features.T)} | {label: labels}


def as_numbers(values: NDArray[Any], name: str) -> NDArray[np.float64]:
    """Return a column's numbers, NaN where one is missing."""
    if values.dtype != object:
        return values.astype(np.float64)
    numbers = np.empty(len(values))
    for index, value in enumerate(values):
        try:
            numbers[index] = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError) as error:
            message = f"column {name!r} has {str(value)[:40]!r} in row {index + 1}: turn text into numbers first"
            raise InputError("TextColumn", message) from error
    return numbers


def as_labels(values: NDArray[Any], name: str, task: str) -> NDArray[Any]:
    """Return numbers for a Regression, whole numbers or text for a Classification."""
    try:
        numbers = as_numbers(values, name)
    except InputError as error:
        if task == "Regression" or any(value is None or value == "" for value in values):
            raise InputError("InvalidLabel", f"data.label: {error}; and no row may be without") from error
        return values.astype(str)
    if not np.isfinite(numbers).all():
        row = int(np.isfinite(numbers).argmin()) + 1
        raise InputError("InvalidLabel", f"data.label {name!r} is missing or infinite in row {row}: take such rows out")
    if task == "Regression":
        return numbers
    if (numbers != np.rint(numbers)).any():
        raise InputError("InvalidLabel", f"data.label {name!r} must be whole numbers or text for a Classification")
    return numbers.astype(np.int64)


# Training


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


def count_rounds(candidate: dict[str, Any]) -> int:
    """Return how many trees (of each class) a candidate has."""
    rounds: int = candidate["parameters"].get("n_estimators", 100)
    return rounds


def check_candidate(index: int, candidate: dict[str, Any]) -> None:
    """Refuse what LightGBM would only warn of."""
    known = sorted(lightgbm.LGBMModel().get_params().keys() - {"n_jobs", "importance_type"})
    place = f"training.candidates[{index}] {candidate['name']!r}"
    if candidate["algorithm"] != DEFAULT_CANDIDATE["algorithm"]:
        message = f"{place}: algorithm is {candidate['algorithm']!r}, and this image has LightGBM only"
        raise InputError("UnknownAlgorithm", message)
    for name in candidate["parameters"]:
        if name not in known:
            raise InputError("UnknownParameter", f"{place}: no parameter {name!r}, but {', '.join(known)}")
    rounds = count_rounds(candidate)
    if not isinstance(rounds, int) or rounds < 1:
        raise InputError("InvalidParameter", f"{place}: n_estimators is {rounds!r}; expected a whole number above 0")


def train_booster(
    run: dict[str, Any], parameters: dict[str, Any], features: NDArray[Any], truth: NDArray[Any], progress: Progress
) -> lightgbm.Booster:
    """Train one candidate; on one thread, the same run makes the same trees."""
    kind = lightgbm.LGBMClassifier if run["task"] == "Classification" else lightgbm.LGBMRegressor
    fixed = {"n_jobs": progress.threads, "verbosity": -1, "deterministic": True, "force_row_wise": True}
    estimator = kind(**({"random_state": run["split"]["seed"]} | parameters | fixed))
    estimator.fit(features.astype(np.float64), truth, callbacks=[lambda _: progress.advance()])
    return round_thresholds(estimator.booster_)


def round_thresholds(booster: lightgbm.Booster) -> lightgbm.Booster:
    """Round every threshold down to FP32, as the graph has it.

    Values go left if they are at most the threshold. Values are FP32, and between the threshold and the next FP32 below
    there is none, so LightGBM's answers stay the same. Rounding to the nearest instead, as a conversion does, could
    put a threshold up onto a value, which would then go left.
    """

    def down(threshold: str) -> str:
        exact = float(threshold)
        near = np.float32(exact)
        return repr(float(near if near <= exact else np.nextafter(near, np.float32(-np.inf))))

    # Sizes of the text of each tree would be wrong ones afterwards; without them it is read line by line.
    lines = [line for line in booster.model_to_string().split("\n") if not line.startswith("tree_sizes=")]
    for index, line in enumerate(lines):
        if line.startswith("threshold="):
            lines[index] = "threshold=" + " ".join(down(one) for one in line.removeprefix("threshold=").split())
    return lightgbm.Booster(model_str="\n".join(lines))


def answer(booster: lightgbm.Booster, features: NDArray[Any], classes: NDArray[Any] | None) -> dict[str, NDArray[Any]]:
    """Return what LightGBM itself says, under the names of the graph's outputs."""
    raw = np.asarray(booster.predict(features.astype(np.float64)))
    if classes is None:
        return {"prediction": raw.astype(np.float32)}
    probabilities = np.column_stack([1 - raw, raw]) if raw.ndim == 1 else raw
    return {"label": classes[probabilities.argmax(axis=1)], "probabilities": probabilities.astype(np.float32)}


def measure(answers: dict[str, NDArray[Any]], truth: NDArray[Any], classes: NDArray[Any] | None) -> dict[str, float]:
    """Return every metric of the task."""
    if classes is None:
        prediction = answers["prediction"]
        found = {
            "MeanSquaredError": metrics.mean_squared_error(truth, prediction),
            "MeanAbsoluteError": metrics.mean_absolute_error(truth, prediction),
        }
        return found | ({"R2": metrics.r2_score(truth, prediction)} if len(truth) > 1 else {})
    found = {"Accuracy": metrics.accuracy_score(truth, answers["label"])}
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = metrics.precision_recall_fscore_support(
            truth, answers["label"], average=average, zero_division=0
        )
        suffix = average.capitalize()
        found |= {f"Precision{suffix}": precision, f"Recall{suffix}": recall, f"F1{suffix}": f1}
    if np.isin(truth, classes).all():
        shares = answers["probabilities"].astype(np.float64)
        shares /= shares.sum(axis=1, keepdims=True)
        found["LogLoss"] = metrics.log_loss(truth, shares, labels=classes)
    return {name: float(value) for name, value in found.items()}


# Exporting


def convert(booster: lightgbm.Booster, columns: int, classes: NDArray[Any] | None) -> bytes:
    """Return the model as ONNX, with any number of rows and the names of the contract."""
    model = onnxmltools.convert_lightgbm(
        booster, name="trees", initial_types=[("x", FloatTensorType([None, columns]))], zipmap=False, target_opset=15
    )
    graph, last = model.graph, model.graph.node[-1]
    if classes is None:
        last.output[0] = "prediction"
        outputs = [("prediction", onnx.TensorProto.FLOAT, ["rows", 1])]
    else:
        # The converter's labels are 0, 1, 2, …: take the real ones from a list.
        text = classes.dtype.kind == "U"
        kind = onnx.TensorProto.STRING if text else onnx.TensorProto.INT64
        values = [one.encode() for one in classes.tolist()] if text else classes.tolist()
        graph.initializer.append(onnx.helper.make_tensor("classes", kind, [len(classes)], values))
        number = next(node for node in graph.node if "label" in node.output)
        number.output[0] = "class"
        graph.node.append(onnx.helper.make_node("Gather", ["classes", "class"], ["label"], name="label"))
        outputs = [("label", kind, ["rows"]), ("probabilities", onnx.TensorProto.FLOAT, ["rows", len(classes)])]
    del graph.input[:], graph.output[:]
    graph.input.append(onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", columns]))
    graph.output.extend(onnx.helper.make_tensor_value_info(*output) for output in outputs)
    # The converter's order of operator sets is that of a Python set.
    model.opset_import.sort(key=lambda one: one.domain)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def require_agreement(content: bytes, features: NDArray[np.float32], expected: dict[str, NDArray[Any]]) -> None:
    """Require LightGBM's answer of ONNX Runtime, on every row."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = dict(zip(expected, session.run(list(expected), {"x": features}), strict=True))
    for name, own in expected.items():
        other = found[name].reshape(own.shape)
        if own.dtype.kind == "f":
            # Of small answers a small difference: by the largest in their column, but for what rounding leaves.
            column, largest = np.abs(own).max(axis=0), np.abs(own).max()
            same = np.abs(other - own) <= TOLERANCE * np.abs(own) + np.maximum(TOLERANCE * column, 1e-6 * largest)
        else:
            same = other.astype(own.dtype) == own
        rows = np.flatnonzero(~same.reshape(len(own), -1).all(axis=1))
        if len(rows):
            message = f"ONNX Runtime differs from LightGBM in {name} of {len(rows)} of {len(own)} rows of the test part"
            raise InputError("NotReproducible", f"{message}: take fewer trees, or a smaller learning_rate")


# The run


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


def log(line: str) -> None:
    """Say something in the container's log."""
    print(line, file=sys.stderr, flush=True)


# The process


@dataclass
class Progress:
    """How far the run is, in trees."""

    threads: int
    activity: str = "reading"
    done: int = 0
    total: int = 0
    metric: str = ""
    best: str = ""

    def advance(self) -> None:
        """Count a tree."""
        self.done += 1

    def serve(self, port: int) -> None:
        """Answer `GET /progress` from now on; without the port, nobody asks."""

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                found = {"activity": progress.activity, "done": progress.done, "total": progress.total}
                found |= {"metric": progress.metric, "best": progress.best} if progress.best else {}
                self.send_response(200 if self.path == "/progress" else 404)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps(found if self.path == "/progress" else {}).encode())

            def log_message(self, *_: object) -> None:
                pass

        progress = self
        try:
            server = ThreadingHTTPServer(("", port), Handler)
        except OSError as error:
            log(f"progress is not served: {error}")
            return
        threading.Thread(target=server.serve_forever, daemon=True).start()


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
