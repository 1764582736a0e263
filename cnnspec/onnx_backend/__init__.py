"""Graph and weights to ONNX, without torch and without tracing; and the checks of the result."""
