"""The built-in trainer: reads `run.json` and data, leaves a model in ONNX with the rows that prove it."""
