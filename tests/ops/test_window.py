"""Windows against torch: which inputs a unit reads is where its gradient is not zero."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
from draws import draw
from references import reference
from torch import nn

from cnnspec.errors import ShapeError
from cnnspec.ops import ArgumentError, make_op
from cnnspec.ops.window import Global, Resized, Sliding, Window

PLAIN = ("Conv1d", "ConvTranspose1d", "AvgPool1d", "LPPool1d", "AdaptiveAvgPool1d", "ZeroPad1d", "Upsample")
PLAIN += ("ReflectionPad1d", "ReplicationPad1d", "CircularPad1d")


def read_by(module: nn.Module, channels: int, size: int, axes: int = 1) -> list[set[int]]:
    """For every unit along the first spatial axis, the inputs that change it."""
    shape = (1, channels, size, *[1] * (axes - 1))
    x = (torch.rand(shape, dtype=torch.float64) + 0.5).requires_grad_()
    out = module.double().eval()(x)
    found = []
    for i in range(out.shape[2]):
        (grad,) = torch.autograd.grad(out[:, :, i].sum(), x, retain_graph=True, allow_unused=True)
        found.append(set(grad.abs().sum(dim=(0, 1, *range(3, 2 + axes))).nonzero().flatten().tolist()))
    return found


def said_of(window: Window, size: int, units: int) -> list[set[int]]:
    """What the window says, clipped to the axis; checks the period on the way."""
    assert not isinstance(window, Global)
    for i in range(units - window.period):
        assert [tap + window.advance for tap in window.reads(i)] == list(window.reads(i + window.period))
    if isinstance(window, Sliding):
        return [{window.copied(tap, size) for tap in window.reads(i)} - {None} for i in range(units)]
    return [{tap for tap in window.reads(i) if 0 <= tap < size} for i in range(units)]


@pytest.mark.parametrize("name", PLAIN)
def test_reads_are_where_the_gradient_is(name: str) -> None:
    rng, seen = Random(name), 0
    torch.manual_seed(0)
    while seen < 60:
        args, (shape, *_) = draw(name, rng)
        try:
            op = make_op(name, **args)
            out = op.out_shape(shape)
        except (ArgumentError, ShapeError):
            continue
        if len(shape) != 2 or (name == "Upsample" and args["mode"] == "bicubic"):
            continue
        (window,) = op.windows(shape)
        module = reference(name, args, (shape,))
        for parameter in module.parameters():
            parameter.data.abs_().add_(0.1)  # positive weights hide nothing
        if not isinstance(window, Global):
            assert said_of(window, shape[1], out[1]) == read_by(module, *shape), (args, shape)
        seen += 1


@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("given", [{"scale_factor": f} for f in (2, 3, 0.5, 1.5, 2.3, 0.7, 1 / 3)] + [{"size": 7}])
def test_upsample(mode: str, given: dict[str, Any]) -> None:
    for size in (1, 2, 5, 9, 12):
        for corners in (None,) if mode.startswith("nearest") else (False, True):
            args = {"mode": mode, "align_corners": corners, **given}
            if "scale_factor" in given:
                args["scale_factor"] = (given["scale_factor"], 1.0)  # one column of pixels stays one
            else:
                args["size"] = (7, 1)
            try:
                op = make_op("Upsample", **args)
                out = op.out_shape((1, size, 1))
            except ShapeError:
                continue
            window = op.windows((1, size, 1))[0]
            said, true = said_of(window, size, out[1]), read_by(nn.Upsample(**args), 1, size, axes=2)
            if mode == "bicubic":  # a tap's weight may cancel where the border is read twice
                assert all(found <= told for told, found in zip(said, true, strict=True))
            else:
                assert said == true, (args, size)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact"])
def test_nearest_copies_what_torch_copies(axes: int, mode: str) -> None:
    """From the output itself: near 1 and 2 torch's gradient and output disagree on one and three axes."""
    for size in range(1, 12):
        for factor in (1.02, 1.1, 1.3, 1.9, 2.01, 2.1, 0.97, 0.4):
            op = make_op("Upsample", mode=mode, scale_factor=factor)
            try:
                window = op.windows((1, *[size] * axes))[0]
            except ShapeError:
                continue
            assert isinstance(window, Resized)
            numbers = torch.arange(size, dtype=torch.float32).view(1, 1, size, *[1] * (axes - 1))
            copied = nn.Upsample(scale_factor=factor, mode=mode)(numbers.expand(1, 1, *[size] * axes))
            places = copied[0, 0].reshape(window.out, -1)[:, 0].tolist()
            assert [window.reads(i)[0] for i in range(window.out)] == places, (size, factor)


def test_pixel_shuffle() -> None:
    for factor in (1, 2, 3, 7):
        op = make_op("PixelShuffle", upscale_factor=factor)
        window = op.windows((factor**2, 5, 1))[0]
        assert isinstance(window, Resized)
        assert said_of(window, 5, 5 * factor) == read_by(nn.PixelShuffle(factor), factor**2, 5, axes=2)
