"""Neural networks: declared as a list of layers, trained by Keras on TensorFlow, written as ONNX by ourselves."""
