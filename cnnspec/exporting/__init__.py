"""Exports that are proved or refused: brings the network, its weights, torch and onnxruntime together.

Importing this package, `options` or `subject` imports neither torch nor onnx. The other modules are imported when they
are needed, and import torch only to compare with it.
"""
