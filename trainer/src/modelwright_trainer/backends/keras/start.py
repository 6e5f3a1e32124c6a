"""Starts TensorFlow the same way each time: threads, seeds and operators, so that equal runs give equal bytes."""

from __future__ import annotations

import os
from typing import Any, Final

from .device import name_device

THREADS_WITHIN: Final = 2
"""Of one operator. Sums are parted by it, so it is fixed, whatever the container may use."""
THREADS_BETWEEN: Final = 1
"""Operators that run at once."""
ENVIRONMENT: Final = {
    "KERAS_BACKEND": "tensorflow",
    # Its messages of the start are no news to anyone.
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Each row of numbers is summed the same way on every processor of a kind.
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "OMP_NUM_THREADS": str(THREADS_WITHIN),
}


def start() -> Any:
    """Import TensorFlow, pin its threads and have its operators repeat themselves. Return it."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import tensorflow as tf  # noqa: PLC0415 - it is large, and needed for training only

    if tf.config.threading.get_intra_op_parallelism_threads() != THREADS_WITHIN:
        tf.config.threading.set_intra_op_parallelism_threads(THREADS_WITHIN)
        tf.config.threading.set_inter_op_parallelism_threads(THREADS_BETWEEN)
    tf.config.experimental.enable_op_determinism()
    return tf


def describe(tf: Any, policy: str) -> dict[str, Any]:
    """Return what the report says of how it was computed."""
    return {
        "device": name_device(tf),
        "threads": {"withinOperators": THREADS_WITHIN, "betweenOperators": THREADS_BETWEEN},
        "deterministicOperators": True,
        "precision": policy,
    }
