"""What people call the calls of ONNX's operators."""

from __future__ import annotations

from typing import Final

__all__ = ["word_of"]

_WORDS: Final = {
    "Gemm": "linear",
    "MatMul": "linear",
    "ConvTranspose": "conv_transpose",
    "BatchNormalization": "bn",
    "InstanceNormalization": "norm",
    "LayerNormalization": "norm",
    "GroupNormalization": "norm",
    "MaxPool": "maxpool",
    "AveragePool": "avgpool",
    "GlobalAveragePool": "avgpool",
    "GlobalMaxPool": "maxpool",
    "ReduceMean": "mean",
    "ReduceSum": "sum",
    "ReduceMax": "max",
    "Sum": "add",
    "Concat": "cat",
    "Transpose": "permute",
}


def word_of(kind: str) -> str:
    """What a call of an operator may be called: `conv`, `hardswish`."""
    return _WORDS.get(kind, kind.lower())
