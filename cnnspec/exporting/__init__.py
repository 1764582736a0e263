"""Exports that are proved or refused: brings the network, its weights, torch and onnxruntime together.

Importing this package imports neither torch nor onnx; its functions do when they need them.
"""
