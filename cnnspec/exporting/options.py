"""What an export is asked for, and what it says it has done. Importing this module imports no onnx."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from cnnspec.onnx_backend.options import Lowering
from cnnspec.ops import Shape

if TYPE_CHECKING:
    from cnnspec.onnx_backend.verify import Check

__all__ = ["PRECISIONS", "ExportOptions", "ExportResult", "Precision", "Quantization"]

Precision: TypeAlias = Literal["fp32", "fp16", "int8"]
PRECISIONS: Final[tuple[Precision, ...]] = get_args(Precision)


@dataclass(frozen=True)
class Quantization:
    """How a network is brought to eight bits."""

    data: str | None = None  # the images to calibrate and to score with; None: those of the run
    data_dir: str | None = None  # where downloaded data sets lie
    max_drop: float = 0.01  # of the figure that the task is judged by
    skip_bad: bool = False  # leave out images that cannot be read


@dataclass(frozen=True)
class ExportOptions:
    """What is exported of a network, and how."""

    lowering: Lowering = field(default_factory=Lowering)
    outputs: tuple[str, ...] = ()  # layers; none: the network's own
    quantization: Quantization | None = None  # None: it computes in floating point
    verify: bool = True  # whether it is compared with torch

    @property
    def precision(self) -> Precision:
        """What the file computes in."""
        if self.quantization is not None:
            return "int8"
        return "fp16" if self.lowering.half else "fp32"


@dataclass(frozen=True)
class ExportResult:
    """A file that was written, and what was checked about it."""

    path: str
    name: str
    weights: str
    bytes: int
    nodes: int
    opset: int  # as read back from what was written
    precision: str
    batch: int | None
    dynamic_size: bool
    folded: bool
    input: tuple[Shape, str]  # without the batch, and the type
    outputs: dict[str, Shape]
    checks: tuple[Check, ...]
    verified: bool
    seconds: float  # lowering, checking the structure, and writing
    verify_seconds: float  # comparing numbers

    def __repr__(self) -> str:
        proof = f"{len(self.checks)} checks" if self.verified else "not compared with torch"
        return f"<ExportResult {self.path}: {self.bytes:,} bytes, opset {self.opset}, {self.precision}, {proof}>"

    def to_dict(self) -> dict[str, object]:
        """The result as plain data, as `--format json` prints it."""
        shape, kind = self.input
        plain = {key: getattr(self, key) for key in self.__dataclass_fields__ if key not in ("input", "checks")}
        return {
            "cnnspec": 1,
            **plain,
            "input": {"shape": list(shape), "type": kind},
            "outputs": {name: list(shape) for name, shape in self.outputs.items()},
            "checks": [check.to_dict() for check in self.checks],
        }
