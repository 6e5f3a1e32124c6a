"""Compares what servers answer with what ONNX Runtime answers by itself, on every request that is measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from pathlib import Path

    from payloads import Inputs, Workload

# Relative to the answer and to the largest of its output: rows that run together may be summed in another order.
TOLERANCE = 1e-4


class AnswerError(Exception):
    """A server that answers otherwise."""


def expected(model: Path, work: Workload) -> list[Inputs]:
    """Run every request of a workload."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return [dict(zip(names, session.run(names, inputs), strict=True)) for inputs in work.requests]


def compare(who: str, answer: Inputs, wanted: Inputs, tolerance: float = TOLERANCE) -> None:
    """Refuse an answer that differs."""
    for name, array in wanted.items():
        if name not in answer:
            message = f"{who} gives no output {name}; it gives {', '.join(answer) or 'none'}"
            raise AnswerError(message)
        found = answer[name]
        if found.size != array.size:
            message = f"{who} gives {found.size} elements of {name}; expected {array.size}"
            raise AnswerError(message)
        scale = np.abs(array.ravel()) + np.abs(array).max(initial=np.finfo(np.float32).tiny)
        difference = np.abs(found.ravel() - array.ravel()) / scale
        # Written so that NaN is refused too.
        if not np.max(difference) <= tolerance:
            message = f"{who} differs in {name} by {np.max(difference):.3g}; at most {tolerance:g} is expected"
            raise AnswerError(message)
