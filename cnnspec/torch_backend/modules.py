"""The operators for which torch itself has no module, or none that takes all inputs."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "GRN",
    "Affine",
    "BlurPool2d",
    "LayerNorm2d",
    "LocalResponseNorm3d",
    "Reshape",
    "ScaledStdConv2d",
    "StdConv2d",
    "StochasticDepth",
]


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


class BlurPool2d(nn.Module):
    """Each channel, mirrored at its ends, under a fixed binomial filter, and one place in `stride` of it."""

    filt: Tensor

    def __init__(self, channels: int, filt_size: int = 3, stride: int = 2) -> None:
        super().__init__()
        self.filt_size, self.stride = filt_size, stride
        self.padding = [(stride + filt_size - 2) // 2] * 4
        self.register_buffer("filt", _binomial(channels, filt_size), persistent=False)  # it follows from the size
        self.register_load_state_dict_post_hook(_with_values)  # type: ignore[no-untyped-call]

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, H, W) -> (batch, C, *out)`."""
        mirrored = functional.pad(input, self.padding, mode="reflect")
        return functional.conv2d(mirrored, self.filt, stride=self.stride, groups=len(self.filt))

    def extra_repr(self) -> str:
        return f"{len(self.filt)}, filt_size={self.filt_size}, stride={self.stride}"


def _binomial(channels: int, size: int) -> Tensor:
    row = torch.tensor([float(math.comb(size - 1, k)) for k in range(size)]) / 2 ** (size - 1)
    filt: Tensor = (row[:, None] * row).repeat(channels, 1, 1, 1)
    return filt


def _with_values(module: BlurPool2d, _: object) -> None:
    """Give the filter of a layer that was made without memory its values, as a state has none."""
    if module.filt.is_meta:
        with torch.device("cpu"):
            module.filt = _binomial(len(module.filt), module.filt_size)


class GRN(nn.Module):
    """Global response normalisation: `input + bias + weight * input * share`, with the share of each channel's norm."""

    def __init__(self, channels: int, eps: float = 1e-6, dim: int = 1) -> None:
        super().__init__()
        self.eps, self.dim = eps, dim
        self.weight = nn.Parameter(torch.zeros(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, *)`, or with the channels on the axis `dim`."""
        channels = self.dim % input.dim()
        places = [axis for axis in range(1, input.dim()) if axis != channels]
        norms = torch.linalg.vector_norm(input, dim=places, keepdim=True)
        shares = norms / (norms.mean(channels, keepdim=True) + self.eps)
        along = [-1, *[1] * (input.dim() - 1 - channels)]
        return input + torch.addcmul(self.bias.view(along), self.weight.view(along), input * shares)

    def extra_repr(self) -> str:
        return f"{len(self.weight)}, eps={self.eps}, dim={self.dim}"


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


class Reshape(nn.Module):
    """The values in the same order on axes of the sizes `shape`, without the batch."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, *) -> (batch, *shape)`."""
        return input.reshape(input.shape[0], *self.shape)

    def extra_repr(self) -> str:
        return f"shape={self.shape}"


class StdConv2d(nn.Conv2d):
    """A convolution whose weight is standardised over all that an output channel reads, each time anew."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        bias: bool = False,
        eps: float = 1e-6,
        **named: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, bias=bias, **named)
        self.eps = eps

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, H, W) -> (batch, out_channels, *out)`."""
        weight = _standardised(self.weight, None, self.eps)
        return functional.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{_of_conv(self)}, eps={self.eps}"


class ScaledStdConv2d(nn.Conv2d):
    """A convolution with a standardised weight times `gain * gamma / √fan_in`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        *,
        eps: float = 1e-6,
        gamma: float = 1.0,
        gain_init: float = 1.0,
        **named: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **named)
        self.eps, self.gamma, self.gain_init = eps, gamma, gain_init
        self.gain = nn.Parameter(torch.full((self.out_channels, 1, 1, 1), gain_init))
        self.scale = gamma * self.weight[0].numel() ** -0.5

    def forward(self, input: Tensor) -> Tensor:
        """`(batch, C, H, W) -> (batch, out_channels, *out)`."""
        weight = _standardised(self.weight, (self.gain * self.scale).view(-1), self.eps)
        return functional.conv2d(input, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{_of_conv(self)}, eps={self.eps}, gamma={self.gamma}, gain_init={self.gain_init}"


def _of_conv(module: nn.Conv2d) -> str:
    return str(nn.Conv2d.extra_repr(module))  # type: ignore[no-untyped-call]


def _standardised(weight: Tensor, gain: Tensor | None, eps: float) -> Tensor:
    """A weight with mean 0 and variance 1 over all axes but the first, times a gain: as batch norm does it."""
    rows = weight.reshape(1, weight.shape[0], -1)
    return functional.batch_norm(rows, None, None, gain, training=True, momentum=0.0, eps=eps).reshape_as(weight)


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
