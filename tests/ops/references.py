"""The torch module that each operator must equal: a truth from outside, of `torch.nn`, torchvision and timm alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import torch
from axis_cases import axis_reference
from timm.layers import BlurPool2d, ScaledStdConv2d, StdConv2d
from timm.layers.grn import GlobalResponseNorm
from torch import Tensor, nn
from torchvision import ops as vision
from torchvision.models.convnext import LayerNorm2d

from cnnspec.ops import Shape

__all__ = ["reference"]


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class TrainedReference(nn.Module):
    """Torch has no such module: this is the line `self.layer_scale * x` of torchvision's ConvNeXt, or a sum."""

    def __init__(self, join: Callable[..., Tensor], shape: Shape, init: float, dim: int | None = 1) -> None:
        super().__init__()
        sizes = [1]
        if dim is not None:
            like = torch.empty(1, *shape)
            sizes = [like.shape[dim], *[1] * (like.dim() - 1 - dim % like.dim())]
            if dim % like.dim() == 0:
                raise ValueError("the batch has no numbers of its own")
        self.register_parameter("layer_scale", nn.Parameter(torch.ones(sizes) * init))
        self.join = join

    def forward(self, x: Tensor) -> Tensor:
        return self.join(self.layer_scale, x)


class GrnReference(nn.Module):
    """timm's `GlobalResponseNorm` is for images; this is it for any axes, and for images it is that."""

    def __init__(self, shape: Shape, eps: float = 1e-6, dim: int = 1) -> None:
        super().__init__()
        if len(shape) < 2:
            raise ValueError("there are no places")
        like = torch.empty(1, *shape)
        if dim % like.dim() == 0:
            raise ValueError("the batch is no axis of channels")
        self.weight = nn.Parameter(torch.zeros(like.shape[dim]))
        self.bias = nn.Parameter(torch.zeros(like.shape[dim]))
        self.dim, self.eps = dim % like.dim(), eps

    def forward(self, x: Tensor) -> Tensor:
        last = x.movedim(self.dim, -1)
        flat = last.flatten(1, -2).unsqueeze(1)
        module = GlobalResponseNorm(len(self.weight), eps=self.eps)
        module.weight, module.bias = self.weight, self.bias
        return module(flat).reshape(last.shape).movedim(-1, self.dim)


def _narrowed(start: int, end: int | None = None, dim: int = 1) -> nn.Module:
    def cut(x: Tensor) -> Tensor:
        if dim % x.dim() == 0:
            raise IndexError("the batch is not cut")
        size = x.shape[dim]
        length = (size if end is None else end) - start + size * (end is not None and end < 0) - size * (start < 0)
        return x.narrow(dim, start, length)

    return Function(cut)


def _joined(dim: int = 1) -> nn.Module:
    def concat(*inputs: Tensor) -> Tensor:
        if dim % inputs[0].dim() == 0:
            raise IndexError("batches are not joined")
        return torch.cat(inputs, dim)

    return Function(concat)


def _going_round(module: nn.Module) -> nn.Module:
    """Where crops leave nothing that goes round, torch gives memory that it never wrote."""

    def refuse_nothing(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        ends = zip(inputs[0].shape[:1:-1], module.padding[::2], module.padding[1::2], strict=False)
        if any(size + min(before, 0) + min(after, 0) < 1 for size, before, after in ends):
            raise ValueError("the padding leaves nothing of an axis")

    module.register_forward_pre_hook(refuse_nothing)
    return module


def _renamed(args: dict[str, Any]) -> dict[str, Any]:
    return {"in_channel" if key == "in_channels" else key: value for key, value in args.items()}


def reference(name: str, args: dict[str, Any], shapes: tuple[Shape, ...]) -> nn.Module:
    """What `name(**args)` is in torch, for inputs of these shapes."""
    shape = shapes[0]
    found = axis_reference(name, args)
    if found is not None:
        return found if isinstance(found, nn.Module) else Function(found)
    match name:
        case "Add" | "Sub" | "Mul" | "Div":
            join = {"Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "Div": torch.div}[name]
            return Function(lambda *inputs: reduce(join, inputs))
        case "Concat":
            return _joined(**args)
        case "Slice":
            return _narrowed(**args)
        case "Permute":
            return vision.Permute(list(args["dims"]))
        case "Scale":
            return TrainedReference(torch.mul, shape, **{"init": 1.0, **args})
        case "Bias":
            return TrainedReference(torch.add, shape, **{"init": 0.0, **args})
        case "StochasticDepth":
            return vision.StochasticDepth(args["p"], args.get("mode", "row"))
        case "LayerNorm2d":
            return LayerNorm2d(**{"normalized_shape": shape[0], **args})
        case "LayerNorm":
            return nn.LayerNorm(**{"normalized_shape": shape[-1], **args})
        case "GroupNorm":
            return nn.GroupNorm(**{"num_channels": shape[0], **args})
        case "Linear":
            return nn.Linear(**{"in_features": shape[-1], **args})
        case "Softmax":
            return nn.Softmax(args.get("dim", 1))
        case "LogSoftmax":
            return nn.LogSoftmax(args.get("dim", 1))
        case "BlurPool2d":
            pool = BlurPool2d(shape[0], **args)
            pool.kernel_size = pool.filt_size  # a window like that of a convolution, whose kernel it calls its filter
            return pool
        case "GRN":
            return GrnReference(shape, **args)
        case "StdConv2d":
            return StdConv2d(**{"padding": 0, "in_channel": shape[0], **_renamed(args)})
        case "ScaledStdConv2d":
            return ScaledStdConv2d(**{"padding": 0, "in_channels": shape[0], **args})
        case _ if name.startswith("CircularPad"):
            return _going_round(getattr(nn, name)(**args))
        case _ if name.startswith("Conv"):
            return getattr(nn, name)(**{"in_channels": shape[0], **args})
        case _ if name.startswith(("BatchNorm", "InstanceNorm")):
            return getattr(nn, name)(**{"num_features": shape[0], **args})
        case _:
            return getattr(nn, name)(**args)
