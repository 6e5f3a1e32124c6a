"""What the graph's analysis says of a model, held against ONNX Runtime: rows alone beside the same rows with others.

The jobs' program says yes or no (`MODELWRIGHT_JOBS inspect --json`). `difference` runs rows of a model alone and
together with other rows, in another order and of other scales, and gives the first output that is another one.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

JOBS = os.environ["MODELWRIGHT_JOBS"]
# Rounding, in parts of an output's scale: kernels sum in another order for other numbers of rows.
TOLERANCE = 1e-4
HALF_TOLERANCE = 4e-3

Tensors = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Verdict:
    """What `inspect` says."""

    independent: bool
    node: str = ""
    reason: str = ""

    def __str__(self) -> str:
        return "yes" if self.independent else f"no: {self.node} ({self.reason})"


def verdict(path: Path) -> Verdict | None:
    """Says whether rows are independent by the graph; None if ONNX Runtime does not load the model."""
    done = subprocess.run([JOBS, "inspect", "--json", str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    rows = json.loads(done.stdout)["rowIndependence"]
    return Verdict(rows["independent"], rows.get("node", ""), rows.get("reason", ""))


def session(model: bytes | str) -> onnxruntime.InferenceSession:
    """Loads a model on one thread, without a word."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def others(rows: NDArray[Any], seed: int) -> NDArray[Any]:
    """Other rows of the same kind: shuffled elements, of another scale where they are floating-point numbers."""
    drawn = np.random.default_rng(seed)
    shuffled = drawn.permuted(rows.reshape(-1)).reshape(rows.shape)
    if rows.dtype.kind == "f":
        with np.errstate(over="ignore"):
            shuffled = (shuffled.astype(np.float64) * drawn.choice([0.3, 7.0, 100.0])).astype(rows.dtype)
    return shuffled


def agree(alone: Any, together: Any, scale: float) -> bool:
    """Says whether both are one answer, up to rounding of its scale."""
    if isinstance(alone, list):
        return len(alone) == len(together) and all(
            one.keys() == other.keys() and all(abs(one[key] - other[key]) <= TOLERANCE * max(scale, 1) for key in one)
            for one, other in zip(alone, together, strict=True)
        )
    if alone.shape != together.shape or alone.dtype != together.dtype:
        return False
    if alone.dtype.kind != "f":
        return bool((alone == together).all())
    room = (HALF_TOLERANCE if alone.dtype == np.float16 else TOLERANCE) * max(scale, 1e-30)
    with np.errstate(invalid="ignore"):
        near = np.abs(alone.astype(np.float64) - together.astype(np.float64)) <= room
    return bool((near | (alone == together) | (np.isnan(alone) & np.isnan(together))).all())


def scale_of(values: list[Any]) -> float:
    """Gives the largest number of an output over all rows."""
    numbers = [value for value in values if not isinstance(value, list) and value.dtype.kind == "f" and value.size]
    finite = [np.abs(value[np.isfinite(value)].astype(np.float64)) for value in numbers]
    return max((float(value.max()) for value in finite if value.size), default=0.0)


class NotShared(Exception):
    """No run of several rows is answered at all."""


def difference(run: onnxruntime.InferenceSession, batch: Tensors, rest: Tensors, seed: int = 0) -> str | None:
    """Names the first output that a row has another one of among other rows than alone; None if none has.

    Raises what ONNX Runtime raises on a single row, and `NotShared`.
    """
    count = next(iter(batch.values())).shape[0]
    names = [output.name for output in run.get_outputs()]
    alone = [
        run.run(None, {**rest, **{name: value[at : at + 1] for name, value in batch.items()}}) for at in range(count)
    ]
    scales = [scale_of([outputs[place] for outputs in alone]) for place in range(len(names))]
    shared = 0
    for turn in range(3):
        order = np.random.default_rng(seed + turn).permutation(count)
        more = {name: others(value, seed + turn) for name, value in batch.items()} if turn else batch
        joined = {name: np.concatenate([value[order], more[name], value[order[:1]]]) for name, value in batch.items()}
        try:
            together = run.run(None, {**rest, **joined})
        except Exception:
            continue
        shared += 1
        for place, name in enumerate(names):
            value = together[place]
            total = 2 * count + 1
            if not isinstance(value, list) and (not value.ndim or value.shape[0] != total):
                return f"{name} has no {total} rows"
            if isinstance(value, list) and len(value) != total:
                return f"{name} has no {total} rows"
            for at, of in enumerate(order):
                if not agree(alone[of][place][:1], value[at : at + 1], scales[place]):
                    return name
    if not shared:
        raise NotShared
    return None
