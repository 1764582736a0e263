"""The operators for which torch itself has no module, or none that takes all inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Affine", "LayerNorm2d", "LocalResponseNorm3d", "StochasticDepth"]


class Affine(nn.Module):
    """`x * scale + shift` with two constants."""

    def __init__(self, scale: float, shift: float) -> None:
        super().__init__()
        self.scale, self.shift = scale, shift

    def forward(self, input: Tensor) -> Tensor:
        """Any shape."""
        return input * self.scale + self.shift

    def extra_repr(self) -> str:
        return f"scale={self.scale}, shift={self.shift}"


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of `(batch, C, H, W)`."""

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, H, W) -> (batch, C, H, W)`."""
        last = input.permute(0, 2, 3, 1)
        return functional.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class LocalResponseNorm3d(nn.LocalResponseNorm):
    """Local response normalisation over `(batch, C, D, H, W)` in any order in memory.

    Torch's makes one axis of H and W by a view, and fails where a Permute before has moved them apart.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, D, H, W) -> (batch, C, D, H, W)`."""
        return super().forward(input.contiguous())


class StochasticDepth(nn.Module):
    """In training, zeroes whole samples (mode `row`) or the whole batch with probability `p`; else does nothing.

    What is kept is divided by `1 - p`, so that the expectation stays.
    """

    def __init__(self, p: float, mode: str) -> None:
        super().__init__()
        self.p, self.mode = p, mode

    def forward(self, input: Tensor) -> Tensor:
        """Any shape `(batch, *)`."""
        if not self.training or self.p == 0:
            return input
        rows = input.shape[0] if self.mode == "row" else 1
        kept = torch.empty((rows, *[1] * (input.dim() - 1)), dtype=input.dtype, device=input.device)
        kept.bernoulli_(1 - self.p)
        return input * (kept / (1 - self.p) if self.p < 1 else kept)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode}"
