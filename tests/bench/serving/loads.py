"""Time how long ONNX Runtime loads a model as it is, and stored after it was optimised: what storing that would save.

In: models. Out: a table. A stored one holds for the version of ONNX Runtime that it was optimised by, and for the like
of the processor.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import onnxruntime as ort

ROUNDS = 7
ERRORS_ONLY = 3
ALL, NONE = ort.GraphOptimizationLevel.ORT_ENABLE_ALL, ort.GraphOptimizationLevel.ORT_DISABLE_ALL


def load(model: Path, level: ort.GraphOptimizationLevel, store: Path | None = None) -> float:
    """Load a model, store what it was optimised to if a place is given, and give the milliseconds that it took."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.graph_optimization_level = level
    options.log_severity_level = ERRORS_ONLY
    if store:
        options.optimized_model_filepath = str(store)
    begun = time.perf_counter()
    ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return (time.perf_counter() - begun) * 1000


def main() -> None:
    """Measure each model, one way and the other in turn."""
    print("| model | bytes | as it is, ms | stored optimised, ms |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        for model in map(Path, sys.argv[1:]):
            stored = Path(folder, model.name)
            load(model, ALL, stored)
            rounds = [(load(model, ALL), load(stored, NONE)) for _ in range(ROUNDS)]
            as_it_is, optimised = (statistics.median(times) for times in zip(*rounds, strict=True))
            print(f"| {model.stem} | {model.stat().st_size} | {as_it_is:.1f} | {optimised:.1f} |")
            stored.unlink()


if __name__ == "__main__":
    main()
