"""What lowering may vary, and the opsets that there are. Importing this module imports no onnx."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cnnspec.errors import UsageError

__all__ = ["DEFAULT_OPSET", "MAX_OPSET", "MIN_OPSET", "Lowering"]

MIN_OPSET: Final = 13
MAX_OPSET: Final = 23  # what the oldest onnxruntime allowed runs
DEFAULT_OPSET: Final = 18


@dataclass(frozen=True)
class Lowering:
    """How a network is written in ONNX. Raises UsageError for an opset or a batch that there is not."""

    opset: int = DEFAULT_OPSET
    batch: int | None = None  # None: any
    dynamic_size: bool = False  # spatial axes of any size
    half: bool = False  # compute in float16; inputs and outputs stay float32
    preprocess: bool = False  # the input is bytes (N, H, W, C), normalised inside the graph
    softmax: bool = False  # the outputs are probabilities
    fold: bool = False  # batch norms are folded into the layers before them

    def __post_init__(self) -> None:
        if not MIN_OPSET <= self.opset <= MAX_OPSET:
            raise UsageError(f"opset {self.opset} is not supported", hint=f"use {MIN_OPSET} to {MAX_OPSET}")
        if self.batch is not None and self.batch < 1:
            raise UsageError(f"a batch has at least one image, and not {self.batch}")
