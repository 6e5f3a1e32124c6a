"""The built-in trainer: reads `run.json` and data, leaves a model in ONNX with the rows that prove it."""

import os

# ONNX Runtime reports its use to its makers unless this is set before it is imported.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
