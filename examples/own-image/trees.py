"""LightGBM's trees: checked, trained, measured, turned into ONNX, and held against ONNX Runtime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import lightgbm
import numpy as np
import onnx
import onnxmltools
import onnxruntime
from onnxmltools.convert.common.data_types import FloatTensorType
from reading import InputError
from sklearn import metrics

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from progress import Progress

# How far ONNX Runtime, which adds trees up in FP32, may be from LightGBM, which adds them up in FP64.
TOLERANCE: Final = 1e-4
DEFAULT_CANDIDATE: Final = {"name": "lightgbm", "algorithm": "LightGBM", "parameters": {}}


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
