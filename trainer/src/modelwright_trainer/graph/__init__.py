"""Writes a prepared and fitted model as an ONNX graph: one file for each kind of thing that is written."""
