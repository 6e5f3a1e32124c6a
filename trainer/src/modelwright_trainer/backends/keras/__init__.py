"""Neural networks: declared as a list of layers, trained by Keras on TensorFlow, written as ONNX by ourselves."""

from __future__ import annotations

from .estimator import NetworkBackend

__all__ = ["BACKEND"]

BACKEND = NetworkBackend()
