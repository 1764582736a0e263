"""Small networks of torch, each with something that an import can get wrong."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["NETWORKS"]


class Residual(nn.Module):
    def __init__(self, before: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.down = None
        if stride != 1 or before != out:
            self.down = nn.Sequential(nn.Conv2d(before, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += x if self.down is None else self.down(x)
        return self.relu(out)


class Of(nn.Module):
    """A module with these children and this forward."""

    def __init__(self, forward: Any, **children: nn.Module) -> None:
        super().__init__()
        for name, child in children.items():
            self.add_module(name, child)
        self.call = forward

    def forward(self, x: Tensor) -> Any:
        return self.call(self, x)


def resnet() -> nn.Module:
    blocks = [Residual(8, 8), Residual(8, 16, 2), Residual(16, 16)]
    return nn.Sequential(nn.Conv2d(3, 8, 3), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))


def in_place() -> nn.Module:
    """What is written over is read afterwards."""

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.conv(x)
        functional.relu_(y)
        return y + self.other(x)

    return Of(forward, conv=nn.Conv2d(3, 4, 3, padding=1), other=nn.Conv2d(3, 4, 1))


def shuffled() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        one, other = self.conv(x).chunk(2, dim=1)
        joined = torch.cat((one, self.branch(other)), 1)
        n, c, h, w = joined.shape
        turned: Tensor = joined.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        return turned

    return Of(forward, conv=nn.Conv2d(3, 8, 1), branch=nn.Conv2d(4, 4, 3, padding=1))


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.gamma = nn.Parameter(torch.rand(6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return y + self.gamma * torch.sigmoid(y) * y


class Headed(nn.Module):
    """An auxiliary head and a dropped path, in training only."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.aux = nn.Linear(4, 3)
        self.fc = nn.Linear(4, 3)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Any:
        x = self.stem(x)
        y = self.conv(x)
        if self.training:
            noise = x.new_empty((x.shape[0], 1, 1, 1)).bernoulli_(0.75)
            y = y * noise.div_(0.75)
        out = self.fc(self.drop((x + y).mean((2, 3))))
        return (out, self.aux(x.mean((2, 3)))) if self.training else out


def senet() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.conv(x)
        gate = self.up(functional.relu(self.down(x.mean((2, 3), keepdim=True))))
        return x * functional.relu6(gate + 3.0) / 6.0 + functional.hardswish(x)

    return Of(forward, conv=nn.Conv2d(3, 8, 3), down=nn.Conv2d(8, 2, 1), up=nn.Conv2d(2, 8, 1))


def padded() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = functional.pad(x, (0, 1, 0, 1))
        x = functional.pad(self.conv(x), (1, 1, 1, 1), mode="reflect")
        x = functional.max_pool2d(functional.pad(x, (0, 1, 0, 1), value=-float("inf")), 2)
        return x[:, :, 1:, ::2]

    return Of(forward, conv=nn.Conv2d(3, 4, 3))


def normed() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.group(self.conv(x))
        x = self.layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        x = self.instance(functional.local_response_norm(x, 3))
        return self.dense(x.permute(0, 2, 3, 1)).flatten(1)

    return Of(
        forward, conv=nn.Conv2d(3, 8, 3), group=nn.GroupNorm(4, 8, eps=1e-3), layer=nn.LayerNorm(8),
        instance=nn.InstanceNorm2d(8, affine=True), dense=nn.Linear(8, 2, bias=False),
    )  # fmt: skip


def activations() -> nn.Module:
    kinds = (
        nn.ReLU6(), nn.LeakyReLU(0.2), nn.PReLU(4), nn.ELU(0.5), nn.SiLU(), nn.GELU(), nn.GELU("tanh"), nn.Mish(),
        nn.Hardswish(), nn.Hardsigmoid(), nn.Hardtanh(-2, 2), nn.Softplus(2), nn.Tanh(), nn.Sigmoid(), nn.Softmax(1),
        nn.LogSoftmax(-1),
    )  # fmt: skip
    return nn.Sequential(nn.Conv2d(3, 4, 1), *kinds)


def unet() -> nn.Module:
    """A list whose members run in turn with others."""

    def forward(self: Any, x: Tensor) -> Tensor:
        kept = []
        for down in self.downs:
            x = functional.relu(down(x))
            kept.append(x)
            x = functional.max_pool2d(x, 2)
        for up, skip in zip(self.ups, reversed(kept), strict=True):
            x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = up(torch.cat((x, skip), 1))
        return x

    downs = nn.ModuleList([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)])
    ups = nn.ModuleList([nn.Conv2d(16, 4, 1), nn.Conv2d(8, 2, 1)])
    return Of(forward, downs=downs, ups=ups)


def several() -> nn.Module:
    def forward(self: Any, x: Tensor) -> Any:
        x = self.stem(x)
        return {"a": self.a(x), "b": [self.b(x)]}

    return Of(forward, stem=nn.Conv2d(3, 4, 3), a=nn.Conv2d(4, 2, 1), b=nn.Conv2d(4, 3, 1))


def pools() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=(2, 1), dilation=(1, 2), padding=(1, 2), groups=1),
        nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        nn.AvgPool2d((2, 3), 1, count_include_pad=False, padding=(1, 0)),
        nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1, groups=2),
        nn.AdaptiveAvgPool2d((3, 2)),
        nn.AdaptiveMaxPool2d(2),
        nn.PixelShuffle(1),
    )


def rearranged() -> nn.Module:
    """Squares of places as channels, by torch's own word and by more axes than the language has."""

    def forward(self: Any, x: Tensor) -> Tensor:
        x = self.conv(functional.pixel_unshuffle(x, 2))
        n, c, h, w = x.shape
        x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).contiguous()
        return self.last(x.view(n, c * 4, h // 2, w // 2))

    return Of(forward, conv=nn.Conv2d(12, 4, 1), last=nn.Conv2d(16, 2, 1))


def one_dimensional() -> nn.Module:
    layers = (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.ReLU(), nn.AvgPool1d(2), nn.Flatten(), nn.LazyLinear(3))
    return nn.Sequential(*layers)


def three_dimensional() -> nn.Module:
    return nn.Sequential(nn.Conv3d(3, 4, 3), nn.BatchNorm3d(4), nn.MaxPool3d(2), nn.AdaptiveAvgPool3d(1), nn.Flatten())


# Each with the shape that it reads.
NETWORKS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "resnet": (resnet, (3, 16, 16)),
    "in_place": (in_place, (3, 8, 8)),
    "shuffled": (shuffled, (3, 8, 8)),
    "scaled": (Scaled, (3, 8, 8)),
    "headed": (Headed, (3, 8, 8)),
    "senet": (senet, (3, 8, 8)),
    "padded": (padded, (3, 9, 9)),
    "normed": (normed, (3, 8, 8)),
    "activations": (activations, (3, 4, 4)),
    "unet": (unet, (3, 16, 16)),
    "several": (several, (3, 8, 8)),
    "rearranged": (rearranged, (3, 8, 12)),
    "pools": (pools, (3, 32, 32)),
    "one_dimensional": (one_dimensional, (3, 12)),
    "three_dimensional": (three_dimensional, (3, 8, 8, 8)),
}
