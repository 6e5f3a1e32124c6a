"""Neural networks: declared as a list of layers, trained by Keras on TensorFlow, written as ONNX by ourselves."""

from __future__ import annotations

from .backend import NetworkBackend

__all__ = ["BACKEND"]

BACKEND = NetworkBackend()
