"""A network of another program, as it was read: what is called, on what, in which module, with which weights.

Every reader (torch, ONNX, Keras) ends here, and `lift` begins here. Nothing in it is torch, ONNX or Keras: calls bear
the words of `torch.nn.functional`, whatever the source calls them, so that one meaning is one word.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from cnnspec.ops import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Array", "Call", "ForeignNetwork", "Reference"]

Array: TypeAlias = "NDArray[Any]"


@dataclass(frozen=True, slots=True)
class Call:
    """One operation.

    Shapes are without the batch axis; axes in `arguments` count the batch as axis 0 and are never negative.
    """

    name: str  # unique; the path of the module that was called (`layer1.0.conv1`), else a name in the scope it ran in
    word: str  # what it does, in torch.nn.functional's words without the rank: `conv`, `batch_norm`, `add`, `cat`
    reads: tuple[str, ...]  # what it reads: names of calls, or INPUT
    shape: Shape  # of its output
    arguments: Mapping[str, Any] = field(default_factory=dict)  # under torch's names
    tensors: Mapping[str, str] = field(default_factory=dict)  # role (`weight`, `running_mean`) to key in the source
    said: str = ""  # what the source calls it: `aten.einsum.default`, `Resize`; for people


class Reference(Protocol):
    """The source itself, run: the truth that a lifted network is held against."""

    def values(self, images: Array, names: Collection[str]) -> dict[str, Array]:
        """What these calls give for a batch of images (N, *input_shape), batch axis first."""
        ...


@dataclass(frozen=True)
class ForeignNetwork:
    """A network as its source has it, in running order."""

    name: str
    input_shape: Shape
    calls: tuple[Call, ...]
    outputs: tuple[str, ...]
    aux_outputs: tuple[str, ...] = ()  # that only training has
    module_classes: Mapping[str, str] = field(default_factory=dict)  # by path: `layer1.0` to `Bottleneck`
    tensors: Mapping[str, Shape] = field(default_factory=dict)  # every parameter and buffer, in torch's layout
    weights: Mapping[str, Array] | None = None  # their values where there are any, by the same keys and in that layout
    mean: tuple[float, ...] = ()  # of the pixels, where the source normalises them itself
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()  # the names of what is told apart
    notes: tuple[str, ...] = ()  # what was changed while it was read and has to be said
    reference: Reference | None = None
